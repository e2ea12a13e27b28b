"""Session folders of earlier formats become folders of today's before anything is written into them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sam2_plugins.runtime.atomic_files import replacing
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.manifest import FORMAT_VERSION, read_manifest, write_version

__all__ = ["migrate"]


def migrate(path: Path) -> None:
    """Say in a folder of format 1 what was undone as one, and that it has today's format from now on.

    Format 1 did not write it down: there, neighboring frames followed in one direction, of the same objects,
    are one propagation. Earlier programs refuse the folder afterwards; they would not understand what is
    added. A crash in the middle does no harm, all of it is done again then.

    Raises
    ------
    InputError
        If the folder is damaged.
    OSError
        If it cannot be written.
    """
    if read_manifest(path)["version"] == FORMAT_VERSION:
        return
    before: Mapping[str, Any] | None = None
    for name in ("actions.jsonl", "journal.jsonl"):
        if not (path / name).exists():
            continue
        with replacing(path / name) as aside:
            journal = Journal(aside)
            for entry in Journal(path / name).read():
                call = entry["call"]
                joined = before is not None and _goes_on(before, call)
                journal.add([{**entry, "call": {**call, "joined": True} if joined else call}])
                before = call
    write_version(path)


def _goes_on(before: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    """Whether a call follows the next frame of the propagation that another one is a frame of."""
    if not before["do"] == call["do"] == "follow":
        return False
    same = all(before[key] == call[key] for key in ("object_ids", "reverse"))
    return bool(same and before["frame"] + (-1 if call["reverse"] else 1) == call["frame"])
