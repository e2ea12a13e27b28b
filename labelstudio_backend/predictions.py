"""From a task and what was drawn on it to a prediction: the part that every way of serving shares."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from labelstudio_backend import image_tasks, video_tasks
from labelstudio_backend.downloads import shown
from labelstudio_backend.labeling_config import ControlTag, LabelingConfig, MediaTag
from labelstudio_backend.media import MediaFile, MediaLibrary, read_image
from labelstudio_backend.regions import Region
from labelstudio_backend.sessions import SessionCache
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.annotation_session import AnnotationSession
from sam2_plugins.model_store import ModelStore

__all__ = ["Predictor"]

Prediction = dict[str, Any]


class Predictor:
    """One process's model, media and recent sessions.

    Parameters
    ----------
    settings
        What to load and where media may come from.
    store
        The models of the process; None for a store of its own.
    """

    def __init__(self, settings: Settings, store: ModelStore | None = None) -> None:
        self.settings = settings
        self.store = store or ModelStore(settings.device)
        self.sessions = SessionCache(settings.max_sessions)
        self._media = MediaLibrary(settings)
        self._features = FeatureCache(settings.feature_bytes)

    @property
    def model_version(self) -> str:
        """The same name wherever Label Studio asks for one, so that it finds no duplicates."""
        return self.settings.model_version

    def load(self) -> None:
        """Load the weights, so that no request waits for them.

        Raises
        ------
        InputError
            If there is no such model, or its file is not usable.
        """
        self.store.get(self.settings.model)

    def close(self) -> None:
        """Forget sessions and delete fetched media."""
        self.sessions.clear()
        self._media.close()

    def check(self, label_config: object) -> None:
        """Make sure that a labeling configuration has something to fill.

        Raises
        ------
        InputError
            If it has not.
        """
        LabelingConfig.parse(label_config).target()

    def predict(self, tasks: object, label_config: object, context: object = None) -> list[Prediction]:
        """Answer a request with one prediction per task.

        Parameters
        ----------
        tasks
            Tasks as Label Studio sends them.
        label_config
            The project's labeling configuration, XML.
        context
            ``{"result": [regions]}``: what a person drew on the only task. None, as for a batch, or no
            regions gives empty predictions with score 0 and touches no media.

        Raises
        ------
        InputError
            If any of it cannot be used.
        """
        media, control = LabelingConfig.parse(label_config).target()
        checked = _tasks(tasks)
        regions = _drawn(context)
        if not regions:
            return [self._prediction([], 0.0) for _ in checked]
        if len(checked) != 1:
            raise InputError(f"What was drawn belongs to one task, but the request has {len(checked)}.")
        answer = self._on_video if media.kind == "Video" else self._on_image
        deadline = time.monotonic() + self.settings.predict_seconds
        return [self._prediction(*answer(media, control, checked[0], regions, deadline))]

    def _prediction(self, result: list[Region], score: float) -> Prediction:
        return {"result": result, "score": score, "model_version": self.model_version}

    def _on_image(
        self,
        media: MediaTag,
        control: ControlTag,
        data: Mapping[str, Any],
        regions: Sequence[object],
        deadline: float,
    ) -> tuple[list[Region], float]:
        address = media.source(data)
        with self.sessions.use(address, partial(self._open_image, address), deadline) as session:
            return image_tasks.segment(session, regions, control)

    def _on_video(
        self,
        media: MediaTag,
        control: ControlTag,
        data: Mapping[str, Any],
        regions: Sequence[object],
        deadline: float,
    ) -> tuple[list[Region], float]:
        tracks = video_tasks.labelled_tracks(regions)
        if not tracks:
            return [], 0.0
        address, rate = media.source(data), media.frames_per_second(data)
        with self.sessions.use(address, partial(self._open_video, address), deadline) as session:
            clock = video_tasks.PageClock.of(session.frames, rate)
            return video_tasks.follow(session, tracks, clock, deadline)

    def _open_image(self, address: str) -> tuple[AnnotationSession, MediaFile]:
        file = self._media.file(address)
        return self._session(read_image(file.path, shown(address))), file

    def _open_video(self, address: str) -> tuple[AnnotationSession, MediaFile]:
        file = self._media.file(address)
        return self._session(file.path), file

    def _session(self, frames: object) -> AnnotationSession:
        # Every request starts from its keyframes, so there is no tracked frame to go back to.
        return AnnotationSession(frames, self.store, self.settings.model, history=None, cache=self._features)


def _tasks(tasks: object) -> list[Mapping[str, Any]]:
    """Return the ``data`` of each task."""
    if not isinstance(tasks, list) or not tasks:
        raise InputError("The request has no task; send at least one under 'tasks'.")
    found = [task.get("data") if isinstance(task, Mapping) else None for task in tasks]
    if not all(isinstance(data, Mapping) for data in found):
        raise InputError("A task of the request has no data; import it again.")
    return [data for data in found if isinstance(data, Mapping)]


def _drawn(context: object) -> list[object]:
    regions = context.get("result") if isinstance(context, Mapping) else context
    if regions is None:
        return []
    if not isinstance(regions, list):
        raise InputError("The request's context is not of the form {'result': [regions]}.")
    return regions
