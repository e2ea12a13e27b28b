"""A budget of memory that decoders share: whoever does not fit in waits until others are done."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MemoryBudget"]


class MemoryBudget:
    """Bytes that may be in use at a time, given in order of arrival.

    Parameters
    ----------
    max_bytes
        Of all together; what needs more than that is alone.

    Examples
    --------
    >>> budget = MemoryBudget(100)
    >>> with budget.held(60), budget.held(40):
    ...     budget.used
    100
    """

    def __init__(self, max_bytes: int) -> None:
        self.used = 0
        self._max_bytes = max_bytes
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def held(self, num_bytes: int) -> Iterator[None]:
        """Take bytes for a ``with`` block, once it is this one's turn and there are as many."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._has_room(num_bytes))
                self.used += num_bytes
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.used -= num_bytes
                self._changed.notify_all()

    def _has_room(self, num_bytes: int) -> bool:
        return not self.used or self.used + num_bytes <= self._max_bytes
