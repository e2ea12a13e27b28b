"""Lanes of work, in which requests wait their turn, or until newer ones about the same regions come."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager

from sam2_engine.errors import InputError

__all__ = ["BusyError", "Lane", "Requests", "SupersededError", "Ticket"]


class BusyError(InputError):
    """Work that could not begin in time, for all that was waiting before it."""

    def __init__(self) -> None:
        super().__init__("The server is busy; try again in a moment.")


class SupersededError(Exception):
    """Work that nobody waits for any more: the same person has asked anew."""


class Ticket:
    """One request, which a newer one about the same regions supersedes.

    Parameters
    ----------
    regions
        Ids of what it is about.
    content
        What it asks; one that asks the same does not supersede it.
    deadline
        The time (``time.monotonic``) until which it is worth waiting.
    """

    def __init__(
        self, regions: Collection[Hashable] = (), content: object = None, deadline: float = float("inf")
    ) -> None:
        self.regions = frozenset(regions)
        self.content = content
        self.deadline = deadline
        self.superseded = False
        self._wakers: list[Callable[[], None]] = []

    @property
    def seconds_left(self) -> float:
        """How long it may still wait."""
        return min(max(0.0, self.deadline - time.monotonic()), threading.TIMEOUT_MAX)

    def supersede(self) -> None:
        """End its waiting."""
        self.superseded = True
        for wake in list(self._wakers):
            wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have ``wake()`` called, from any thread, if it is superseded within a ``with`` block."""
        self._wakers.append(wake)
        try:
            yield
        finally:
            self._wakers.remove(wake)


class Requests:
    """The requests under way, by what they are about."""

    def __init__(self) -> None:
        self._tickets: dict[Hashable, list[Ticket]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def begun(self, scope: Hashable, ticket: Ticket) -> Iterator[Ticket]:
        """Count a request as under way for a ``with`` block, and supersede those that it replaces.

        Parameters
        ----------
        scope
            Where its regions are: a task.
        """
        with self._lock:
            others = self._tickets.setdefault(scope, [])
            older = [one for one in others if one.regions & ticket.regions and one.content != ticket.content]
            others.append(ticket)
        for one in older:
            one.supersede()
        try:
            yield ticket
        finally:
            with self._lock:
                others.remove(ticket)
                if not others:
                    self._tickets.pop(scope, None)


class Lane:
    """Work of one kind, so much of it at a time; who waits takes no place, and gets one in order of arrival.

    Parameters
    ----------
    places
        How much is done at a time.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    @contextmanager
    def place(self, ticket: Ticket) -> Iterator[None]:
        """Take a place for a ``with`` block, once it is this request's turn.

        Raises
        ------
        BusyError
            If that was not so by its deadline.
        SupersededError
            If a newer request took over before.
        """
        with self._changed:
            self._waiting.append(ticket)
            try:
                with ticket.waking(self._wake):
                    self._changed.wait_for(
                        lambda: ticket.superseded or self._is_next(ticket), ticket.seconds_left
                    )
                if ticket.superseded:
                    raise SupersededError
                if not self._is_next(ticket):
                    raise BusyError
                self._free -= 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _is_next(self, ticket: Ticket) -> bool:
        return self._free > 0 and self._waiting[0] is ticket

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
