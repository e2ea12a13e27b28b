"""The engine's session behind an annotation session: made when needed, dropped and made again at will."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from sam2_engine.frame_result import FrameResult
from sam2_engine.video_session import VideoSession
from sam2_plugins.annotations import Annotations, Prompt

__all__ = ["RebuildableVideo", "give_prompt"]


class RebuildableVideo:
    """A ``VideoSession`` that can always be made again from the truth.

    Not thread-safe: whoever uses it holds the device's lock.

    Parameters
    ----------
    make
        Makes an empty engine session on the frames.
    truth
        Prompts and accepted masks.
    """

    def __init__(self, make: Callable[[], VideoSession], truth: Annotations) -> None:
        self._make = make
        self._truth = truth
        self._video: VideoSession | None = None

    @contextmanager
    def driving(self) -> Iterator[VideoSession]:
        """Give the engine session, made if there is none; if the block fails, it is dropped."""
        if self._video is None:
            self._video = self._rebuilt()
        try:
            yield self._video
        except BaseException:
            self._video = None
            raise

    @property
    def knows(self) -> tuple[int, ...]:
        """Ids that a living engine session has prompts of; none if it is not there."""
        return () if self._video is None else self._video.object_ids

    def drop(self) -> None:
        """Free memories; they are computed again when they are needed."""
        self._video = None

    def _rebuilt(self) -> VideoSession:
        video = self._make()
        for object_id in self._truth.objects():
            for frame, prompts in self._truth.prompts_of(object_id).items():
                for prompt in prompts:
                    result = give_prompt(video, frame, object_id, prompt)
                accepted = self._truth.mask(object_id, frame)
                if accepted is None or prompts[-1].mask is not None:
                    continue
                # A correction was predicted with the memories of then, so clicks alone do not give it again.
                pixels = accepted.mask.pixels()
                if not np.array_equal(result.masks[0], pixels):
                    video.add_mask(frame, object_id, pixels)
        return video


def give_prompt(
    video: VideoSession, frame: int, object_id: int, prompt: Prompt, replace: bool = False
) -> FrameResult:
    """Hand one prompt to the engine and return the object's mask."""
    if prompt.mask is not None:
        return video.add_mask(frame, object_id, prompt.mask.pixels())
    box = None if prompt.box is None else (prompt.box.x0, prompt.box.y0, prompt.box.x1, prompt.box.y1)
    if prompt.points is not None:
        points = prompt.points
        return video.add_points(frame, object_id, points.coordinates, points.labels, box=box, replace=replace)
    assert box is not None
    return video.add_box(frame, object_id, box, replace=replace)
