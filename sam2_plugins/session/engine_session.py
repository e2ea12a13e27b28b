"""The engine's session behind an annotation session: made when needed, dropped and rebuilt at will."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.runtime.out_of_memory import translate_oom
from sam2_plugins.session.annotations import Annotations, Change, ChangeKind

__all__ = ["EngineSession", "clear_prompts"]


class EngineSession:
    """The engine's session, which can always be rebuilt from the annotations.

    Not thread-safe: whoever uses it holds the device's lock.

    Parameters
    ----------
    make
        Makes an empty engine session on the frames.
    annotations
        Prompts, accepted masks, and which of them are verified.
    """

    def __init__(self, make: Callable[[], TrackingSession], annotations: Annotations) -> None:
        self._make = make
        self.annotations = annotations
        self._engine: TrackingSession | None = None
        self._temporary: set[tuple[int, int]] = set()

    @contextmanager
    def acquire(self) -> Iterator[TrackingSession]:
        """Give the engine session, made if there is none; if the block fails, it is dropped."""
        if self._engine is None:
            self._engine = self._build()
        try:
            with translate_oom(str(self._engine.model.device)):
                yield self._engine
        except BaseException:
            self.drop()
            raise

    @property
    def num_bytes(self) -> int:
        """Bytes of the engine's memories of tracked frames."""
        return 0 if self._engine is None else self._engine.num_bytes

    def drop(self) -> None:
        """Free memories; they are computed again when they are needed."""
        self._engine = None
        self._temporary.clear()

    def reconcile(self, changes: Iterable[Change]) -> None:
        """Bring the engine session, if there is one, to annotations that have changed without it."""
        if self._engine is None:
            return
        changes = tuple(changes)
        if any(change.kind is ChangeKind.WINDOW for change in changes):
            self.drop()  # nothing of it was made of these intensities
            return
        prompted = {
            (c.object_id, c.frame) for c in changes if c.kind is ChangeKind.PROMPTS and c.frame is not None
        }
        masked: dict[int, int] = {}
        for change in changes:
            if change.kind in (ChangeKind.MASK, ChangeKind.VERIFIED) and change.frame is not None:
                masked[change.object_id] = min(masked.get(change.object_id, change.frame), change.frame)
                self.remove_temporary_prompt(change.object_id, change.frame)
        with self.acquire() as engine:
            for object_id, frame in masked.items():
                if object_id in engine.object_ids:
                    engine.invalidate(object_id, frame)
            for object_id, frame in sorted(prompted):
                clear_prompts(engine, object_id, frame)
                self._add_prompts(engine, object_id, frame)

    def add_verified_as_prompts(self, object_ids: Iterable[int], frame: int) -> None:
        """Prompt with the verified masks nearest to ``frame``, before and after, for as long as they hold."""
        with self.acquire() as engine:
            for object_id in object_ids:
                verified = (
                    self.annotations.verified(object_id) - self.annotations.prompts_of(object_id).keys()
                )
                before = max((f for f in verified if f < frame), default=None)
                after = min((f for f in verified if f > frame), default=None)
                for nearest in (before, after):
                    accepted = None if nearest is None else self.annotations.mask(object_id, nearest)
                    if nearest is None or accepted is None or (object_id, nearest) in self._temporary:
                        continue
                    engine.add_prompt(nearest, object_id, Prompt(mask=accepted.mask))
                    self._temporary.add((object_id, nearest))

    def predict_prompts(self, object_id: int, frame: int) -> FrameResult:
        """Predict an object's mask from its prompts on a frame anew, whichever was accepted before."""
        with self.acquire() as engine:
            self.remove_temporary_prompt(object_id, frame)
            clear_prompts(engine, object_id, frame)
            for prompt in self.annotations.prompts_of(object_id)[frame]:
                result = engine.add_prompt(frame, object_id, prompt)
        return result

    def predict_prompts_with(
        self, places: Iterable[tuple[int, int]], make: Callable[[], TrackingSession]
    ) -> list[FrameResult]:
        """Return what another engine session, made if there are any prompts, predicts from prompts alone.

        Parameters
        ----------
        places
            (object id, frame) of the prompts.
        make
            Makes it, empty.
        """
        given = [(i, frame, self.annotations.prompts_of(i)[frame]) for i, frame in places]
        if not given:
            return []
        engine, results = make(), []
        with translate_oom(str(engine.model.device)):
            for object_id, frame, prompts in given:
                for prompt in prompts:
                    result = engine.add_prompt(frame, object_id, prompt)
                results.append(result)
        return results

    def remove_temporary_prompt(self, object_id: int, frame: int) -> None:
        """Remove a temporary prompt, because it no longer holds or a person is about to prompt there."""
        if self._engine is not None and (object_id, frame) in self._temporary:
            self._temporary.discard((object_id, frame))
            self._engine.clear_prompts(object_id, frame)

    def _build(self) -> TrackingSession:
        engine = self._make()
        with translate_oom(str(engine.model.device)):
            for object_id in self.annotations.objects():
                for frame in self.annotations.prompts_of(object_id):
                    self._add_prompts(engine, object_id, frame)
        return engine

    def _add_prompts(self, engine: TrackingSession, object_id: int, frame: int) -> None:
        """Add all prompts of an object on a frame, so that its accepted mask comes from them."""
        prompts = self.annotations.prompts_of(object_id).get(frame, ())
        accepted = self.annotations.mask(object_id, frame)
        if prompts and accepted is not None and not prompts[0].says_where:
            # They corrected what was tracked here, which this session does not know.
            engine.add_prompt(frame, object_id, Prompt(mask=accepted.mask))
            return
        for prompt in prompts:
            result = engine.add_prompt(frame, object_id, prompt)
        if not prompts or accepted is None or prompts[-1].mask is not None:
            return
        # A correction was predicted with the memories of then, so clicks alone do not give it again.
        if not np.array_equal(result.masks[0], accepted.mask.to_array()):
            engine.add_prompt(frame, object_id, Prompt(mask=accepted.mask))


def clear_prompts(engine: TrackingSession, object_id: int, frame: int) -> None:
    """Remove all prompts of an object on a frame from an engine session, if it has any."""
    if object_id in engine.object_ids and frame in engine.prompted_frames(object_id):
        engine.clear_prompts(object_id, frame)
