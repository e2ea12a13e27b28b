"""The state that a session folder holds, read without changing or locking it."""

import json
import operator
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputError, InputWarning
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import Change, ChangeKind
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.mask_store import read_masks
from sam2_plugins.storage.model_files import model_from, with_model_of_now
from sam2_plugins.storage.serialization import (
    change_from_json,
    object_from_json,
    prompt_from_json,
    window_from_json,
)

__all__ = ["Snapshot", "read_calls", "read_json", "read_state"]

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
    removed_ids
        Ids that objects had and none has now; None where an earlier version did not store them.
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
    lost
        Sentences: what of the folder is damaged, and so not in this state.
    note
        A sentence: what has become of the model's file; empty if it is as it was.
    """

    changes: tuple[Change, ...]
    highest_used_id: int
    removed_ids: tuple[int, ...] | None
    model: str | None
    number: int
    groups: Mapping[int, str]
    unsaved: frozenset[int]
    has_tail: bool
    lost: tuple[str, ...] = ()
    note: str = ""

    def apply_to(self, session: AnnotationSession, path: Path) -> None:
        """Bring an empty session to this state; warn of what is damaged in the folder at ``path``."""
        for sentence in (*self.lost, *filter(None, [self.note])):
            warnings.warn(f"{path}: {sentence}", InputWarning, stacklevel=4)
        session.restore(self.changes, self.highest_used_id, self.removed_ids)
        session.model_name = self.model or session.model_name


def read_state(path: Path) -> Snapshot:
    """Read a session folder, also one that another process is writing to.

    Raises
    ------
    InputError
        If its snapshot is damaged, or it is written to faster than it can be read.
    KeyError, TypeError, ValueError, AttributeError, OSError
        If its snapshot is damaged in some other way.
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
    lost: list[str] = []
    for value in snapshot["objects"]:
        changes += _object_changes(path, value, lost)
    model, note = model_from(snapshot, path)
    number, unsaved = snapshot["applied"], set[int]()
    for entry in _tail(path, number, lost):
        changes += entry["changes"]
        number, unsaved = entry["number"], unsaved | {change.object_id for change in entry["changes"]}
        if entry["call"]["do"] == "use_model":
            model, note = model_from(entry["call"], path)
    removed = snapshot.get("removed_ids")
    return Snapshot(
        tuple(changes),
        snapshot["highest_used_id"],
        None if removed is None else tuple(map(operator.index, removed)),
        model,
        number,
        {value["id"]: value["masks"] for value in snapshot["objects"]},
        frozenset(unsaved),
        number > snapshot["applied"],
        tuple(lost),
        note,
    )


def _tail(path: Path, applied: int, lost: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the actions since the snapshot with their changes, up to the first that is damaged or missing."""
    journal = Journal(path / "journal.jsonl")
    last = applied
    for entry in journal.read():
        if entry["number"] <= applied:
            continue
        try:
            changes = [change_from_json(value) for value in entry["changes"]]
            name = entry["call"]["do"]
        except (KeyError, TypeError, ValueError, AttributeError):
            changes, name = [], None
        if name is None or entry["number"] != last + 1:
            lost.append(
                f"{journal.path.name} does not fit the rest; what was done after action {last} is lost."
            )
            return
        last = entry["number"]
        yield {**entry, "changes": changes}
    if journal.damaged_line is not None:
        lost.append(
            f"{journal.path.name} is damaged from line {journal.damaged_line} on; what was done after action "
            f"{last} is lost."
        )


def read_calls(path: Path, up_to: int | None = None) -> list[dict[str, Any]]:
    """Return all that was asked of a session from its beginning, perhaps up to an action.

    The folder is neither changed nor locked.

    Raises
    ------
    InputError
        If some of it is missing.
    """
    calls: dict[int, dict[str, Any]] = {}
    for _ in range(_ATTEMPTS):
        for name in ("actions.jsonl", "journal.jsonl"):
            for entry in Journal(path / name).read():
                calls[entry["number"]] = entry["call"]
        known = [number for number in sorted(calls) if up_to is None or number <= up_to]
        last = max(known, default=0) if up_to is None else up_to
        if len(known) == last:
            return [with_model_of_now(path, calls[number]) for number in known]
    missing = next(number for number in range(1, last + 1) if number not in calls)
    raise InputError(
        f"{path} no longer has everything that was done in it: action {missing} of {last} is missing. Its "
        "masks open, but it cannot be replayed."
    )


def _object_changes(path: Path, value: Mapping[str, Any], lost: list[str]) -> list[Change]:
    annotated = object_from_json(value)
    object_id = annotated.id
    changes = [Change(ChangeKind.OBJECT, object_id, None, None, annotated)]
    for frame, given in value["prompts"].items():
        prompts = tuple(prompt_from_json(prompt) for prompt in given)
        changes.append(Change(ChangeKind.PROMPTS, object_id, int(frame), None, prompts))
    masks, damaged = read_masks(path / "masks.zarr" / value["masks"])
    if damaged:
        lost.append(f"Masks of {annotated.name} are damaged and left out: {damaged}.")
    changes += [Change(ChangeKind.MASK, object_id, frame, None, mask) for frame, mask in masks.items()]
    verified = [frame for frame in value["verified"] if frame in masks]
    return changes + [Change(ChangeKind.VERIFIED, object_id, f, False, True) for f in verified]


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises
    ------
    InputError
        If it cannot be read, or holds anything else.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise InputError(f"{path} is damaged: it is no file.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except OSError as error:
        raise InputError(os_error_sentence(error, path)) from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: it is not JSON.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: it holds no description.")
    return value
