"""Undo of a session that was closed: its last actions, with what was there before them.

One line per action, the last one first; the first line says which state of the session they belong to. A file
of another state is passed over, as after a crash: the journal tells what was done, not what was before.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sam2_engine.disk import replacing
from sam2_plugins.session.annotations import Change
from sam2_plugins.session.history import UndoState
from sam2_plugins.storage.serialization import change_from_json, change_to_json, to_text

__all__ = ["read_undo", "write_undo"]

MAX_BYTES = 16 * 2**20
"""Of the file: what is older can no longer be undone once the session has been closed."""

_NAME = "undo.jsonl"


def write_undo(path: Path, number: int, state: UndoState) -> None:
    """Write what can be undone and redone in the session folder ``path``, whose last action has a number.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.
    """
    with replacing(path / _NAME) as aside, aside.open("w", encoding="utf-8") as file:
        file.write(to_text({"number": number}) + "\n")
        left = MAX_BYTES
        for kind, actions in (("undo", state.undo_actions), ("redo", state.redo_actions)):
            for name, changes in reversed(actions):
                line = _line(kind, name, changes, left)
                if line is None:
                    break
                left -= len(line)
                file.write(line)


def _line(kind: str, name: str, changes: Iterable[Change], room: int) -> str | None:
    """Return an action as a line, None if it has no room."""
    values = []
    for change in changes:
        values.append(to_text([change_to_json(change.inverse()), change_to_json(change)]))
        room -= len(values[-1])
        if room < 0:
            return None
    return f'{{"kind": "{kind}", "name": {to_text(name)}, "changes": [{",".join(values)}]}}\n'


def read_undo(path: Path, number: int) -> UndoState:
    """Return what can be undone and redone in a session folder; nothing if that is not known."""
    found: dict[str, list[tuple[str, list[Change]]]] = {"undo": [], "redo": []}
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        with (path / _NAME).open(encoding="utf-8") as file:
            if json.loads(next(file))["number"] == number:
                for line in file:
                    value = json.loads(line)
                    found[value["kind"]].insert(
                        0, (value["name"], [_change(*one) for one in value["changes"]])
                    )
        return UndoState.of(found["undo"], found["redo"])
    return UndoState.of([], [])


def _change(inverse: dict[str, Any], made: dict[str, Any]) -> Change:
    before, after = change_from_json(inverse), change_from_json(made)
    return Change(after.kind, after.object_id, after.frame, before.after, after.after)
