"""The engine's session behind an annotation session: made when needed, dropped and made again at will."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.open_session import AnyVideoSession
from sam2_plugins.runtime.out_of_memory import told_if_out_of_memory
from sam2_plugins.session.annotations import Annotations, Change, Part, Prompt

__all__ = ["RebuildableVideo", "give_prompt"]


class RebuildableVideo:
    """A ``VideoSession`` that can always be made again from the truth.

    Not thread-safe: whoever uses it holds the device's lock.

    Parameters
    ----------
    make
        Makes an empty engine session on the frames.
    truth
        Prompts, accepted masks, and which of them are verified.
    """

    def __init__(self, make: Callable[[], AnyVideoSession], truth: Annotations) -> None:
        self._make = make
        self._truth = truth
        self._video: AnyVideoSession | None = None
        self._lent: set[tuple[int, int]] = set()

    @contextmanager
    def driving(self) -> Iterator[AnyVideoSession]:
        """Give the engine session, made if there is none; if the block fails, it is dropped."""
        if self._video is None:
            self._video = self._rebuilt()
        try:
            with told_if_out_of_memory(str(self._video.model.device)):
                yield self._video
        except BaseException:
            self.drop()
            raise

    @property
    def num_bytes(self) -> int:
        """Bytes of the memories that the engine keeps."""
        return 0 if self._video is None else self._video.num_bytes

    def drop(self) -> None:
        """Free memories; they are computed again when they are needed."""
        self._video = None
        self._lent.clear()

    def reconcile(self, changes: Iterable[Change]) -> None:
        """Tell a living engine session what has changed in the truth without it."""
        if self._video is None:
            return
        changes = tuple(changes)
        if any(change.part is Part.WINDOW for change in changes):
            self.drop()  # nothing of it was made of these intensities
            return
        prompted = {(c.object_id, c.frame) for c in changes if c.part is Part.PROMPTS and c.frame is not None}
        masked: dict[int, int] = {}
        for change in changes:
            if change.part in (Part.MASK, Part.VERIFIED) and change.frame is not None:
                masked[change.object_id] = min(masked.get(change.object_id, change.frame), change.frame)
                self.take_back(change.object_id, change.frame)
        with self.driving() as video:
            for object_id, frame in masked.items():
                if object_id in video.object_ids:
                    video.invalidate(object_id, frame)
            for object_id, frame in sorted(prompted):
                self._give_again(video, object_id, frame)

    def lend_verified(self, object_ids: Iterable[int], frame: int) -> None:
        """Prompt with the verified masks nearest to ``frame``, before and after, for as long as they hold."""
        with self.driving() as video:
            for object_id in object_ids:
                verified = self._truth.verified(object_id) - self._truth.prompts_of(object_id).keys()
                before = max((f for f in verified if f < frame), default=None)
                after = min((f for f in verified if f > frame), default=None)
                for near in (before, after):
                    accepted = None if near is None else self._truth.mask(object_id, near)
                    if near is None or accepted is None or (object_id, near) in self._lent:
                        continue
                    video.add_mask(near, object_id, accepted.mask.pixels())
                    self._lent.add((object_id, near))

    def answer(self, object_id: int, frame: int) -> FrameResult:
        """Give an object's prompts on a frame anew and return its mask, whichever was accepted before."""
        with self.driving() as video:
            self.take_back(object_id, frame)
            _forget(video, object_id, frame)
            for prompt in self._truth.prompts_of(object_id)[frame]:
                result = give_prompt(video, frame, object_id, prompt)
        return result

    def answers(
        self, places: Iterable[tuple[int, int]], make: Callable[[], AnyVideoSession]
    ) -> list[FrameResult]:
        """Return what another engine session, made if there is anything to ask, says to prompts alone.

        Parameters
        ----------
        places
            (object id, frame) of the prompts.
        make
            Makes it, empty.
        """
        asked = [(i, frame, self._truth.prompts_of(i)[frame]) for i, frame in places]
        if not asked:
            return []
        video, results = make(), []
        with told_if_out_of_memory(str(video.model.device)):
            for object_id, frame, prompts in asked:
                for prompt in prompts:
                    result = give_prompt(video, frame, object_id, prompt)
                results.append(result)
        return results

    def take_back(self, object_id: int, frame: int) -> None:
        """Forget a lent mask, because it no longer holds or a person is about to prompt there."""
        if self._video is not None and (object_id, frame) in self._lent:
            self._lent.discard((object_id, frame))
            self._video.clear_prompts(object_id, frame)

    def _rebuilt(self) -> AnyVideoSession:
        video = self._make()
        with told_if_out_of_memory(str(video.model.device)):
            for object_id in self._truth.objects():
                for frame in self._truth.prompts_of(object_id):
                    self._give(video, object_id, frame)
        return video

    def _give_again(self, video: AnyVideoSession, object_id: int, frame: int) -> None:
        _forget(video, object_id, frame)
        self._give(video, object_id, frame)

    def _give(self, video: AnyVideoSession, object_id: int, frame: int) -> None:
        """Give all prompts of an object on a frame, so that its accepted mask comes of them."""
        prompts = self._truth.prompts_of(object_id).get(frame, ())
        for prompt in prompts:
            result = give_prompt(video, frame, object_id, prompt)
        accepted = self._truth.mask(object_id, frame)
        if not prompts or accepted is None or prompts[-1].mask is not None:
            return
        # A correction was predicted with the memories of then, so clicks alone do not give it again.
        pixels = accepted.mask.pixels()
        if not np.array_equal(result.masks[0], pixels):
            video.add_mask(frame, object_id, pixels)


def give_prompt(
    video: AnyVideoSession, frame: int, object_id: int, prompt: Prompt, replace: bool = False
) -> FrameResult:
    """Hand one prompt to the engine and return the object's mask.

    What is replaced is taken away before, so that it leaves no trace in the mask: rebuilt from the truth, the
    engine would never have heard of it.
    """
    if replace:
        _forget(video, object_id, frame)
    if prompt.mask is not None:
        return video.add_mask(frame, object_id, prompt.mask.pixels())
    box = None if prompt.box is None else (prompt.box.x0, prompt.box.y0, prompt.box.x1, prompt.box.y1)
    if prompt.points is not None:
        points = prompt.points
        return video.add_points(frame, object_id, points.coordinates, points.labels, box=box)
    assert box is not None
    return video.add_box(frame, object_id, box)


def _forget(video: AnyVideoSession, object_id: int, frame: int) -> None:
    """Take away all prompts of an object on a frame, if the engine knows any."""
    if object_id in video.object_ids and frame in video.prompted_frames(object_id):
        video.clear_prompts(object_id, frame)
