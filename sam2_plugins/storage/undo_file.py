"""Undo of a session that was closed: its last actions, with what was there before them.

The first line says which state of the session they belong to, and their names; then there is a line for each,
the last one first. A file of another state is passed over, as after a crash: the journal tells what was done,
not what was before.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from sam2_engine.disk import replacing
from sam2_plugins.session.annotations import Change
from sam2_plugins.session.history import EarlierActions, History, UndoState
from sam2_plugins.storage.serialization import change_from_json, change_to_json, to_text

__all__ = ["read_undo", "write_undo"]

MAX_BYTES = 16 * 2**20
"""Of the file: what is older can no longer be undone once the session has been closed."""

_NAME = "undo.jsonl"


class _InFile(EarlierActions):
    """What a file holds, as lines until it is needed."""

    def __init__(self, undo: Sequence[tuple[str, str]], redo: Sequence[tuple[str, str]]) -> None:
        self.lines = {"undo": [line for _, line in undo], "redo": [line for _, line in redo]}
        super().__init__([name for name, _ in undo], [name for name, _ in redo], self._read)

    def _read(self) -> UndoState:
        named = (("undo", self.undo_names), ("redo", self.redo_names))
        with suppress(ValueError, LookupError, TypeError):
            return UndoState.of(
                *(
                    [(name, _changes(line)) for name, line in zip(names, self.lines[kind])]
                    for kind, names in named
                )
            )
        return UndoState.of([], [])  # damaged


def write_undo(path: Path, number: int, history: History) -> None:
    """Write what can be undone and redone in the session folder ``path``, whose last action has a number.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.
    """
    recent, room = history.recent_state(), MAX_BYTES
    kept: list[tuple[str, str, str]] = []
    for kind, actions in (("undo", recent.undo_actions), ("redo", recent.redo_actions)):
        new = ((name, _line(changes, room)) for name, changes in reversed(actions))
        for name, line in chain(new, _earlier(history, kind)):
            if line is None or len(line) > room:
                break
            room -= len(line)
            kept.append((kind, name, line))
    with replacing(path / _NAME) as aside, aside.open("w", encoding="utf-8") as file:
        file.write(to_text({"number": number, "steps": [(kind, name) for kind, name, _ in kept]}) + "\n")
        file.writelines(line for *_, line in kept)


def read_undo(path: Path, number: int) -> EarlierActions | None:
    """Return what can be undone and redone in a session folder; None if that is not known."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        with (path / _NAME).open(encoding="utf-8") as file:
            head = json.loads(next(file, "null"))
            if head["number"] != number:
                return None
            lines = [(kind, (name, next(file, ""))) for kind, name in head["steps"]]
        undo, redo = ([step for kind, step in reversed(lines) if kind == one] for one in ("undo", "redo"))
        return _InFile(undo, redo)
    return None


def _earlier(history: History, kind: str) -> list[tuple[str, str]]:
    """Return the steps of before that nobody has read, the last one first."""
    earlier = history.earlier
    if not isinstance(earlier, _InFile):
        return []
    names = earlier.undo_names if kind == "undo" else earlier.redo_names
    return list(zip(names, earlier.lines[kind]))[::-1]


def _line(changes: Iterable[Change], room: int) -> str | None:
    """Return an action as a line, None if it has no room."""
    values = []
    for change in changes:
        values.append(to_text([change_to_json(change.inverse()), change_to_json(change)]))
        room -= len(values[-1])
        if room < 0:
            return None
    return f"[{','.join(values)}]\n"


def _changes(line: str) -> list[Change]:
    return [_change(*one) for one in json.loads(line)]


def _change(inverse: dict[str, Any], made: dict[str, Any]) -> Change:
    before, after = change_from_json(inverse), change_from_json(made)
    return Change(after.kind, after.object_id, after.frame, before.after, after.after)
