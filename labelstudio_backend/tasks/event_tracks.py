"""Tracks of the event protocol: computed in the background, and fetched by the page as they grow."""

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from labelstudio_backend.schema.event_messages import picture
from labelstudio_backend.schema.frame_clock import FrameClock
from sam2_engine.errors import InputError
from sam2_engine.prompts import Prompt
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["EventTrack", "EventTracks"]

_FORGOTTEN_SECONDS = 300.0
"""After so long without a question a track is stopped: its page was closed."""
_BATCH = 32
_POLL_SECONDS = 5.0
_GATHER_SECONDS = 0.25
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class EventTrack:
    """One object that is followed from one prompt.

    Attributes
    ----------
    task_id
        The only task that may ask for it.
    session
        Of the video, in which the object is for as long as it is tracked.
    clock
        Of the video.
    frame
        The file's frame with the prompt.
    spans
        First and last frame of each direction, from the prompt on.
    prompt
        Clicks and a box.
    is_ended
        Whether nothing is added any more: it is done, failed, or was cancelled.
    """

    task_id: object
    session: AnnotationSession
    clock: FrameClock
    frame: int
    spans: tuple[tuple[int, int], ...]
    prompt: Prompt
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    cancel: CancelToken = field(default_factory=CancelToken)
    produced: int = 0
    error: str | None = None
    is_ended: bool = False
    looked_at: int = 0
    reached: int = 0
    asked: float = field(default_factory=time.monotonic)
    _ready: list[dict[str, Any]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def num_frames(self) -> int:
        """How many frames are looked at in all."""
        return 1 + sum(abs(last - first) for first, last in self.spans)

    @property
    def stopped(self) -> str | None:
        """Where it was stopped, in a sentence that counts as the page does; None if it was not."""
        if not self.cancel.cancelled or self.looked_at == self.num_frames:
            return None
        if not self.looked_at:
            return "Tracking was stopped before its first frame."
        reached = f"frame {self.clock.page_frame(self.reached)} of {self.clock.page_frames}"
        return f"Tracking was stopped at {reached}; the masks that were finished stay."

    def run(self) -> None:
        """Track the object to the ends of its spans, unless it is cancelled."""
        if self.cancel.cancelled:
            self._end()
            return
        session = self.session
        object_id = session.add_object(f"event {self.id}")
        try:
            session.add_prompt(self.frame, object_id, self.prompt)
            self._add(object_id, self.frame)
            for first, last in self.spans:
                if first == last:
                    continue
                for result in session.iter_propagate((object_id,), first, last, last < first, self.cancel):
                    if result.frame != self.frame:
                        self._add(object_id, result.frame)
        except InputError as error:
            self.error = str(error)
        except Exception:
            self.error = f"The backend failed; its log has the details under reference {self.id}."
            _log.exception("reference=%s", self.id)
        finally:
            if object_id in session.objects:
                session.remove_object(object_id)
            self._end()

    def _end(self) -> None:
        with self._changed:
            self.is_ended = True
            self._changed.notify_all()

    def _add(self, object_id: int, frame: int) -> None:
        """Have the mask of a frame ready; where the object is not seen, the page shows nothing."""
        mask = self.session.mask(object_id, frame)
        self.looked_at, self.reached = self.looked_at + 1, frame
        if mask is None or not mask.any():
            return
        with self._changed:
            seconds = self.clock.start_times[frame]
            self._ready.append({"frame": frame, "time_ms": 1000 * seconds, **picture(mask)})
            self.produced += 1
            self._changed.notify_all()

    def progress(self) -> dict[str, Any]:
        """Return what is new, after some seconds at the latest."""
        with self._changed:
            self.asked = time.monotonic()
            self._changed.wait_for(lambda: self._ready or self.is_ended, _POLL_SECONDS)
            self._changed.wait_for(lambda: len(self._ready) >= _BATCH or self.is_ended, _GATHER_SECONDS)
            frames, self._ready = self._ready[:_BATCH], self._ready[_BATCH:]
            return {
                "frames": frames,
                "produced": self.produced,
                "total": self.num_frames,
                "done": self.is_ended and not self._ready,
                "error": self.error,
                **({"stopped": self.stopped} if self.is_ended and self.stopped else {}),
            }


class EventTracks:
    """All tracks of the event protocol; one is computed at a time.

    Parameters
    ----------
    most
        How many there may be.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._tracks: OrderedDict[str, EventTrack] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "event-tracks")

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def under_way(self) -> int:
        """How many take a place: all that were not cancelled and are not fetched to their end."""
        return sum(not track.cancel.cancelled for track in self._tracks.values())

    def start(self, track: EventTrack, ended: Callable[[], None]) -> bool:
        """Compute a track in the background; return whether there was room for it.

        Parameters
        ----------
        track
            What to track.
        ended
            Called when its session is no longer needed.
        """
        with self._lock:
            self._drop_forgotten()
            if self.under_way >= self.most:
                return False
            cancelled = [one for one in self._tracks.values() if one.cancel.cancelled]
            self._stop(cancelled[: -self.most])  # of the others what was finished can still be fetched
            self._tracks[track.id] = track

        def run() -> None:
            try:
                track.run()
            finally:
                ended()

        self._worker.submit(run)
        return True

    def progress(self, task_id: object, track_id: object) -> dict[str, Any]:
        """Return what is new of a task's track; one that has ended is asked for once more, at most."""
        with self._lock:
            track = self._find(task_id, track_id)
        if track is None:
            return {"error": "session not found", "done": True}
        found = track.progress()
        if found["done"]:
            with self._lock:
                self._tracks.pop(track.id, None)
        return found

    def cancel(self, task_id: object, track_id: object) -> bool:
        """Stop a task's track after its frame; return whether there was one.

        What is finished can be asked for on: who stops a track has seen enough of it, and wants that much.
        """
        with self._lock:
            track = self._find(task_id, track_id)
        if track is not None:
            track.cancel.cancel()
        return track is not None

    def release(self, task_id: object) -> None:
        """Stop all tracks of a task."""
        with self._lock:
            self._stop([track for track in self._tracks.values() if track.task_id == task_id])

    def close(self) -> None:
        """Stop all of them, and wait for the frame that is computed."""
        with self._lock:
            self._stop(list(self._tracks.values()))
        self._worker.shutdown()

    def _find(self, task_id: object, track_id: object) -> EventTrack | None:
        track = self._tracks.get(track_id) if isinstance(track_id, str) else None
        return track if track is not None and track.task_id == task_id else None

    def _drop_forgotten(self) -> None:
        now = time.monotonic()
        self._stop([track for track in self._tracks.values() if now - track.asked > _FORGOTTEN_SECONDS])

    def _stop(self, tracks: Iterable[EventTrack]) -> None:
        for track in tracks:
            track.cancel.cancel()
            self._tracks.pop(track.id, None)
