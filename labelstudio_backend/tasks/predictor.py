"""Predictions for tasks and for what is drawn on them, shared by all ways of serving."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.schema.answers import split_answers
from labelstudio_backend.schema.event_messages import event_of, takes_events_alone
from labelstudio_backend.schema.labeling_config import LabelingConfig, Target
from labelstudio_backend.schema.project_parameters import ProjectParameters, ProjectParameterStore
from labelstudio_backend.schema.regions import Region, ScoredRegions
from labelstudio_backend.settings import Settings, model_name
from labelstudio_backend.tasks.batch_jobs import BatchJobs
from labelstudio_backend.tasks.doubts import task_score
from labelstudio_backend.tasks.image_tasks import ImageTasks
from labelstudio_backend.tasks.interactive_events import InteractiveEvents
from labelstudio_backend.tasks.lanes import Lane, Requests, SupersededError, Ticket
from labelstudio_backend.tasks.project_training import ProjectTrainings
from labelstudio_backend.tasks.request_options import RequestOptions
from labelstudio_backend.tasks.session_cache import SessionCache
from labelstudio_backend.tasks.video_tasks import VideoTasks
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["Predictor"]

PARAMETERS_FILE = "label-studio-projects.json"
OPENING_SECONDS = 10.0
"""Deadline where the page may be waiting to show a task."""
_SETUP_SECONDS = 1.5
"""For trying the key, of the 3 s that Label Studio waits for a setup."""

_log = logging.getLogger(__name__)

Prediction = dict[str, Any]
Task = Mapping[str, Any]


class Predictor:
    """Setup and predictions: one process's models, media and recent sessions.

    Parameters
    ----------
    settings
        What to load and where media may come from.
    store
        The models of the process; None for a store of its own.

    Attributes
    ----------
    parameters
        The parameters of the projects that were connected.
    """

    def __init__(self, settings: Settings, store: ModelStore | None = None) -> None:
        self.settings = settings
        self.store = store or ModelStore(settings.device)
        self.sessions = SessionCache(settings.session_bytes, Lane(settings.threads))
        file = settings.state_folder and settings.state_folder / PARAMETERS_FILE
        self.parameters = ProjectParameterStore(settings.model_names, file)
        self._media = MediaLibrary(settings)
        self._features = FeatureCache(settings.feature_bytes)
        self._image_tasks = ImageTasks(
            self.store, self._media, self.sessions, self._features, Lane(max(1, settings.threads // 4))
        )
        self._video_tasks = VideoTasks(settings, self.store, self._media, self._features)
        self.scheduler = self._video_tasks.scheduler
        self._events = InteractiveEvents(self.store, self._media, self._features, self._image_tasks)
        self.trainings = ProjectTrainings(settings, self._media.write, self.store.load)
        self._batch_jobs = BatchJobs()
        self._requests = Requests()

    @property
    def model_version(self) -> str:
        """The model version of predictions for projects that chose no model."""
        return self.settings.model_version

    def version_for(self, project: object) -> str:
        """Return the model version of a project's predictions."""
        return self._options(project).model_version

    def start_training(self, project: object) -> bool:
        """Train on what a project's people have submitted; return whether there was room for it.

        Raises
        ------
        InputError
            If this server does not train.
        """
        return self.trainings.start(project, self._base_model(project))

    @property
    def gauges(self) -> dict[str, float]:
        """What is cached at the moment, and was evicted, by the names of metrics."""
        return {
            "sam2_waiting_clicks": self.sessions.waiting,
            "sam2_sessions": len(self.sessions),
            "sam2_session_bytes": self.sessions.num_bytes,
            "sam2_feature_bytes": self._features.num_bytes,
            "sam2_media_bytes": self._media.num_bytes,
            "sam2_event_tracks": len(self._events.tracks),
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
            self.store.load(model)

    def check_label_studio(self, seconds: float = 15.0) -> None:
        """Make sure that Label Studio is reached and takes our API key, if both are set.

        Raises
        ------
        InputError
            If it does not, or is not there.
        """
        self._media.check_label_studio(seconds)

    def close(self) -> None:
        """Stop training, drop unfinished jobs, close sessions and delete fetched media."""
        self._video_tasks.close()  # for which batch jobs may be waiting
        self._batch_jobs.close()
        self.trainings.close()
        self._events.close()
        self.sessions.clear()
        self._media.close()

    def setup(self, label_config: object, project: object = None, extra_params: object = None) -> str:
        """Store a project's parameters and return the model version of all its predictions.

        Label Studio compares the two, and requests what has predictions of another version again.

        Raises
        ------
        InputError
            If the labeling configuration has no control tag for predictions, the extra params are wrong, or
            Label Studio does not take our API key.
        """
        config = LabelingConfig.parse(label_config)
        parameters = ProjectParameters.parse(extra_params, self.settings.model_names)
        targets = [] if takes_events_alone(config) else config.targets(parameters.answer)
        if targets:
            config.check()
        if parameters.label is not None:
            for target in targets:
                if target.media.kind == "Image":
                    target.control_for(parameters.label)
        self.check_label_studio(_SETUP_SECONDS)
        self.parameters.set(project, extra_params)
        return self.version_for(project)

    def predict(
        self, tasks: object, label_config: object, context: object = None, project: object = None
    ) -> list[Prediction | list[Prediction]]:
        """Return the predictions of a request, one entry per task.

        Parameters
        ----------
        tasks
            Tasks as Label Studio sends them.
        label_config
            The project's labeling configuration, XML.
        context
            ``{"result": [regions]}``: what a person drew on the only task; without regions there is nothing
            to do. With an ``event``, what interactive tools ask. None to pre-annotate all tasks.
        project
            As in :meth:`setup`.

        Returns
        -------
        Predictions; for a task that was not reached in time, or could not be read, an empty list, by which
        Label Studio leaves it without a prediction and requests it again the next time.

        Raises
        ------
        InputError
            If any of it cannot be used.
        """
        options = self._options(project)
        event = event_of(context)
        if event == "capabilities":
            return [_prediction(self._events.capabilities(options), 0.0, options)]
        config = LabelingConfig.parse(label_config)
        if event is not None and isinstance(context, Mapping):
            task = _only(_checked_tasks(tasks))
            return [_prediction(self._events.answer(event, task, config, context, options), 0.0, options)]
        targets = config.targets(options.parameters.answer)
        tasks = _checked_tasks(tasks)
        if context is None:
            return self._predict_batch(tasks, targets, str(label_config), options)
        regions, answers = split_answers(_context_regions(context))
        if not regions:
            return [_prediction(answers, 0.0, options) for _ in tasks]
        task = _only(tasks)
        target = config.target_of(regions, options.parameters.answer)
        result, score = self._predict_drawn(task, target, regions, options)
        return [_prediction([*result, *answers], score, options)]

    def _predict_drawn(
        self, task: Task, target: Target, regions: Sequence[object], options: RequestOptions
    ) -> ScoredRegions:
        """Return the regions for what was drawn; none if the person has drawn on before it was their turn."""
        handler = self._video_tasks if target.media.kind == "Video" else self._image_tasks
        ids = [r["id"] for r in regions if isinstance(r, Mapping) and isinstance(r.get("id"), str)]
        # A track is asked for again as it is, to see more of it; a click twice is two of one.
        content = object() if target.media.kind == "Video" else regions
        ticket = Ticket(ids, content, options.ticket.deadline)
        scope = (options.project, task.get("id"), target.media.name)
        try:
            with self._requests.begun(scope, ticket):
                return handler.predict_interactive(task, target, regions, replace(options, ticket=ticket))
        except SupersededError:
            return [], 0.0

    def _options(self, project: object) -> RequestOptions:
        parameters = self.parameters.get(project)
        base = self._base_model(project)
        trained = self.trainings.model_for(project, base)
        return RequestOptions(
            project=str(project),
            parameters=parameters,
            model=trained or base,
            model_version=self.settings.version_of(model_name(trained) if trained else parameters.model),
            ticket=Ticket(
                deadline=time.monotonic() + (parameters.time_budget or self.settings.predict_seconds)
            ),
        )

    def _base_model(self, project: object) -> str:
        chosen = self.parameters.get(project).model
        return self.settings.model_names[chosen] if chosen else self.settings.model

    # ------------------------------------------------------------------ many tasks

    def _predict_batch(
        self, tasks: Sequence[Task], targets: Sequence[Target], label_config: str, options: RequestOptions
    ) -> list[Prediction | list[Prediction]]:
        """Return a prediction for each task that is finished in time; the others go on in the background."""
        if options.parameters.batch == "automatic" and _may_be_opening(tasks):
            parameters = replace(options.parameters, batch="prompts")
            deadline = min(options.ticket.deadline, time.monotonic() + OPENING_SECONDS)
            options = replace(options, parameters=parameters, ticket=Ticket(deadline=deadline))
        keys = [_job_key(task, label_config, options) for task in tasks]
        jobs = {key: partial(self._predict_task, task, targets, options) for key, task in zip(keys, tasks)}
        finished = self._batch_jobs.results(options.project, jobs, options.ticket.deadline)
        errors = [found for found in finished.values() if isinstance(found, InputError)]
        for error in errors:
            _log.warning("project=%s a task is left without a prediction: %s", options.project, error)
        if errors and len(errors) == len(jobs):
            others = f" So it is with all {len(jobs)} tasks." if len(jobs) > 1 else ""
            raise InputError(f"{errors[0]}{others}")
        results = [finished.get(key) for key in keys]
        return [_prediction(*one, options) if isinstance(one, tuple) else [] for one in results]

    def _predict_task(
        self, task: Task, targets: Sequence[Target], options: RequestOptions
    ) -> ScoredRegions | None:
        """Return the regions on all media of a task; the score is the lowest of theirs."""
        predicted: list[ScoredRegions] = []
        for target in targets:
            handler = self._video_tasks if target.media.kind == "Video" else self._image_tasks
            if (scored := handler.predict_batch(task, target, options)) is not None:
                predicted.append(scored)
        if not predicted:
            return None
        result = [region for regions, _ in predicted for region in regions]
        return result, task_score(score for _, score in predicted)


def _prediction(result: list[Region], score: float, options: RequestOptions) -> Prediction:
    return {"result": result, "score": score, "model_version": options.model_version}


def _only(tasks: Sequence[Task]) -> Task:
    if len(tasks) != 1:
        raise InputError(f"What was drawn belongs to one task, but the request has {len(tasks)}.")
    return tasks[0]


def _may_be_opening(tasks: Sequence[Task]) -> bool:
    """Return whether a batch may be a person who opens a task.

    Label Studio then sends the request of a batch, for one task that has no prediction at all, and shows what
    it gets to the person; nothing tells this from "Retrieve predictions" for one such task.
    """
    return len(tasks) == 1 and not tasks[0].get("predictions")


def _job_key(task: Task, label_config: str, options: RequestOptions) -> str:
    """Return a hash of all that a task's prediction depends on."""
    inputs = {key: task.get(key) for key in ("id", "data", "drafts", "annotations", "predictions")}
    written = json.dumps(
        [inputs, label_config, options.model_version, str(options.parameters)], sort_keys=True
    )
    return hashlib.sha256(written.encode()).hexdigest()


def _checked_tasks(tasks: object) -> list[Task]:
    if not isinstance(tasks, list) or not tasks:
        raise InputError("The request has no task; send at least one under 'tasks'.")
    if not all(isinstance(task, Mapping) and isinstance(task.get("data"), Mapping) for task in tasks):
        raise InputError("A task of the request has no data; import it again.")
    if not all(isinstance(task.get("id"), int | str | None) for task in tasks):
        raise InputError("A task of the request has an id that is neither a number nor a name.")
    return tasks


def _context_regions(context: object) -> list[object]:
    regions = context.get("result") if isinstance(context, Mapping) else context
    if regions is None:
        return []
    if not isinstance(regions, list):
        raise InputError("The request's context is not of the form {'result': [regions]}.")
    return regions
