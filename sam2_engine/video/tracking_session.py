"""The protocol of all tracking sessions, whatever they work on, and the checks that they share."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from sam2_engine.arguments import is_whole, suggests_arguments
from sam2_engine.copies import copied
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.wording import counted

__all__ = [
    "TrackingSession",
    "check_frame",
    "check_object_id",
    "check_place",
    "chosen_ids",
    "first_frame",
    "frames_to_clear",
    "require_object",
]

T = TypeVar("T")


class Prompted(Protocol):
    """What is known of one object, by frame."""

    @property
    def prompts(self) -> Mapping[int, object]:
        """Its prompts."""


class TrackingSession(Protocol):
    """Objects, prompts and propagation on one sequence of frames.

    Attributes
    ----------
    model
        A loaded model.
    frames
        What is tracked in.
    window
        Intensities that the model sees; None where pixels pass as they are.
    cache
        Encoded frames.
    remembers_tracked_frames
        Whether a prompt on a tracked frame corrects the mask that was tracked there, by itself.

    See Also
    --------
    sam2_engine.VideoSession : on a video, a time-lapse or a volume.
    sam2_engine.video.tiled_session.TiledVideoSession : the same for large planes.
    sam2_engine.video.image_session.ImageSession : on a single image.
    """

    model: Sam2
    frames: FrameSource
    window: IntensityWindow | None
    cache: FeatureCache
    remembers_tracked_frames: bool

    def __repr__(self) -> str:
        frames, objects = self.frames, counted(len(self.object_ids), "object")
        return f"<{type(self).__name__} {frames.name}: {frames.sizes}, {objects}, {self.model.summary}>"

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return a session that goes on by itself; what it only reads (model, frames, cache) is shared."""
        return copied(self, memo, self.model, self.frames, self.cache)

    @property
    @abstractmethod
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects, in the order in which they were first prompted."""

    @abstractmethod
    def prompted_frames(self, object_id: int) -> tuple[int, ...]:
        """Frames on which an object has a prompt, in the order in which they were given."""

    @abstractmethod
    def has_mask(self, frame: int, object_id: int) -> bool:
        """Whether an object was prompted or tracked on a frame, so that clicks can correct its mask there."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Bytes held by the memories of tracked frames."""

    @abstractmethod
    def encode(self, frame: int) -> ImageFeatures:
        """Return a frame as the encoder sees it; from then on a prompt there costs only the decoder."""

    def prepare(self, frame: int) -> int:
        """Make a frame ready for prompts, and return the bytes that it takes in the cache."""
        return self.encode(frame).num_bytes

    @suggests_arguments
    def add_prompt(
        self,
        frame: int,
        object_id: int,
        prompt: Prompt | None = None,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        replace: bool = False,
    ) -> FrameResult:
        """Prompt an object on a frame and return its mask there.

        Clicks are added to those on the frame, a box takes the place of an earlier one, and a mask, which
        is taken as it is, of everything.

        Parameters
        ----------
        frame
            Any frame, tracked or not.
        object_id
            A positive number; an unknown one starts a new object.
        prompt
            Clicks, a box, both, or a mask; or None, and they are given by name:
        points, labels
            (P, 2) ``(x, y)`` in pixels, or one ``(x, y)``; (P,), 1 inside (default), 0 outside.
        box
            ``(x0, y0, x1, y1)``, inclusive.
        mask
            (H, W) bool.
        replace
            Drop the clicks and the box placed on this frame before.

        Raises
        ------
        InputError
            If the frame does not exist, or the prompt is not valid on it.

        See Also
        --------
        add_points, add_box, add_mask : the same by one name each.
        """
        frame, object_id = check_place(self.frames, frame, object_id)
        given = {"points": points, "labels": labels, "box": box, "mask": mask}
        if prompt is None:
            prompt = Prompt.of(self.frames.shape, **given)
        elif not isinstance(prompt, Prompt) or any(value is not None for value in given.values()):
            raise InputError(
                "After the frame and the object comes one Prompt, or a name for what is given: points=, "
                "labels=, box= or mask=."
            )
        return self._add_prompt(frame, object_id, prompt, replace)

    @abstractmethod
    def _add_prompt(self, frame: int, object_id: int, prompt: Prompt, replace: bool) -> FrameResult:
        """Prompt an object that may be prompted there."""

    def add_points(
        self,
        frame: int,
        object_id: int,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        box: ArrayLike | None = None,
        replace: bool = False,
    ) -> FrameResult:
        """Add clicks to an object on a frame and return its mask there.

        Parameters
        ----------
        frame, object_id, replace
            As for :meth:`add_prompt`.
        points
            (P, 2) ``(x, y)`` in pixels, or one ``(x, y)``.
        labels
            (P,), 1 inside (default), 0 outside.
        box
            A box ``(x0, y0, x1, y1)`` that goes with the clicks.

        Raises
        ------
        InputError
            If the frame does not exist or a point is not valid on it.
        """
        return self.add_prompt(frame, object_id, points=points, labels=labels, box=box, replace=replace)

    def add_box(self, frame: int, object_id: int, box: ArrayLike, *, replace: bool = False) -> FrameResult:
        """Place a box ``(x0, y0, x1, y1)`` around an object on a frame, instead of an earlier one.

        With ``replace``, the clicks placed on this frame before are dropped as well.
        """
        return self.add_prompt(frame, object_id, box=box, replace=replace)

    def add_mask(self, frame: int, object_id: int, mask: ArrayLike) -> FrameResult:
        """Give an object's (H, W) mask on a frame; it is taken as it is, instead of other prompts there."""
        return self.add_prompt(frame, object_id, mask=mask)

    @abstractmethod
    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's prompts from one frame, or from all; an object without any is forgotten."""

    @abstractmethod
    def remove_object(self, object_id: int) -> None:
        """Forget an object, its prompts and its memories."""

    @abstractmethod
    def invalidate(self, object_id: int, from_frame: int) -> None:
        """Forget what was tracked of an object at and after ``from_frame``; its prompts stay."""

    @abstractmethod
    def propagate(
        self,
        object_ids: Iterable[int] | int | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
        """Track objects from frame to frame.

        Closing the iterator, or prompting while it is suspended, is legal and loses nothing.

        Parameters
        ----------
        object_ids
            Which objects, or which one; None for all, including those that are added meanwhile.
        start
            First frame; None for the earliest prompted frame (reverse: the latest).
        stop
            Last frame, inclusive, in the direction of the propagation; None for the end.
        reverse
            Go backwards.

        Yields
        ------
        FrameResult
            One per frame. An object appears from its first prompted frame on. A frame that cannot be read has
            no objects, and says why in ``problem``; tracking goes on after it.

        Raises
        ------
        InputError
            If nothing is prompted yet, or an id or a frame is unknown.
        """


def require_object(objects: Mapping[int, T], object_id: int) -> T:
    """Return what a session stores of an object.

    Raises
    ------
    InputError
        If there is no such object; the message names those that there are.
    """
    if not is_whole(object_id) or object_id not in objects:
        existing = ", ".join(map(str, objects)) or "none yet"
        raise InputError(f"There is no object {object_id} here; the known ones are: {existing}.")
    return objects[object_id]


def check_place(frames: FrameSource, frame: int, object_id: int) -> tuple[int, int]:
    """Return a frame and an object's id as Python's integers; what cannot be one is refused.

    Exchanged ones are told.

    Raises
    ------
    InputError
        As ``check_frame`` and ``check_object_id``.
    """
    try:
        return check_frame(frames, frame), check_object_id(object_id)
    except InputError as error:
        try:
            check_frame(frames, object_id)
            check_object_id(frame)
        except InputError:
            raise error from None
        raise InputError(
            f"{str(error).removesuffix('.')}. The frame comes first: did you mean frame={object_id}, "
            f"object_id={frame}?"
        ) from None


def check_object_id(object_id: object) -> int:
    """Return an object's id as Python's integer; what cannot be one is refused.

    Raises
    ------
    InputError
        If it is no positive whole number.
    """
    if not is_whole(object_id) or (number := int(object_id)) <= 0:
        raise InputError(f"An object's id is a positive whole number, not {object_id!r}.")
    return number


def chosen_ids(object_ids: Iterable[int] | int | None) -> list[int] | None:
    """Return the objects that are meant; None for all."""
    if object_ids is None:
        return None
    return [int(object_ids)] if isinstance(object_ids, (int, np.integer)) else [int(i) for i in object_ids]


def check_frame(frames: FrameSource, frame: int) -> int:
    """Return a frame's number as Python's integer, which has no end as NumPy's have.

    A frame that does not exist is refused.

    Raises
    ------
    InputError
        If it does not, the message says which frames there are; or if it is no whole number.
    """
    if not is_whole(frame):
        raise InputError(f"A frame is a whole number, counted from 0, not {frame!r}.")
    number, length = int(frame), frames.length
    if number < 0 or (length is not None and number >= length):
        existing = "" if length is None else f"; its frames are 0 to {length - 1}"
        raise InputError(f"{frames.name} has no frame {number}{existing}.")
    return number


def frames_to_clear(object_id: int, prompted: Iterable[int], frame: int | None) -> list[int]:
    """Return the frames from which an object's prompts are removed: one, or None for all.

    Raises
    ------
    InputError
        If it has no prompt on that frame.
    """
    frames = list(prompted)
    if frame is None:
        return frames
    if frame not in frames:
        raise InputError(f"Object {object_id} has no prompt on frame {frame}.")
    return [frame]


def first_frame(
    frames: FrameSource,
    objects: Mapping[int, Prompted],
    object_ids: Iterable[int] | None,
    start: int | None,
    stop: int | None,
    reverse: bool,
) -> int:
    """Return where a propagation begins.

    Parameters
    ----------
    frames
        What is tracked in.
    objects
        All objects.
    object_ids, start, stop, reverse
        As for :meth:`TrackingSession.propagate`.

    Raises
    ------
    InputError
        If an object is unknown, nothing is prompted, a frame does not exist, or ``stop`` is never reached.
    """
    chosen = objects if object_ids is None else object_ids
    prompted = [frame for i in chosen for frame in require_object(objects, i).prompts]
    if not prompted:
        raise InputError("There is nothing to track yet; give an object a click, a box or a mask first.")
    first = check_frame(frames, (max(prompted) if reverse else min(prompted)) if start is None else start)
    if stop is not None:
        stop = check_frame(frames, stop)
    if stop is not None and (stop > first if reverse else stop < first):
        raise InputError(
            f"Tracking {'backwards ' if reverse else ''}from frame {first} never reaches "
            f"frame {stop}; {'drop' if reverse else 'set'} reverse, or exchange start and stop."
        )
    return first
