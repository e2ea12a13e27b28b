"""Cache of sessions on recent images, so that a second click costs only the decoder."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from labelstudio_backend.media.library import MediaFile
from labelstudio_backend.tasks.lanes import Lane, Ticket
from sam2_engine.malloc_trim import release_freed_memory
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["SessionCache"]

_SESSION_BYTES = 1 << 20
"""What a session takes beside its image."""


@dataclass
class _Entry:
    turn: Lane = field(default_factory=lambda: Lane(1))
    session: AnnotationSession | None = None
    media: MediaFile | None = None  # its file lives as long as it is referenced
    num_bytes: int = 0


class SessionCache:
    """The most recently used sessions, one per address, each used by one request at a time.

    Parameters
    ----------
    lane
        In which requests work; one that waits for another request on the same image takes no place in it.
    max_bytes
        Cap for their images; one stays, however large. Encoded frames have a cap of their own.
    """

    def __init__(self, max_bytes: int, lane: Lane) -> None:
        self._lane = lane
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn, beside those that wait for another one on the same image."""
        return self._lane.waiting

    @property
    def num_bytes(self) -> int:
        """About how much memory all of them take."""
        with self._lock:
            return self._total()

    @contextmanager
    def use(
        self, address: str, open_session: Callable[[], tuple[AnnotationSession, MediaFile]], ticket: Ticket
    ) -> Iterator[AnnotationSession]:
        """Give the session of an address, without objects, for a ``with`` block, opened if need be.

        Parameters
        ----------
        ticket
            The request for it.

        Raises
        ------
        InputError
            If it cannot be opened, or other requests take too long before it.
        SupersededError
            If a newer request took over while this one waited.
        """
        entry = self._entry(address)
        with entry.turn.place(ticket), self._lane.place(ticket):
            new = entry.session is None
            try:
                if new:
                    self._open(address, entry, open_session)
                assert entry.session is not None
                for object_id in list(entry.session.objects):
                    entry.session.remove_object(object_id)
                yield entry.session
            finally:
                if new:
                    release_freed_memory()  # encoding freed much; a click on what is encoded does not

    def clear(self) -> None:
        """Drop all sessions; one that is in use ends with its request."""
        with self._lock:
            self._entries.clear()

    def _entry(self, address: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(address, _Entry())
            self._entries.move_to_end(address)
            return entry

    def _open(
        self, address: str, entry: _Entry, open_session: Callable[[], tuple[AnnotationSession, MediaFile]]
    ) -> None:
        try:
            entry.session, entry.media = open_session()
        except BaseException:
            with self._lock:
                if self._entries.get(address) is entry:
                    del self._entries[address]
            raise
        self._evict(entry)

    def _evict(self, new: _Entry) -> None:
        """Evict the least recently used sessions to make room for a new one."""
        assert new.session is not None
        frames = new.session.frames
        height, width = frames.shape
        with self._lock:
            new.num_bytes = _SESSION_BYTES + height * width * frames.channels * frames.dtype.itemsize
            while len(self._entries) > 1 and self._total() > self._max_bytes:
                self._entries.popitem(last=False)

    def _total(self) -> int:
        return sum(entry.num_bytes for entry in self._entries.values())
