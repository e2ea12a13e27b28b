"""The tracks of one task's video, how far each is tracked, and the next frame of them."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track
from labelstudio_backend.schema.regions import PixelBox, box_from_rectangle, object_bounds
from labelstudio_backend.tasks.doubts import scores_by_object
from sam2_engine.prompts import Box
from sam2_engine.video.frame_result import FrameResult
from sam2_plugins.review import Review
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["VideoTrack", "VideoTracking", "box_prompts"]

_BOX_TOLERANCE = 0.01
"""Pixels: what rounding may change in a box on its way to Label Studio and back."""
_MASK_OVERHEAD_BYTES = 1000
"""About what a mask takes beside its pixels."""


def box_prompts(track: Track, clock: FrameClock, shape: tuple[int, int]) -> dict[int, Box]:
    """Return a person's keyframes by the file's frame: the prompts of a track.

    Raises
    ------
    InputError
        If one lies beyond the video's end, or outside of its frames.
    """
    boxes = {}
    for frame, keyframe in track.prompts.items():
        clock.check(frame)
        boxes[clock.index(frame)] = Box.of(box_from_rectangle(keyframe.item, shape), shape)
    return boxes


def life_of(track: Track, clock: FrameClock) -> Life:
    """Return where an object can be: not between a keyframe after which a person hid it and the next one."""
    frames = [clock.index(frame) for frame in track.prompts]
    ends = [*(frame - 1.0 for frame in frames[1:]), math.inf]
    keyframes = zip(frames, ends, track.prompts.values())
    return Life.of_gaps((frame + 1.0, end) for frame, end, keyframe in keyframes if not keyframe.enabled)


@dataclass(eq=False)
class VideoTrack:
    """One object of a video, as far as it is tracked.

    Attributes
    ----------
    region_id, label
        Label Studio's.
    prompts
        A person's boxes by the file's frame.
    life
        The frames on which a person left it visible.
    direction
        ``"forward"``, ``"backward"`` or ``"both"``.
    active
        Whether it is to be tracked further.
    waiting_requests
        How many requests wait for it.
    boxes
        By the file's frame, where it was tracked: its box, None where it is absent.
    num_bytes
        About how much memory its masks take.
    object_id
        In the session, once it was prompted.
    restored
        Frames tracked before the session was closed and opened again, whose memories are gone.
    """

    region_id: str
    label: str
    prompts: Mapping[int, Box]
    life: Life = field(default_factory=Life)
    direction: str = "forward"
    active: bool = False
    waiting_requests: int = 0
    boxes: dict[int, PixelBox | None] = field(default_factory=dict)
    num_bytes: int = 0
    object_id: int | None = None
    restored: frozenset[int] = frozenset()

    def frames_to_track(self, length: int) -> list[int]:
        """Return the file's frames on which it is tracked in the end."""
        first = min(self.prompts) if self.direction == "forward" else 0
        last = max(self.prompts) if self.direction == "backward" else length - 1
        return [frame for frame in range(first, last + 1) if frame in self.life]

    def live(self, life: Life) -> None:
        """Take over where a person left it visible; what is known elsewhere no longer holds."""
        if life != self.life:
            self.life = life
            self.boxes = {frame: box for frame, box in self.boxes.items() if frame in life}

    def has_prompts(self, prompts: Mapping[int, Box]) -> bool:
        """Whether a person's boxes are still these."""
        return self.prompts.keys() == prompts.keys() and all(
            _is_same_box(self.prompts[frame], prompts[frame]) for frame in prompts
        )


class VideoTracking:
    """The tracks of one task's video; their masks stay until their prompts change.

    Any thread may make requests; one thread at a time calls :meth:`step`.

    Parameters
    ----------
    session
        Without objects, or as it was stored: each object has its region's id as its name.
    close
        Called when the video is no longer needed.

    Attributes
    ----------
    error
        What ended the last step, if it failed; the next request tries again.
    """

    def __init__(self, session: AnnotationSession, close: Callable[[], None] = lambda: None) -> None:
        self.session = session
        self.error: Exception | None = None
        self._close = close
        self._lock = threading.Lock()
        self._tracks: dict[str, VideoTrack] = {}
        self._steps: Iterator[None] | None = None
        self._unreadable: dict[int, str] = {}
        self._review, self._reviewing = Review(), threading.Lock()
        self._restore()

    @property
    def num_bytes(self) -> int:
        """About how much memory its masks take."""
        with self._lock:
            return sum(track.num_bytes for track in self._tracks.values())

    def close(self) -> None:
        """Release files; masks stay where the session is stored."""
        self._steps = self.error = None  # an error holds, by its traceback, all that it passed
        self._close()

    # ------------------------------------------------------------------ requests

    @contextmanager
    def request(
        self, tracks: Sequence[Track], clock: FrameClock, direction: str
    ) -> Iterator[list[VideoTrack]]:
        """Request tracks, and give them as far as they are; tracking goes on after the ``with`` block.

        A track whose prompts are the same goes on where it is; one with others begins anew. Other tracks
        with one of these labels were deleted by the person, or wait until they are requested again.

        Raises
        ------
        InputError
            If a keyframe cannot be used.
        """
        prompts = {track.id: box_prompts(track, clock, self.session.shape) for track in tracks}
        lives = {track.id: life_of(track, clock) for track in tracks}
        labels = {track.label for track in tracks}
        with self._lock:
            for other in self._tracks.values():
                other.active = other.active and (other.waiting_requests > 0 or other.label not in labels)
            requested = [self._request_track(track, prompts[track.id], direction) for track in tracks]
            for video_track in requested:
                video_track.live(lives[video_track.region_id])
            self._steps = self.error = None
            self._unreadable.clear()  # it may be mended
        try:
            yield requested
        finally:
            with self._lock:
                for video_track in requested:
                    video_track.waiting_requests -= 1

    def _request_track(self, track: Track, prompts: Mapping[int, Box], direction: str) -> VideoTrack:
        video_track = self._tracks.get(track.id)
        if video_track is None or not video_track.has_prompts(prompts):
            video_track = self._tracks[track.id] = VideoTrack(track.id, track.label, prompts)
        video_track.label, video_track.direction, video_track.active = track.label, direction, True
        video_track.waiting_requests += 1
        return video_track

    def stop(self, region_ids: Iterable[str]) -> None:
        """Stop tracking some regions; what is done stays."""
        with self._lock:
            for region_id in region_ids:
                if region_id in self._tracks:
                    self._tracks[region_id].active = False
            self._steps = None

    def is_done(self, tracks: Iterable[VideoTrack]) -> bool:
        """Whether some tracks are tracked as far as they go, or will not be."""
        with self._lock:
            return self.error is not None or not any(
                self._tracks.get(track.region_id) is track and track.active and self._frames_left(track)
                for track in tracks
            )

    @property
    def unreadable(self) -> dict[int, str]:
        """The file's frames that could not be read since the last request, and why."""
        with self._lock:
            return dict(self._unreadable)

    def progress_of(self, track: VideoTrack) -> tuple[dict[int, PixelBox | None], bool]:
        """Return a track's boxes by the file's frame, and whether that is all."""
        with self._lock:
            return dict(track.boxes), not self._frames_left(track)

    def scores(self) -> dict[str, float]:
        """Return by region's id how little doubtful each track is, as far as it is tracked (0 to 1)."""
        with self._lock:
            tracked = {
                track.object_id: (track.region_id, list(track.boxes))
                for track in self._tracks.values()
                if track.object_id is not None and track.boxes
            }
        masks: dict[int, dict[int, AcceptedMask]] = {}
        for object_id, (_, frames) in tracked.items():
            found = ((frame, self.session.accepted(object_id, frame)) for frame in frames)
            masks[object_id] = {frame: mask for frame, mask in found if mask is not None}
        with self._reviewing:
            scores = scores_by_object(masks, self._review)
        return {tracked[object_id][0]: score for object_id, score in scores.items()}

    def _frames_left(self, track: VideoTrack) -> bool:
        frames = track.frames_to_track(len(self.session))
        done = len(track.boxes) + len(self._unreadable)
        return done < len(frames) or any(
            frame not in track.boxes and frame not in self._unreadable for frame in frames
        )

    # ------------------------------------------------------------------ tracking

    def step(self) -> bool:
        """Add one prompt or track one frame; return whether there may be more to do."""
        with self._lock:
            steps = self._steps = self._steps or self._all_steps()
        try:
            next(steps)
        except StopIteration:
            with self._lock:
                return self._steps is not steps  # there was a request meanwhile
        except Exception as error:  # it belongs to those who wait, not to the thread
            with self._lock:
                if self._steps is not steps:
                    return True
                self.error = error
                return False
        return True

    def _all_steps(self) -> Iterator[None]:
        """Prompt what is new, then track everything forwards and backwards, passing over what is known."""
        with self._lock:
            active = [track for track in self._tracks.values() if track.active and self._frames_left(track)]
        for track in active:
            yield from self._prompt(track)
        for reverse, directions in ((False, ("forward", "both")), (True, ("backward", "both"))):
            ids = [track.object_id for track in active if track.direction in directions]
            known = [object_id for object_id in ids if object_id is not None]
            steps = self.session.iter_propagate(known, reverse=reverse, missing_only=True) if known else ()
            for result in steps:
                self._record(result)
                yield
        for track in active:
            self._verify_ends(track, False)

    def _prompt(self, track: VideoTrack) -> Iterator[None]:
        session = self.session
        if track.object_id is None:
            for old in [known.id for known in session.objects.values() if known.name == track.region_id]:
                session.remove_object(old)
            track.object_id = session.add_object(track.region_id, track.label)
        elif session.objects[track.object_id].label != track.label:
            session.edit_object(track.object_id, label=track.label)
        if session.objects[track.object_id].life != track.life:
            session.lineage.set_life(track.object_id, track.life)
        for frame, box in sorted(track.prompts.items()):
            if frame not in session.prompts_of(track.object_id):
                self._record(session.add_box(frame, track.object_id, (box.x0, box.y0, box.x1, box.y1)))
                yield
        for frame in set(session.frames_of(track.object_id)) - track.boxes.keys():  # hidden, and shown again
            self._record_mask(track, track.object_id, frame)
        self._verify_ends(track, True)

    def _verify_ends(self, track: VideoTrack, verified: bool) -> None:
        """Let a restored track go on from its outermost masks, as its memories are gone.

        For as long as they are verified, masks are prompts.
        """
        if track.object_id is not None and track.restored:
            ends = {min(track.restored), max(track.restored)} - track.prompts.keys()
            visible = [frame for frame in sorted(ends) if track.boxes.get(frame) is not None]
            self.session.verify(track.object_id, visible, verified)

    def _record(self, result: FrameResult) -> None:
        with self._lock:
            if result.problem:
                self._unreadable[result.frame] = result.problem
            tracks = {track.object_id: track for track in self._tracks.values()}
        for object_id in result.object_ids:
            if object_id in tracks:
                self._record_mask(tracks[object_id], object_id, result.frame)

    def _record_mask(self, track: VideoTrack, object_id: int, frame: int) -> None:
        """Take over the box of the session's mask of an object on a frame."""
        accepted = self.session.accepted(object_id, frame)
        if accepted is None:
            return
        bounds = None if accepted.mask.is_empty else object_bounds(accepted.mask.to_array())
        logits = len(accepted.logits.values) if accepted.logits is not None else 0
        with self._lock:
            track.boxes[frame] = bounds
            track.num_bytes += _MASK_OVERHEAD_BYTES + len(accepted.mask.bits) + logits

    def _restore(self) -> None:
        """Take over the tracks of a session that was stored."""
        for known in self.session.objects.values():
            prompts = self.session.prompts_of(known.id)
            boxes = {frame: given[-1].box for frame, given in prompts.items() if given[-1].box is not None}
            if boxes:
                track = VideoTrack(known.name, known.label or "", boxes, known.life, object_id=known.id)
                self._tracks[known.name] = track
                for frame in self.session.frames_of(known.id):
                    self._record_mask(track, known.id, frame)
                track.restored = frozenset(track.boxes)


def _is_same_box(box: Box, other: Box) -> bool:
    sides = zip((box.x0, box.y0, box.x1, box.y1), (other.x0, other.y0, other.x1, other.y1))
    return all(abs(a - b) < _BOX_TOLERANCE for a, b in sides)
