"""Recent images and videos with their encoded frames, so that a second click costs only the decoder."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from labelstudio_backend.media import MediaFile
from sam2_engine.errors import InputError
from sam2_plugins.annotation_session import AnnotationSession

__all__ = ["SessionCache"]


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    session: AnnotationSession | None = None
    media: MediaFile | None = None  # kept, for its file lives as long as it is held


class SessionCache:
    """The most recently used sessions, one per address, each used by one request at a time."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def use(
        self, address: str, open_session: Callable[[], tuple[AnnotationSession, MediaFile]], deadline: float
    ) -> Iterator[AnnotationSession]:
        """Lend the session of an address, without objects, opening it if need be.

        Parameters
        ----------
        deadline
            The time (``time.monotonic``) until which it is worth waiting for another request to end.

        Raises
        ------
        InputError
            If another request works on the same media for too long, or it cannot be opened.
        """
        entry = self._entry(address)
        if not entry.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise InputError("Another request is still working on this task; try again in a minute.")
        try:
            if entry.session is None:
                entry.session, entry.media = open_session()
            for object_id in list(entry.session.objects):
                entry.session.remove_object(object_id)
            yield entry.session
        finally:
            entry.lock.release()

    def clear(self) -> None:
        """Forget all sessions; one that is in use ends with its request."""
        with self._lock:
            self._entries.clear()

    def _entry(self, address: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(address, _Entry())
            self._entries.move_to_end(address)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
            return entry
