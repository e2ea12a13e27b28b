"""Migration of session folders of earlier formats, before anything is written into them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sam2_engine.disk import replacing
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.manifest import FORMAT_VERSION, read_manifest, write_version

__all__ = ["migrate"]


def migrate(path: Path) -> None:
    """Write into an earlier format's folder that it has today's from now on, and what that needs.

    Format 1 did not record what is undone as one: there, neighboring frames tracked in one direction, of the
    same objects, are one propagation. Earlier programs refuse the folder afterwards; they would not know
    what is added. A crash in the middle does no harm, all of it is done again then.

    Raises
    ------
    InputError
        If the folder is damaged.
    OSError
        If it cannot be written.
    """
    version = read_manifest(path)["version"]
    if version == 1:
        _mark_propagations(path)
    if version < FORMAT_VERSION:
        write_version(path)


def _mark_propagations(path: Path) -> None:
    """Write into the journals which frames were tracked as one."""
    before: Mapping[str, Any] | None = None
    for name in ("actions.jsonl", "journal.jsonl"):
        if not (path / name).exists():
            continue
        with replacing(path / name) as aside:
            journal = Journal(aside)
            for entry in Journal(path / name).read():
                call = entry["call"]
                grouped = before is not None and _continues_propagation(before, call)
                journal.add([{**entry, "call": {**call, "joined": True} if grouped else call}])
                before = call


def _continues_propagation(before: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    """Whether a call tracks the next frame of the propagation to which the one before belongs."""
    if not before["do"] == call["do"] == "follow":
        return False
    same = all(before[key] == call[key] for key in ("object_ids", "reverse"))
    return bool(same and before["frame"] + (-1 if call["reverse"] else 1) == call["frame"])
