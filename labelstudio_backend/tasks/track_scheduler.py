"""Scheduling of video tracking: one thread that takes turns among projects and outlives requests."""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from labelstudio_backend.tasks.lanes import Lane, Ticket
from labelstudio_backend.tasks.video_tracking import VideoTracking

__all__ = ["TrackScheduler", "VideoKey"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoKey:
    """A video and the model that tracks it; turns are taken by project, then by task.

    Attributes
    ----------
    project, task
        Label Studio's ids.
    address
        Of the media.
    model
        The model's name.
    """

    project: Hashable
    task: Hashable
    address: str
    model: str


@dataclass(eq=False)
class _Entry:
    key: VideoKey
    opening: Lane = field(default_factory=lambda: Lane(1))
    video: VideoTracking | None = None
    users: int = 0
    pending: bool = False
    is_stepping: bool = False
    requested_again: bool = False
    last_turn: int = 0
    last_use: float = 0.0


class TrackScheduler:
    """Open videos, tracked frame by frame in one thread.

    Each turn, the project that has waited longest goes on by one frame, in the task that has waited longest;
    the device is held for that frame only, and clicks go first.

    Parameters
    ----------
    capacity
        How many videos stay open beside those in use; beyond it, the least recently requested is closed.
    max_bytes
        Cap for the masks of all of them.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._entries: dict[VideoKey, _Entry] = {}
        self._project_turns: dict[Hashable, int] = {}
        self._turn = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        """Return how many videos are open."""
        return len(self._entries)

    @property
    def num_bytes(self) -> int:
        """About how much memory the masks of all of them take."""
        with self._changed:
            return sum(entry.video.num_bytes for entry in self._entries.values() if entry.video is not None)

    @property
    def pending(self) -> int:
        """How many of them are being tracked at the moment."""
        with self._changed:
            return len(self._pending_entries())

    @property
    def closed(self) -> bool:
        """Whether nothing is tracked any more."""
        return self._closed

    @contextmanager
    def use(
        self, key: VideoKey, open_video: Callable[[], VideoTracking], ticket: Ticket
    ) -> Iterator[VideoTracking]:
        """Give a video for a ``with`` block, opened if need be; it mostly stays open longer.

        Raises
        ------
        InputError
            If it cannot be opened, or another request opens it until this one's deadline.
        SupersededError
            If a newer request took over while this one waited.
        """
        with self._changed:
            entry = self._entries.setdefault(key, _Entry(key))
            entry.users += 1
            entry.last_use = time.monotonic()
        try:
            with entry.opening.place(ticket):
                if entry.video is None:
                    self._close_other_models(key)
                    entry.video = open_video()
                video = entry.video
            yield video
        finally:
            with self._changed:
                entry.users -= 1
            self._evict()

    def wait(self, video: VideoTracking, is_done: Callable[[], bool], ticket: Ticket) -> None:
        """Track a video in use until ``is_done()``, the request's deadline, or a newer request."""
        with ticket.waking(self._wake), self._changed:
            entry = next(entry for entry in self._entries.values() if entry.video is video)
            entry.pending = entry.requested_again = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="sam2-tracks", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closed or ticket.superseded or is_done(), timeout=ticket.seconds_left
            )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def find(self, project: Hashable, task: Hashable) -> list[VideoTracking]:
        """Return the open videos of a task."""
        with self._changed:
            entries = [
                one for key, one in self._entries.items() if (key.project, key.task) == (project, task)
            ]
            return [entry.video for entry in entries if entry.video is not None]

    def close(self) -> None:
        """End the thread after its frame, and close all videos."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._evict()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            video = entry.video
            more = video is not None and video.step()
            if video is not None and video.error is not None:
                _log.warning("task=%s tracking stopped: %s", entry.key.task, video.error)
            with self._changed:
                entry.users -= 1
                entry.is_stepping = False
                if not more:
                    entry.pending = entry.requested_again
                entry.requested_again = False
                self._changed.notify_all()
            if not more:
                self._evict()

    def _next(self) -> _Entry | None:
        """Wait for a pending video and return the one whose turn it is; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._pending_entries())
            if self._closed:
                return None
            turns = self._project_turns
            entry = min(
                self._pending_entries(), key=lambda one: (turns.get(one.key.project, 0), one.last_turn)
            )
            self._turn += 1
            entry.last_turn = turns[entry.key.project] = self._turn
            entry.users += 1
            entry.is_stepping = True
            entry.requested_again = False
            return entry

    def _pending_entries(self) -> list[_Entry]:
        return [entry for entry in self._entries.values() if entry.pending]

    # ------------------------------------------------------------------ eviction

    def _evict(self) -> None:
        """Close what is beyond the caps, the least recently requested first; what is in use stays."""
        while (entry := self._next_to_evict()) is not None:
            self._close_entry(entry)

    def _close_other_models(self, key: VideoKey) -> None:
        """Close the same video with another model, whose session folder is needed, if no request uses it.

        The frame in work is waited for: its answer may have gone out before it has ended.
        """
        same = (key.project, key.task, key.address)
        with self._changed:
            others = [
                entry
                for other, entry in self._entries.items()
                if (other.project, other.task, other.address) == same
                and other != key
                and entry.users == entry.is_stepping
            ]
            for entry in others:
                entry.pending = False
            self._changed.wait_for(lambda: not any(entry.is_stepping for entry in others))
        for entry in others:
            self._close_entry(entry)

    def _close_entry(self, entry: _Entry) -> None:
        """Close a video unless a request has begun to use it; a later one opens it again afterwards."""
        with entry.opening.place(Ticket()):
            with self._changed:
                if entry.users:
                    return
                video, entry.video = entry.video, None
            if video is not None:
                video.close()
        with self._changed:
            idle = entry.users == 0 and entry.video is None
            if idle and self._entries.get(entry.key) is entry:  # not one that was opened anew meanwhile
                del self._entries[entry.key]

    def _next_to_evict(self) -> _Entry | None:
        """Return a video to be closed, which will not be tracked any further."""
        with self._changed:
            idle = sorted(
                (one for one in self._entries.values() if not one.users), key=lambda one: one.last_use
            )
            videos = [one.video for one in self._entries.values() if one.video is not None]
            too_large = len(videos) > 1 and sum(video.num_bytes for video in videos) > self._max_bytes
            if idle and (self._closed or len(videos) > self._capacity or too_large):
                idle[0].pending = False
                return idle[0]
            return next((one for one in idle if one.video is None), None)  # it could not be opened
