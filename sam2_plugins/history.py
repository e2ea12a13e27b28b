"""Undo and redo: every action as the changes that it made, within a cap of bytes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sam2_plugins.accepted_mask import AcceptedMask
from sam2_plugins.annotations import Annotations, Change

__all__ = ["DEFAULT_UNDO_BYTES", "Action", "History"]

DEFAULT_UNDO_BYTES = 256 * 2**20
_CHANGE_BYTES = 200


@dataclass(frozen=True, eq=False)
class Action:
    """One thing that a person did.

    Attributes
    ----------
    name
        In words, for "Undo click on object 3".
    call
        What was asked of the session, under ``"do"``, and its arguments: plain values, a ``Prompt``,
        ``CompressedMask``s by id. With ``"joined"``, it is undone together with the one before.
    changes
        What came of it, in order.
    """

    name: str
    call: Mapping[str, Any]
    changes: tuple[Change, ...]

    def inverse(self) -> tuple[Change, ...]:
        """Return the changes that take the action back."""
        return tuple(change.inverse() for change in reversed(self.changes))


@dataclass(eq=False)
class _Entry:
    name: str
    token: object
    changes: list[Change]
    num_bytes: int = 0


class History:
    """What was done to a session's truth, and the way back.

    Parameters
    ----------
    truth
        Its changes are collected while an action is open. Changes outside of any action are an error.
    max_bytes
        Cap of what undo keeps; beyond it the oldest actions can no longer be undone.

    Attributes
    ----------
    listeners
        Called with every action that changed something, undo and redo among them, as soon as it is complete;
        within the truth's lock, so that nobody sees a later state before.
    interruptions
        Counts undo and redo: long work that notices a new number has been overtaken and ends.
    """

    def __init__(self, truth: Annotations, max_bytes: int = DEFAULT_UNDO_BYTES) -> None:
        self.listeners: list[Callable[[Action], None]] = []
        self.interruptions = 0
        self._truth = truth
        self._max_bytes = max_bytes
        self._undo: deque[_Entry] = deque()
        self._redo: list[_Entry] = []
        self._open: list[Change] | None = None
        self._joining = False
        truth.on_change = self._collect

    @property
    def undo_name(self) -> str | None:
        """What undo would take back, in words; None if there is nothing."""
        return _name_of_last(self._undo)

    @property
    def redo_name(self) -> str | None:
        """What redo would do again, in words; None if there is nothing."""
        return _name_of_last(self._redo)

    @property
    def num_bytes(self) -> int:
        """Bytes that undo keeps, about."""
        with self._truth.lock:
            return sum(entry.num_bytes for entry in self._undo)

    @contextmanager
    def action(self, name: str, call: Mapping[str, Any], token: object = None) -> Iterator[list[Change]]:
        """Collect the changes of a ``with`` block as one action; if the block fails, they are taken back.

        What it gives is the list of changes, which grows with the block.

        Parameters
        ----------
        name, call
            See ``Action``. An action within an action becomes a part of it.
        token
            Actions one after the other with the same token are undone as one, as the frames of a propagation.
        """
        with self._truth.lock:
            if self._open is not None:
                yield self._open
                return
            changes: list[Change] = []
            self._open = changes
            try:
                yield changes
            except BaseException:
                self._open = None
                self.make(Action(name, call, tuple(changes)).inverse())
                raise
            self._open = None
            if changes:
                joined = self._keep(_Entry(name, token, list(changes)))
                self.tell(Action(name, {**call, "joined": True} if joined else call, tuple(changes)))

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Let the actions of a ``with`` block be undone together with the one before."""
        self._joining = True
        try:
            yield
        finally:
            self._joining = False

    def undo(self) -> tuple[Change, ...]:
        """Take the last action back and return the changes made by that; none if there is nothing."""
        with self._truth.lock:
            self.interruptions += 1
            if not self._undo:
                return ()
            entry = self._undo.pop()
            self._redo.append(entry)
            changes = Action(entry.name, {}, tuple(entry.changes)).inverse()
            self.make(changes)
            self.tell(Action(f"undo {entry.name}", {"do": "undo"}, changes))
            return changes

    def redo(self) -> tuple[Change, ...]:
        """Do again what was undone last and return the changes; none if there is nothing."""
        with self._truth.lock:
            self.interruptions += 1
            if not self._redo:
                return ()
            entry = self._redo.pop()
            self._undo.append(entry)
            changes = tuple(entry.changes)
            self.make(changes)
            self.tell(Action(f"redo {entry.name}", {"do": "redo"}, changes))
            return changes

    def _keep(self, entry: _Entry) -> bool:
        """Keep what undo needs, and return whether it was joined to the action before."""
        self._redo.clear()
        entry.num_bytes = sum(map(_bytes_of, entry.changes))
        last = self._undo[-1] if self._undo else None
        same = entry.token is not None and last is not None and last.token is entry.token
        joined = last is not None and (same or self._joining)
        if last is not None and joined:
            last.changes += entry.changes
            last.num_bytes += entry.num_bytes
        else:
            self._undo.append(entry)
        total = sum(one.num_bytes for one in self._undo)
        while total > self._max_bytes and len(self._undo) > 1:
            total -= self._undo.popleft().num_bytes
        return joined

    def make(self, changes: Iterable[Change]) -> None:
        """Make changes that are no action of somebody: nothing to undo, nobody is told."""
        with self._truth.lock:
            self._open = []
            try:
                for change in changes:
                    self._truth.apply(change)
            finally:
                self._open = None

    def tell(self, action: Action) -> None:
        """Tell the listeners of an action."""
        for listener in tuple(self.listeners):
            listener(action)

    def _collect(self, change: Change) -> None:
        if self._open is None:
            raise RuntimeError(
                f"{change.part} of object {change.object_id} was changed outside of any action"
            )
        self._open.append(change)


def _name_of_last(entries: Sequence[_Entry]) -> str | None:
    try:
        return entries[-1].name
    except IndexError:  # asked for, not looked for: another thread may take the last one away any moment
        return None


def _bytes_of(change: Change) -> int:
    """Bytes of what was before; what comes after is in the truth, or before a later change."""
    before = change.before
    if isinstance(before, AcceptedMask):
        return _CHANGE_BYTES + before.num_bytes
    if isinstance(before, tuple):
        return _CHANGE_BYTES + sum(len(one.mask.bits) for one in before if one.mask is not None)
    return _CHANGE_BYTES
