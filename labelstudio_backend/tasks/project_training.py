"""Trainings on what a project's people have submitted, whose weights are served once they are better."""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from labelstudio_backend.export.project_export import export_project
from labelstudio_backend.settings import Settings, model_name
from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_plugins.fine_tuning import FineTuning, unfinished_training
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.storage.snapshot import read_json

__all__ = ["ProjectTrainings"]

_SERVED = "served.json"
_LOG_SECONDS = 30.0
_EXPORT = "/api/projects/{}/export?exportType=JSON"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Served:
    """Weights that are served in the place of the model that they were trained from."""

    base: str
    weights: str


class ProjectTrainings:
    """Trainings of the projects of one server, one at a time, each in a process of its own.

    Parameters
    ----------
    settings
        Of the server: whether it trains at all, and where it stores things.
    fetch
        Writes the file at an address of Label Studio to a path.
    load
        Loads a model, so that no request waits for it.
    """

    def __init__(
        self, settings: Settings, fetch: Callable[[str, Path], None], load: Callable[[str], object]
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._load = load
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running: FineTuning | None = None
        self._closing = False
        self._served: dict[str, _Served] = {}
        if settings.trains and (home := settings.state_folder) is not None:
            for path in home.glob(f"trainings/*/{_SERVED}"):
                self._served[path.parent.name] = _read_served(path)

    @property
    def is_running(self) -> bool:
        """Whether a training is under way."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def model_for(self, project: object, base: str) -> str | None:
        """Return the weights that a project has trained from a model; None if there are no better ones."""
        served = self._served.get(_folder_name(project))
        if served is None or served.base != base or not Path(served.weights).exists():
            return None
        return served.weights

    def start(self, project: object, base: str) -> bool:
        """Train on a project in the background, or go on with what was stopped.

        Parameters
        ----------
        project
            Label Studio's number of it.
        base
            The model that the project uses; what was trained from it already is trained on.

        Returns
        -------
        bool
            False if another training is under way.

        Raises
        ------
        InputError
            If the server does not train, or does not know Label Studio.
        """
        if not self._settings.trains:
            raise InputError("This server does not train; set TRAINING=1 where it is started.")
        if self._settings.state_folder is None or self._settings.label_studio_url is None:
            raise InputError("Training needs LABEL_STUDIO_URL and MODEL_DIR where the server is started.")
        home = self._settings.state_folder / "trainings" / _folder_name(project)
        with self._lock:
            if self.is_running:
                return False
            arguments = (project, base, home)
            self._thread = threading.Thread(target=self._run, args=arguments, name="sam2-train", daemon=True)
            self._thread.start()
        return True

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the training that is under way."""
        if (thread := self._thread) is not None:
            thread.join(seconds)

    def close(self) -> None:
        """Stop training after its step; it goes on when it is started again."""
        self._closing = True
        if (running := self._running) is not None:
            running.stop()
        self.wait(10.0)

    def _run(self, project: object, base: str, home: Path) -> None:
        name = _folder_name(project)
        try:
            training = unfinished_training(home) or self._prepare(project, base, home)
            self._running = training
            if not self._closing:
                _log_progress(name, training)
            if training.finished:
                self._serve(name, base, home, training)
            else:
                _log.info("training=%s stopped; Start training goes on from there", name)
        except InputError as error:
            _log.warning("training=%s failed: %s", name, error)
        except Exception:
            _log.exception("training=%s failed", name)
        finally:
            self._running = None

    def _prepare(self, project: object, base: str, home: Path) -> FineTuning:
        """Write what was submitted as a folder to train on."""
        folder = next(home / str(number) for number in count(1) if not (home / str(number)).exists())
        model = self.model_for(project, base) or base
        try:
            folder.mkdir(parents=True)
            exported = folder / "project.json"
            self._fetch(_EXPORT.format(project), exported)
            settings = replace(self._settings, model=model)
            export_project(exported, folder / "data", "training", settings, None, False)
            steps = self._settings.training_steps
            return FineTuning.begin(folder, model, steps=steps, device=self._settings.device)
        except OSError as error:
            raise InputError(os_error_sentence(error, folder)) from None

    def _serve(self, name: str, base: str, home: Path, training: FineTuning) -> None:
        """Serve new weights from now on, if they are better on what they were not trained on."""
        _log.info("training=%s %s", name, training.improvement)
        if not training.is_better:
            _log.info("training=%s the earlier model stays: the new one is not better", name)
            return
        model = training.folder / f"{name}-{training.folder.name}"
        training.model.replace(model)  # whose name is what people read; its card is in it
        self._load(str(model))
        with replacing(home / _SERVED) as aside:
            content = {"base": base, "weights": str(model.relative_to(home))}
            aside.write_text(json.dumps(content), encoding="utf-8")
        self._served[name] = _Served(base, str(model))
        version = self._settings.version_of(model_name(str(model)))
        _log.info("training=%s is served from now on as %s", name, version)


def _log_progress(name: str, training: FineTuning) -> None:
    said, last = "", float("-inf")
    for progress in training.train():
        now = time.monotonic()
        if progress.sentence != said or now - last >= _LOG_SECONDS:
            said, last = progress.sentence, now
            of = "" if progress.total is None else f" of {progress.total}"
            _log.info("training=%s step=%d%s %s", name, progress.done, of, said)


def _folder_name(project: object) -> str:
    """Return the name of a project's folder; requests name a project by number and time."""
    number = str(project).split(".")[0]
    return f"project-{number}" if number.isdecimal() else "project-none"


def _read_served(path: Path) -> _Served:
    content = read_json(path)
    return _Served(str(content.get("base")), str(path.parent / str(content.get("weights"))))
