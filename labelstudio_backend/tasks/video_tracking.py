"""One task's video on the way: its tracks, how far each is, and the next frame of them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track
from labelstudio_backend.schema.regions import PixelBox, box_from_rectangle, object_bounds
from sam2_engine.prompts import Box
from sam2_engine.video.frame_result import FrameResult
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["VideoTrack", "VideoTracking", "boxes_drawn"]

_SAME = 0.01
"""Pixels: what rounding may change in a box on its way to Label Studio and back."""
_MASK_BYTES = 1000
"""About what a mask takes beside its pixels."""


def boxes_drawn(track: Track, clock: FrameClock, shape: tuple[int, int]) -> dict[int, Box]:
    """Return a person's rectangles by the file's frame: the prompts that a track is followed from.

    Raises
    ------
    InputError
        If one lies beyond the video's end, or outside of its frames.
    """
    boxes = {}
    for frame, keyframe in track.keyframes.items():
        clock.check(frame)
        boxes[clock.index(frame)] = Box.of(box_from_rectangle(keyframe.item, shape), shape)
    return boxes


@dataclass(eq=False)
class VideoTrack:
    """One object on its way.

    Attributes
    ----------
    region_id, label
        Label Studio's.
    drawn
        A person's boxes by the file's frame.
    direction
        ``"forward"``, ``"backward"`` or ``"both"``.
    wanted
        Whether it is to be followed further.
    asking
        How many requests wait for it.
    boxes
        By the file's frame, where it was followed: its box, None where it is absent.
    scores
        The model's confidence by frame, where it found the object.
    num_bytes
        About how much memory its masks take.
    object_id
        In the session, once it was prompted.
    kept
        Frames followed before the session was closed and opened again, whose memories are gone.
    """

    region_id: str
    label: str
    drawn: Mapping[int, Box]
    direction: str = "forward"
    wanted: bool = False
    asking: int = 0
    boxes: dict[int, PixelBox | None] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    num_bytes: int = 0
    object_id: int | None = None
    kept: frozenset[int] = frozenset()

    @property
    def score(self) -> float:
        """Mean confidence of the model where it found the object, 0 to 1."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else 0.0

    def frames_to_follow(self, length: int) -> range:
        """Return the file's frames on which it is followed in the end."""
        first = min(self.drawn) if self.direction == "forward" else 0
        last = max(self.drawn) if self.direction == "backward" else length - 1
        return range(first, last + 1)

    def same_drawing(self, drawn: Mapping[int, Box]) -> bool:
        """Whether a person's boxes are still these."""
        return self.drawn.keys() == drawn.keys() and all(
            _same(self.drawn[frame], drawn[frame]) for frame in drawn
        )


class VideoTracking:
    """The tracks of one task's video; what is followed is kept until its prompts change.

    Any thread may ask; one thread at a time calls :meth:`step`.

    Parameters
    ----------
    session
        Without objects, or as it was kept: each object has its region's id as its name.
    close
        Called when the video is no longer needed.

    Attributes
    ----------
    trouble
        What ended the last step, if it failed; asking again tries again.
    """

    def __init__(self, session: AnnotationSession, close: Callable[[], None] = lambda: None) -> None:
        self.session = session
        self.save_error: Exception | None = None
        self._close = close
        self._lock = threading.Lock()
        self._tracks: dict[str, VideoTrack] = {}
        self._steps: Iterator[None] | None = None
        self._restore()

    @property
    def num_bytes(self) -> int:
        """About how much memory its masks take."""
        with self._lock:
            return sum(one.num_bytes for one in self._tracks.values())

    def close(self) -> None:
        """Let go of files; what was followed is kept where the session is."""
        self._steps = self.save_error = None  # an error holds, by its traceback, all that it passed
        self._close()

    # ------------------------------------------------------------------ asking

    @contextmanager
    def asked(self, tracks: Sequence[Track], clock: FrameClock, direction: str) -> Iterator[list[VideoTrack]]:
        """Say what is to be followed, and give it as far as it is; it goes on after the ``with`` block.

        A track whose drawn boxes are the same goes on where it is; one with others begins anew. Other
        tracks with one of these labels were deleted by the person, or wait until they are asked for again.

        Raises
        ------
        InputError
            If a drawn box cannot be used.
        """
        drawn = {track.id: boxes_drawn(track, clock, self.session.shape) for track in tracks}
        labels = {track.label for track in tracks}
        with self._lock:
            for other in self._tracks.values():
                other.wanted = other.wanted and (other.asking > 0 or other.label not in labels)
            asked = [self._asked_for(track, drawn[track.id], direction) for track in tracks]
            self._steps = self.save_error = None
        try:
            yield asked
        finally:
            with self._lock:
                for one in asked:
                    one.asking -= 1

    def _asked_for(self, track: Track, drawn: Mapping[int, Box], direction: str) -> VideoTrack:
        one = self._tracks.get(track.id)
        if one is None or not one.same_drawing(drawn):
            one = self._tracks[track.id] = VideoTrack(track.id, track.label, drawn)
        one.label, one.direction, one.wanted = track.label, direction, True
        one.asking += 1
        return one

    def drop(self, region_ids: Iterable[str]) -> None:
        """Stop following some tracks; what is done stays."""
        with self._lock:
            for region_id in region_ids:
                if region_id in self._tracks:
                    self._tracks[region_id].wanted = False
            self._steps = None

    def is_done(self, tracks: Iterable[VideoTrack]) -> bool:
        """Whether some tracks are followed as far as they go, or will not be."""
        with self._lock:
            return self.save_error is not None or not any(
                self._tracks.get(one.region_id) is one and one.wanted and self._frames_left(one)
                for one in tracks
            )

    def state_of(self, track: VideoTrack) -> tuple[dict[int, PixelBox | None], float, bool]:
        """Return where a track is known, by the file's frame, its score, and whether that is all."""
        with self._lock:
            return dict(track.boxes), track.score, not self._frames_left(track)

    def _frames_left(self, track: VideoTrack) -> bool:
        frames = track.frames_to_follow(len(self.session))
        return len(track.boxes) < len(frames) or any(frame not in track.boxes for frame in frames)

    # ------------------------------------------------------------------ following

    def step(self) -> bool:
        """Give one prompt or follow one frame; return whether there may be more to do."""
        with self._lock:
            steps = self._steps = self._steps or self._all_steps()
        try:
            next(steps)
        except StopIteration:
            with self._lock:
                return self._steps is not steps  # something was asked for meanwhile
        except Exception as error:  # it belongs to those who wait, not to the thread
            with self._lock:
                if self._steps is not steps:
                    return True
                self.save_error = error
                return False
        return True

    def _all_steps(self) -> Iterator[None]:
        """Prompt what is new, then follow everything forwards and backwards, passing over what is known."""
        with self._lock:
            wanted = [one for one in self._tracks.values() if one.wanted and self._frames_left(one)]
        for one in wanted:
            yield from self._prompt(one)
        for reverse, directions in ((False, ("forward", "both")), (True, ("backward", "both"))):
            ids = [one.object_id for one in wanted if one.direction in directions]
            known = [object_id for object_id in ids if object_id is not None]
            steps = self.session.propagate(known, reverse=reverse, missing_only=True) if known else ()
            for result in steps:
                self._record(result)
                yield
        for one in wanted:
            self._bridge(one, False)

    def _prompt(self, one: VideoTrack) -> Iterator[None]:
        session = self.session
        if one.object_id is None:
            for old in [known.id for known in session.objects.values() if known.name == one.region_id]:
                session.remove_object(old)
            one.object_id = session.add_object(one.region_id, one.label)
        elif session.objects[one.object_id].label != one.label:
            session.edit_object(one.object_id, label=one.label)
        for frame, box in sorted(one.drawn.items()):
            if frame not in session.prompts_of(one.object_id):
                self._record(session.add_box(frame, one.object_id, (box.x0, box.y0, box.x1, box.y1)))
                yield
        self._bridge(one, True)

    def _bridge(self, one: VideoTrack, there: bool) -> None:
        """Let a track that was kept go on from its outermost masks, as its memories are gone.

        For as long as they are verified, masks are prompts.
        """
        if one.object_id is not None and one.kept:
            ends = {min(one.kept), max(one.kept)} - one.drawn.keys()
            visible = [frame for frame in sorted(ends) if one.boxes[frame] is not None]
            self.session.verify(one.object_id, visible, there)

    def _record(self, result: FrameResult) -> None:
        with self._lock:
            tracks = {one.object_id: one for one in self._tracks.values()}
        for object_id in result.object_ids:
            if object_id in tracks:
                self._note(tracks[object_id], object_id, result.frame)

    def _note(self, one: VideoTrack, object_id: int, frame: int) -> None:
        """Take over what the session says of an object on a frame."""
        accepted = self.session.accepted(object_id, frame)
        if accepted is None:
            return
        bounds = None if accepted.mask.is_empty else object_bounds(accepted.mask.to_array())
        logits = len(accepted.logits.values) if accepted.logits is not None else 0
        with self._lock:
            one.boxes[frame] = bounds
            if bounds is not None:
                one.scores[frame] = accepted.scores.predicted_iou
            one.num_bytes += _MASK_BYTES + len(accepted.mask.bits) + logits

    def _restore(self) -> None:
        """Take over the tracks of a session that was kept."""
        for known in self.session.objects.values():
            prompts = self.session.prompts_of(known.id)
            drawn = {frame: given[-1].box for frame, given in prompts.items() if given[-1].box is not None}
            if drawn:
                one = VideoTrack(known.name, known.label or "", drawn, object_id=known.id)
                self._tracks[known.name] = one
                for frame in self.session.frames_of(known.id):
                    self._note(one, known.id, frame)
                one.kept = frozenset(one.boxes)


def _same(one: Box, other: Box) -> bool:
    sides = zip((one.x0, one.y0, one.x1, one.y1), (other.x0, other.y0, other.x1, other.y1))
    return all(abs(a - b) < _SAME for a, b in sides)
