"""From a task and what was drawn on it to a prediction: the part that every way of serving shares."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.schema.labeling_config import LabelingConfig, Target
from labelstudio_backend.schema.project_parameters import ProjectParameters, ProjectParameterStore
from labelstudio_backend.schema.regions import Region
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.batch_jobs import Answer, BatchJobs
from labelstudio_backend.tasks.image_tasks import ImageTasks
from labelstudio_backend.tasks.request_options import RequestOptions
from labelstudio_backend.tasks.session_cache import SessionCache
from labelstudio_backend.tasks.video_tasks import VideoTasks
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["Predictor"]

PARAMETERS_FILE = "label-studio-projects.json"
OPENING_SECONDS = 10.0
"""Longest time that a page which may be waiting to show a task is kept waiting."""

_log = logging.getLogger(__name__)

Prediction = dict[str, Any]
Task = Mapping[str, Any]


class Predictor:
    """One process's models, media and recent sessions.

    Parameters
    ----------
    settings
        What to load and where media may come from.
    store
        The models of the process; None for a store of its own.

    Attributes
    ----------
    parameters
        What the projects that were connected are set to.
    """

    def __init__(self, settings: Settings, store: ModelStore | None = None) -> None:
        self.settings = settings
        self.store = store or ModelStore(settings.device)
        self.sessions = SessionCache(settings.session_bytes)
        file = settings.state_folder and settings.state_folder / PARAMETERS_FILE
        self.parameters = ProjectParameterStore(settings.model_names, file)
        self._media = MediaLibrary(settings)
        self._features = FeatureCache(settings.feature_bytes)
        self._images = ImageTasks(self.store, self._media, self.sessions, self._features)
        self._video_tasks = VideoTasks(settings, self.store, self._media, self._features)
        self.videos = self._video_tasks.videos
        self._batch = BatchJobs()

    @property
    def model_version(self) -> str:
        """The name under which answers are filed for projects that chose no model."""
        return self.settings.model_version

    def version_for(self, project: object) -> str:
        """The name under which a project's answers are filed, wherever Label Studio asks for it."""
        return self.settings.version_of(self.parameters.of(project).model)

    @property
    def gauges(self) -> dict[str, float]:
        """What is held at the moment, and was evicted, by the names of metrics."""
        return {
            "sam2_sessions": len(self.sessions),
            "sam2_session_bytes": self.sessions.num_bytes,
            "sam2_feature_bytes": self._features.num_bytes,
            "sam2_media_bytes": self._media.num_bytes,
            **self._video_tasks.gauges,
        }

    def load(self) -> None:
        """Load the weights of all models that projects may choose, so that no request waits for them.

        Raises
        ------
        InputError
            If there is no such model, or its file is not usable.
        """
        for model in self.settings.model_names.values():
            self.store.get(model)

    def close(self) -> None:
        """Give up unfinished work, forget sessions and delete fetched media."""
        self._video_tasks.close()  # for which the batch may be waiting
        self._batch.close()
        self.sessions.clear()
        self._media.close()

    def setup(self, label_config: object, project: object = None, extra_params: object = None) -> str:
        """Take note of a project and return the model version of all its predictions.

        Label Studio compares the two, and asks again for what has predictions of another version.

        Raises
        ------
        InputError
            If nothing in the labeling configuration can be filled, or the extra params are not usable.
        """
        config = LabelingConfig.parse(label_config)
        parameters = ProjectParameters.parse(extra_params, self.settings.model_names)
        targets = config.targets(parameters.answer)
        if parameters.label is not None:
            for target in targets:
                if target.media.kind == "Image":
                    target.control_for(parameters.label)
        self.parameters.remember(project, extra_params)
        return self.settings.version_of(parameters.model)

    def predict(
        self, tasks: object, label_config: object, context: object = None, project: object = None
    ) -> list[Prediction | list[Prediction]]:
        """Answer a request with one entry per task.

        Parameters
        ----------
        tasks
            Tasks as Label Studio sends them.
        label_config
            The project's labeling configuration, XML.
        context
            ``{"result": [regions]}``: what a person drew on the only task; without regions there is nothing
            to do. None to pre-annotate all tasks.
        project
            As it was named to :meth:`setup`.

        Returns
        -------
        Predictions; for a task that was not reached in time, or could not be read, an empty list, by which
        Label Studio leaves it without a prediction and asks again the next time.

        Raises
        ------
        InputError
            If any of it cannot be used.
        """
        order = self._order(project)
        config = LabelingConfig.parse(label_config)
        targets = config.targets(order.parameters.answer)
        checked = _tasks(tasks)
        if context is None:
            return self._pre_annotate(checked, targets, str(label_config), order)
        regions = _drawn(context)
        if not regions:
            return [_prediction([], 0.0, order) for _ in checked]
        if len(checked) != 1:
            raise InputError(f"What was drawn belongs to one task, but the request has {len(checked)}.")
        target = config.target_of(regions, order.parameters.answer)
        if target.media.kind == "Video":
            return [_prediction(*self._video_tasks.answer(checked[0], target, regions, order), order)]
        return [_prediction(*self._images.answer(checked[0], target, regions, order), order)]

    def _order(self, project: object) -> RequestOptions:
        parameters = self.parameters.of(project)
        return RequestOptions(
            project=str(project),
            parameters=parameters,
            model=self.settings.model_names[parameters.model] if parameters.model else self.settings.model,
            model_version=self.settings.version_of(parameters.model),
            deadline=time.monotonic() + (parameters.time_budget or self.settings.predict_seconds),
        )

    # ------------------------------------------------------------------ many tasks

    def _pre_annotate(
        self, tasks: Sequence[Task], targets: Sequence[Target], label_config: str, order: RequestOptions
    ) -> list[Prediction | list[Prediction]]:
        """Return a prediction for each task that is finished in time; the others go on in the background."""
        if order.parameters.batch == "automatic" and _may_be_opened(tasks):
            parameters = replace(order.parameters, batch="prompts")
            deadline = min(order.deadline, time.monotonic() + OPENING_SECONDS)
            order = replace(order, parameters=parameters, deadline=deadline)
        keys = [_key(task, label_config, order) for task in tasks]
        work = {key: partial(self._one_task, task, targets, order) for key, task in zip(keys, tasks)}
        finished = self._batch.answers(order.project, work, order.deadline)
        troubles = [found for found in finished.values() if isinstance(found, InputError)]
        for trouble in troubles:
            _log.warning("project=%s a task is left without a prediction: %s", order.project, trouble)
        if troubles and len(troubles) == len(work):
            others = f" So it is with all {len(work)} tasks." if len(work) > 1 else ""
            raise InputError(f"{troubles[0]}{others}")
        answers = [finished.get(key) for key in keys]
        return [_prediction(*one, order) if isinstance(one, tuple) else [] for one in answers]

    def _one_task(self, task: Task, targets: Sequence[Target], order: RequestOptions) -> Answer | None:
        """Return what there is to say of a task, on all of its media; the score is the least sure one's."""
        answers: list[Answer] = []
        for target in targets:
            tasks = self._video_tasks if target.media.kind == "Video" else self._images
            if (answer := tasks.pre_annotate(task, target, order)) is not None:
                answers.append(answer)
        if not answers:
            return None
        return [region for regions, _ in answers for region in regions], min(score for _, score in answers)


def _prediction(result: list[Region], score: float, order: RequestOptions) -> Prediction:
    return {"result": result, "score": score, "model_version": order.model_version}


def _may_be_opened(tasks: Sequence[Task]) -> bool:
    """Return whether a batch may be a person who opens a task.

    Label Studio asks then as for a batch, for one task that has no prediction at all, and lays what it gets
    under the person's work; nothing tells this from "Retrieve predictions" for one such task.
    """
    return len(tasks) == 1 and not tasks[0].get("predictions")


def _key(task: Task, label_config: str, order: RequestOptions) -> str:
    """Return a name for all that a task's prediction depends on."""
    held = {key: task.get(key) for key in ("id", "data", "drafts", "annotations", "predictions")}
    written = json.dumps([held, label_config, order.model_version, str(order.parameters)], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


def _tasks(tasks: object) -> list[Task]:
    if not isinstance(tasks, list) or not tasks:
        raise InputError("The request has no task; send at least one under 'tasks'.")
    if not all(isinstance(task, Mapping) and isinstance(task.get("data"), Mapping) for task in tasks):
        raise InputError("A task of the request has no data; import it again.")
    if not all(isinstance(task.get("id"), int | str | None) for task in tasks):
        raise InputError("A task of the request has an id that is neither a number nor a name.")
    return tasks


def _drawn(context: object) -> list[object]:
    regions = context.get("result") if isinstance(context, Mapping) else context
    if regions is None:
        return []
    if not isinstance(regions, list):
        raise InputError("The request's context is not of the form {'result': [regions]}.")
    return regions
