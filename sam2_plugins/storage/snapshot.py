"""The state that a session folder holds, read without changing or locking it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.session.annotations import Change, ChangeKind
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.mask_store import read_masks
from sam2_plugins.storage.serialization import (
    change_from_json,
    object_from_json,
    prompt_from_json,
    window_from_json,
)

__all__ = ["Snapshot", "read_json", "read_state"]

_ATTEMPTS = 5


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a session folder: its snapshot, and what was done since.

    Attributes
    ----------
    changes
        Of an empty session, which bring it to this state.
    highest_used_id
        The highest id that an object has or had.
    model
        That the session computes with; None for the one that it began with.
    number
        Of the last action.
    groups
        Of the snapshot in ``masks.zarr``, by object.
    unsaved
        Objects that actions since the snapshot have changed.
    has_tail
        Whether there are such actions.
    """

    changes: tuple[Change, ...]
    highest_used_id: int
    model: str | None
    number: int
    groups: Mapping[int, str]
    unsaved: frozenset[int]
    has_tail: bool


def read_state(path: Path) -> Snapshot:
    """Read a session folder, also one that another process is writing to.

    Raises
    ------
    InputError
        If it is damaged, or is written to faster than it can be read.
    KeyError, TypeError, ValueError, OSError
        If it is damaged in some other way.
    """
    for _ in range(_ATTEMPTS):
        snapshot = read_json(path / "state.json")
        try:
            state = _read_after(path, snapshot)
        except Exception:
            if read_json(path / "state.json") == snapshot:
                raise
        else:
            # A new snapshot takes its place before anything that the old one needs is removed.
            if read_json(path / "state.json") == snapshot:
                return state
    raise InputError(f"{path} is being written to all the time; try again when less is going on there.")


def _read_after(path: Path, snapshot: Mapping[str, Any]) -> Snapshot:
    changes: list[Change] = []
    if "window" in snapshot:
        changes.append(Change(ChangeKind.WINDOW, 0, None, None, window_from_json(snapshot["window"])))
    for value in snapshot["objects"]:
        changes += _object_changes(path, value)
    journal = Journal(path / "journal.jsonl")
    tail = [entry for entry in journal.read() if entry["number"] > snapshot["applied"]]
    model = snapshot.get("model")
    for entry in tail:
        changes += [change_from_json(value) for value in entry["changes"]]
        if entry["call"]["do"] == "use_model":
            model = entry["call"]["model"]
    return Snapshot(
        tuple(changes),
        snapshot["highest_used_id"],
        model,
        tail[-1]["number"] if tail else snapshot["applied"],
        {value["id"]: value["masks"] for value in snapshot["objects"]},
        frozenset(value["object_id"] for entry in tail for value in entry["changes"]),
        bool(tail),
    )


def _object_changes(path: Path, value: Mapping[str, Any]) -> list[Change]:
    annotated = object_from_json(value)
    object_id = annotated.id
    changes = [Change(ChangeKind.OBJECT, object_id, None, None, annotated)]
    for frame, given in value["prompts"].items():
        prompts = tuple(prompt_from_json(prompt) for prompt in given)
        changes.append(Change(ChangeKind.PROMPTS, object_id, int(frame), None, prompts))
    for masked, mask in read_masks(path / "masks.zarr" / value["masks"]).items():
        changes.append(Change(ChangeKind.MASK, object_id, masked, None, mask))
    return changes + [Change(ChangeKind.VERIFIED, object_id, f, False, True) for f in value["verified"]]


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises
    ------
    InputError
        If it cannot be read, or holds anything else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(os_error_sentence(error, path)) from None
    except ValueError:
        raise InputError(f"{path} is damaged: it is not JSON.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: it holds no description.")
    return value
