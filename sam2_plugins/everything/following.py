"""Following of what was seen on one frame to the frames beside it, by the model's memory of that frame."""

from collections.abc import Generator, Sequence

import numpy as np

from sam2_engine.feature_cache import FeatureCache
from sam2_engine.masks import PackedMask
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.scene_changes import SceneChange
from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.runtime.out_of_memory import translate_oom
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["Followed", "Follower"]

Followed = dict[int, list[Sighting | None]]
"""By frame, in the order of what was followed: None where it is gone. Blank frames are left out."""

_PRESENT = 0.5
"""Least presence of an object that is still there."""


class Follower:
    """Follows sightings by an engine session of its own, beside that of an annotation session.

    Parameters
    ----------
    session
        Whose frames, model and intensities.
    min_area
        Smaller masks are nothing.
    """

    def __init__(self, session: AnnotationSession, min_area: int) -> None:
        self._session, self._min_area = session, min_area
        self._engine: TrackingSession | None = None
        self._next_id = 1

    def steps(self, frame: int, sightings: Sequence[Sighting], stop: int) -> Generator[int, None, Followed]:
        """Follow sightings from their frame to ``stop``, before or behind it; the device is held in steps.

        Yields
        ------
        int
            The frame that is worked on.

        Returns
        -------
        Followed
            Each sighting on every frame on the way, ``stop`` included, but those that show nothing.
        """
        step = 1 if stop >= frame else -1
        followed: Followed = {
            other: [None] * len(sightings) for other in range(frame + step, stop + step, step)
        }
        if not sightings or stop == frame:
            return followed
        engine, ids = self._opened(), list(range(self._next_id, self._next_id + len(sightings)))
        self._next_id += len(sightings)
        lock, device = self._session.store.lock, self._session.store.device_name
        for object_id, sighting in zip(ids, sightings):
            with lock.held(Priority.BACKGROUND), translate_oom(device):
                engine.add_prompt(frame, object_id, Prompt(mask=sighting.mask.compress()))
            yield frame
        results = iter(engine.propagate(ids, frame, stop, stop < frame))
        while True:
            with lock.held(Priority.BACKGROUND), translate_oom(device):
                result = next(results, None)
                if result is None:
                    break
                if result.scene_change is SceneChange.BLANK:
                    followed.pop(result.frame, None)
                elif result.frame in followed:
                    followed[result.frame] = self._sightings(result, ids)
            yield result.frame
        with lock.held(Priority.BACKGROUND):
            for object_id in ids:
                engine.remove_object(object_id)
        return followed

    def on(
        self, sightings: Sequence[tuple[int, Sighting]], before: int, stop: int
    ) -> Generator[int, None, Followed]:
        """Follow sightings to ``stop``, each from a frame of its own.

        Parameters
        ----------
        sightings
            Each with its frame, which is ``before`` or an earlier one.
        before, stop
            The last frame that is known, and the one to go on to.

        Yields
        ------
        int
            The frame that is worked on.

        Returns
        -------
        Followed
            Each on every frame after ``before``, but those that show nothing.
        """
        followed: Followed = {frame: [None] * len(sightings) for frame in range(before + 1, stop + 1)}
        for begin in sorted({frame for frame, _ in sightings}):
            places = [place for place, (frame, _) in enumerate(sightings) if frame == begin]
            seen = yield from self.steps(begin, [sightings[place][1] for place in places], stop)
            followed = {frame: ones for frame, ones in followed.items() if frame in seen}
            for frame, ones in followed.items():
                for place, one in zip(places, seen[frame], strict=True):
                    ones[place] = one
        return followed

    def apart(
        self, frame: int, pairs: Sequence[tuple[tuple[float, float], tuple[float, float]]]
    ) -> Generator[int, None, list[tuple[Sighting | None, ...]]]:
        """Return what is at each place (row, column) of pairs and is not what is at the other one.

        Yields
        ------
        int
            The frame, as often as the device is given free.
        """
        engine, shape = self._opened(), self._session.shape
        found: list[tuple[Sighting | None, ...]] = []
        for pair in pairs:
            two: list[Sighting | None] = []
            for places in (pair, pair[::-1]):
                clicks = Prompt.of(shape, points=[(x, y) for y, x in places], labels=[1, 0])
                object_id, self._next_id = self._next_id, self._next_id + 1
                lock, device = self._session.store.lock, self._session.store.device_name
                with lock.held(Priority.BACKGROUND), translate_oom(device):
                    two.append(self._sighting(engine.add_prompt(frame, object_id, clicks), 0))
                    engine.remove_object(object_id)
            found.append(tuple(two))
            yield frame
        return found

    def _opened(self) -> TrackingSession:
        if self._engine is None:
            session = self._session
            cache = FeatureCache(session.store.encoded_bytes)
            self._engine = session.store.open_session(
                session.model_name, session.frames, session.window, cache, history=None
            )
        return self._engine

    def _sightings(self, result: FrameResult, ids: Sequence[int]) -> list[Sighting | None]:
        """Return what the model sees of each object on a frame."""
        places = {object_id: index for index, object_id in enumerate(result.object_ids)}
        return [
            self._sighting(result, places[object_id]) if object_id in places else None for object_id in ids
        ]

    def _sighting(self, result: FrameResult, index: int) -> Sighting | None:
        presence = float(result.presence[index])
        crop, corner = result.crop_of(index)
        pixels = crop > 0
        area = int(np.count_nonzero(pixels))
        if presence < _PRESENT or area < max(self._min_area, 1):
            return None
        score = presence * float(result.predicted_iou[index]) * float(result.stability[index])
        return Sighting(
            PackedMask.from_array(pixels, result.shape, corner), area, min(max(score, 0.0), 1.0), found=False
        )
