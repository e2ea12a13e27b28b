"""Annotated video: as a reader finds it, and once all of it was checked."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from sam2_engine.datasets.annotations import Annotation
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.weights.pixel_rules import window_of

__all__ = ["AnnotatedVideo", "Progress", "VideoRecord", "check_videos", "warn_left_out"]

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True)
class VideoRecord:
    """Annotated video as a reader finds it; nothing of it was read yet.

    Attributes
    ----------
    name
        Name for users.
    open
        Opens the frames.
    annotate
        Reads the annotation of a frame.
    annotated
        Numbers of the frames that have one, ascending. A single one makes an image.
    close
        Closes the annotations' files.
    intensities
        The rule by which a model sees the frames' gray levels (``weights.pixel_rules``).
    annotates_all
        Whether all objects are annotated, not some that somebody, or a model, chose.
    """

    name: str
    open: Callable[[], FrameSource]
    annotate: Callable[[int], Annotation]
    annotated: Sequence[int]
    close: Callable[[], None] = lambda: None
    intensities: str = "usual"
    annotates_all: bool = True


@dataclass(frozen=True)
class AnnotatedVideo:
    """Frames and their objects, all readable; ids persist from frame to frame.

    Attributes
    ----------
    visible
        By frame number, ascending: the ids of the objects that have a mask there. On these frames an
        object that is neither here nor unknown is absent.
    whole
        The video of which this shows a part of the planes; None if they are whole.
    """

    record: VideoRecord
    visible: Mapping[int, frozenset[int]] = field(hash=False)
    whole: "AnnotatedVideo | None" = None

    @property
    def name(self) -> str:
        """Name for users."""
        return self.record.name

    @cached_property
    def frames(self) -> FrameSource:
        """The frames, opened once."""
        return self.record.open()

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the frames; cached, so that they need not be opened again."""
        return self.frames.shape

    @cached_property
    def window(self) -> IntensityWindow | None:
        """The intensity window of the whole stack, frozen."""
        if self.whole is not None:
            return self.whole.window
        return window_of(self.frames, None, self.record.intensities)

    def seen_by(self, intensities: str) -> "AnnotatedVideo":
        """Return the same as a model sees it, by the rule of its gray levels."""
        return replace(self, record=replace(self.record, intensities=intensities))

    def annotation(self, frame: int) -> Annotation:
        """Read the objects of a frame."""
        return self.record.annotate(frame)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        if (frames := self.__dict__.pop("frames", None)) is not None:
            frames.close()
        self.record.close()


def check_videos(records: Sequence[VideoRecord], progress: Progress | None = None) -> list[AnnotatedVideo]:
    """Read every frame and annotation once; leave out what cannot be used, with one warning and a count.

    Raises
    ------
    InputError
        If nothing can be used (the first reason is named), or there is not one object.

    Warns
    -----
    InputWarning
        How many frames were left out, and why the first one was.
    """
    videos, faults, done = [], list[str](), 0
    total = sum(len(one.annotated) for one in records)
    for one in records:
        video, reasons = _check_video(one)
        faults += reasons
        done += len(one.annotated)
        if video.visible:
            videos.append(video)
        if progress is not None:
            progress(done, total)
        if len(one.annotated) == 1 or not video.visible:
            video.close()  # thousands of images are not all held open
    if not videos:
        raise InputError(faults[0] if faults else "There is no annotated frame.")
    if not any(ids for video in videos for ids in video.visible.values()):
        more = f" and {len(videos) - 1} more" if len(videos) > 1 else ""
        for video in videos:
            video.close()
        raise InputError(f"There is no object in {videos[0].name}{more}: all masks are empty.")
    warn_left_out(faults, total, "frames")
    return videos


def _check_video(one: VideoRecord) -> tuple[AnnotatedVideo, list[str]]:
    """Read all frames and annotations; return those that can be used, and the errors of the others."""
    visible: dict[int, frozenset[int]] = {}
    video, faults = AnnotatedVideo(one, visible), []
    try:
        shape = video.shape
    except InputError as error:
        return video, [str(error)] * len(one.annotated)
    for frame in one.annotated:
        try:
            video.frames[frame]
            annotation = video.annotation(frame)
            _check_size(one, frame, annotation, shape)
            visible[frame] = annotation.ids
        except InputError as error:
            faults.append(str(error))
    return video, faults


def _check_size(one: VideoRecord, frame: int, annotation: Annotation, shape: tuple[int, int]) -> None:
    if annotation.shape not in (None, shape):
        actual, expected = (f"{width} wide and {height} high" for height, width in (annotation.shape, shape))
        raise InputError(
            f"The masks of frame {frame} of {one.name} are {actual}, but the frame is {expected}; "
            "save both at the same size."
        )


def warn_left_out(faults: Sequence[str], total: int, things: str) -> None:
    """Warn once of all that was left out.

    Parameters
    ----------
    faults
        One sentence for each thing left out.
    total, things
        How many there were, and what to call them.
    """
    if faults:
        warnings.warn(
            f"{len(faults)} of {total} {things} are left out, the first because: {faults[0]}",
            InputWarning,
            stacklevel=3,
        )
