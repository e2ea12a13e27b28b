"""Undo and redo of whole actions, within a cap of bytes."""

import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sam2_plugins.session.annotations import Annotations, Change, ChangeKind
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["DEFAULT_UNDO_BYTES", "Action", "EarlierActions", "History", "UndoGroup", "UndoState"]

DEFAULT_UNDO_BYTES = 256 * 2**20
_CHANGE_BYTES = 200

NamedChanges = tuple[str, Sequence[Change]]


@dataclass(frozen=True, eq=False)
class Action:
    """One thing that a person did.

    Attributes
    ----------
    name
        In words, for "Undo click on object 3".
    call
        What was asked of the session, under ``"do"``, and its arguments: plain values, a ``Prompt``,
        ``CompressedMask``s by id. With ``"joined"``, it is undone together with an earlier one: True for the
        last step, 2 for the one before that, and so on.
    changes
        What it changed, in order.
    """

    name: str
    call: Mapping[str, Any]
    changes: tuple[Change, ...]

    def inverse(self) -> tuple[Change, ...]:
        """Return the changes that take the action back."""
        return tuple(change.inverse() for change in reversed(self.changes))


class UndoGroup:
    """A token whose actions are undone as one also if something else was done between them.

    That is undone before them then. Only what touches the same begins a new step.
    """


@dataclass(eq=False)
class _Entry:
    name: str
    undo_group: object
    changes: list[Change] = field(default_factory=list)
    places: set[tuple[int, int | None]] = field(default_factory=set)
    num_bytes: int = 0

    @classmethod
    def of(cls, name: str, changes: Sequence[Change]) -> "_Entry":
        entry = cls(name, None)
        entry.add(changes)
        return entry

    def copy(self) -> "_Entry":
        return _Entry(self.name, self.undo_group, [*self.changes], {*self.places}, self.num_bytes)

    def add(self, changes: Sequence[Change]) -> None:
        self.changes += changes
        self.places.update(map(_place_of, changes))
        self.num_bytes += sum(map(_bytes_of, changes))

    def touches(self, other: "_Entry") -> bool:
        """Whether the two cannot be reordered: both change the same, or one makes or removes an object."""
        changed, others_changed = ({object_id for object_id, _ in one.places} for one in (self, other))
        made, others_made = ({i for i, frame in one.places if frame is None} for one in (self, other))
        return bool(self.places & other.places or made & others_changed or others_made & changed)


@dataclass(frozen=True, eq=False)
class UndoState:
    """What can be undone and redone, at one moment."""

    undo: tuple[_Entry, ...]
    redo: tuple[_Entry, ...]

    @classmethod
    def of(cls, undo: "Iterable[NamedChanges]", redo: "Iterable[NamedChanges]") -> "UndoState":
        """Return the state of actions by their names and changes, the last one last."""
        return cls(*(tuple(_Entry.of(name, changes) for name, changes in one) for one in (undo, redo)))

    @property
    def undo_actions(self) -> "list[NamedChanges]":
        """Names and changes of what can be undone, the last one last."""
        return [(entry.name, entry.changes) for entry in self.undo]

    @property
    def redo_actions(self) -> "list[NamedChanges]":
        """Names and changes of what can be redone, what was undone last at the end."""
        return [(entry.name, entry.changes) for entry in self.redo]


@dataclass(eq=False)
class EarlierActions:
    """What could be undone and redone when a session was closed, read once it is needed.

    Attributes
    ----------
    undo_names, redo_names
        In words, the last one last.
    read
        Returns all of it.
    """

    undo_names: list[str]
    redo_names: list[str]
    read: Callable[[], UndoState]


class History:
    """Undo and redo of what is done to a session's annotations.

    Parameters
    ----------
    annotations
        Its changes are collected while an action is open. Changes outside of any action are an error.
    max_bytes
        Cap of what undo stores; beyond it the oldest actions can no longer be undone.

    Attributes
    ----------
    max_bytes
        As given.
    earlier
        What could be undone before, as long as it was not read; None if there is nothing.
    interruptions
        Counts undo and redo: long work that notices a new number has been overtaken and ends.
    before_action
        Called before every action; what it raises keeps the action from being done.

    Examples
    --------
    >>> annotations = Annotations()
    >>> history = History(annotations)
    >>> history.subscribe(lambda action: print(action.name, len(action.changes)))
    >>> with history.action("new object", {"do": "add_object"}):
    ...     cell = annotations.new_object("cell", label=None, object_id=None)
    new object 1
    >>> history.undo_name
    'new object'
    >>> changes = history.undo()
    undo new object 1
    >>> annotations.objects(), history.redo_name
    ({}, 'new object')
    """

    def __init__(self, annotations: Annotations, max_bytes: int = DEFAULT_UNDO_BYTES) -> None:
        self._listeners: list[Callable[[Action], None]] = []
        self.interruptions = 0
        self.before_action: Callable[[], None] | None = None
        self.earlier: EarlierActions | None = None
        self.annotations = annotations
        self.max_bytes = max_bytes
        self._undo: deque[_Entry] = deque()
        self._num_bytes = 0  # of what can be undone
        self._redo: list[_Entry] = []
        self._open: list[Change] | None = None
        self._grouped_with = 0
        history = weakref.proxy(self)  # without a cycle, both are freed as soon as nobody uses the session
        annotations.on_change = lambda change: history._collect(change)

    @property
    def undo_name(self) -> str | None:
        """What undo would take back, in words; None if there is nothing."""
        earlier = self.earlier
        return _name_of_last(self._undo) or (_last(earlier.undo_names) if earlier else None)

    @property
    def redo_name(self) -> str | None:
        """What redo would do again, in words; None if there is nothing."""
        earlier = self.earlier
        return _name_of_last(self._redo) or (_last(earlier.redo_names) if earlier else None)

    @property
    def num_bytes(self) -> int:
        """Bytes that undo stores, about."""
        return self._num_bytes

    @contextmanager
    def action(self, name: str, call: Mapping[str, Any], undo_group: object = None) -> Iterator[list[Change]]:
        """Collect the changes of a ``with`` block as one action; if the block fails, they are taken back.

        It yields the list of changes, which grows with the block.

        Parameters
        ----------
        name, call
            See ``Action``. An action within an action becomes a part of it.
        undo_group
            Actions one after the other with the same token are undone as one, as the frames of a propagation;
            see also ``UndoGroup``.
        """
        with self.annotations.lock:
            if self._open is not None:
                yield self._open
                return
            if self.before_action is not None:
                self.before_action()
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
                entry = _Entry(name, undo_group)
                entry.add(changes)
                steps = self._push(entry)
                grouped = {"joined": True if steps == 1 else steps} if steps else {}
                self.notify(Action(name, {**call, **grouped}, tuple(changes)))

    @contextmanager
    def grouped_with(self, steps: int = 1) -> Iterator[None]:
        """Let the actions of a ``with`` block be undone together with one some steps back, 1 for the last."""
        self._grouped_with = steps
        try:
            yield
        finally:
            self._grouped_with = 0

    def undo(self) -> tuple[Change, ...]:
        """Take the last action back and return the changes made by that; none if there is nothing."""
        with self.annotations.lock:
            self.interruptions += 1
            if not self._undo:
                self._recall()
            if not self._undo:
                return ()
            entry = self._undo.pop()
            self._num_bytes -= entry.num_bytes
            self._redo.append(entry)
            changes = Action(entry.name, {}, tuple(entry.changes)).inverse()
            self.make(changes)
            self.notify(Action(f"undo {entry.name}", {"do": "undo"}, changes))
            return changes

    def redo(self) -> tuple[Change, ...]:
        """Do again what was undone last and return the changes; none if there is nothing."""
        with self.annotations.lock:
            self.interruptions += 1
            if not self._redo:
                self._recall()
            if not self._redo:
                return ()
            entry = self._redo.pop()
            self._undo.append(entry)
            self._num_bytes += entry.num_bytes
            changes = tuple(entry.changes)
            self.make(changes)
            self.notify(Action(f"redo {entry.name}", {"do": "redo"}, changes))
            return changes

    def _push(self, entry: _Entry) -> int:
        """Store what undo needs, and return how many steps back the one is that it went into; 0 for none."""
        self._redo.clear()
        if self.earlier is not None:
            self.earlier.redo_names.clear()
        steps = self._steps_back(entry)
        if steps:
            self._undo[-steps].add(entry.changes)
        else:
            self._undo.append(entry)
        self._num_bytes += entry.num_bytes
        while self._num_bytes > self.max_bytes and len(self._undo) > 1:
            self._num_bytes -= self._undo.popleft().num_bytes
        return steps

    def _steps_back(self, entry: _Entry) -> int:
        if self._grouped_with:
            return min(self._grouped_with, len(self._undo))
        for steps, earlier in enumerate(reversed(self._undo), start=1):
            if entry.undo_group is not None and earlier.undo_group is entry.undo_group:
                return steps
            if not isinstance(entry.undo_group, UndoGroup) or entry.touches(earlier):
                break
        return 0

    def make(self, changes: Iterable[Change]) -> None:
        """Make changes that are no action of somebody: nothing to undo, no listener is called."""
        with self.annotations.lock:
            self._open = []
            try:
                for change in changes:
                    self.annotations.apply(change)
            finally:
                self._open = None

    def undo_state(self) -> UndoState:
        """Return what can be undone and redone now; later actions do not change it."""
        with self.annotations.lock:
            self._recall()
            return self.recent_state()

    def recent_state(self) -> UndoState:
        """Return as :meth:`undo_state` what was done since the session was opened."""
        with self.annotations.lock:
            return UndoState(*(tuple(map(_Entry.copy, entries)) for entries in (self._undo, self._redo)))

    def restore(self, state: UndoState) -> None:
        """Let be undone and redone what could be, in a session with the same annotations."""
        with self.annotations.lock:
            self.earlier = None
            self._undo, self._redo = deque(map(_Entry.copy, state.undo)), [*map(_Entry.copy, state.redo)]
            self._num_bytes = sum(entry.num_bytes for entry in self._undo)

    def _recall(self) -> None:
        """Put what could be undone and redone before below what was done since."""
        if self.earlier is None:
            return
        earlier, self.earlier = self.earlier, None
        state = earlier.read()
        redo = [*state.redo, *self._redo] if earlier.redo_names else [*self._redo]
        self.restore(UndoState((*state.undo, *self._undo), tuple(redo)))

    def subscribe(self, listener: Callable[[Action], None]) -> None:
        """Call ``listener`` with every action that changed something, undo and redo among them.

        It is called in the thread that acted, before anything else can change: it should be quick.
        """
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Action], None]) -> None:
        """Call ``listener`` no more."""
        self._listeners.remove(listener)

    def notify(self, action: Action) -> None:
        """Tell the listeners of an action."""
        for listener in tuple(self._listeners):
            listener(action)

    def _collect(self, change: Change) -> None:
        if self._open is None:
            raise RuntimeError(
                f"{change.kind} of object {change.object_id} was changed outside of any action"
            )
        self._open.append(change)


def _last(names: Sequence[str]) -> str | None:
    return names[-1] if names else None


def _name_of_last(entries: Sequence[_Entry]) -> str | None:
    try:
        return entries[-1].name
    except IndexError:  # no test before it would help: another thread may take the last one at any moment
        return None


def _place_of(change: Change) -> tuple[int, int | None]:
    """Return what a change touches: a frame of an object, -1: its name and the like, None: all of it."""
    edited = change.kind is ChangeKind.OBJECT and change.before is not None and change.after is not None
    return change.object_id, -1 if edited else change.frame


def _bytes_of(change: Change) -> int:
    """Bytes of what was before; what comes after is in the annotations, or before a later change."""
    before = change.before
    if isinstance(before, AcceptedMask):
        return _CHANGE_BYTES + before.num_bytes
    if isinstance(before, tuple):
        return _CHANGE_BYTES + sum(len(prompt.mask.bits) for prompt in before if prompt.mask is not None)
    return _CHANGE_BYTES
