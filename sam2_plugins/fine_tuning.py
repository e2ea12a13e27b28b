"""Fine-tuning on the reviewed frames of a session, in a process of its own: the host stays responsive.

Each training has a numbered folder: ``data/``, the training folder; ``settings.json`` and, where there are
few masks, ``few.toml``; ``run/``, checkpoint and log of ``sam2 train``, and the new model with its card;
``log.txt``, its errors.
"""

import json
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.training.fine_tuning.config import usual_steps
from sam2_engine.training.fine_tuning.held_out_objects import FEWEST_OBJECTS
from sam2_engine.weights.downloads import add
from sam2_engine.weights.locations import find, name_of
from sam2_engine.weights.model_folder import weights_in
from sam2_engine.wording import counted
from sam2_plugins.export.training_folder import usable_frames, write_masks, write_training_folder
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = [
    "FineTuning",
    "TrainingProgress",
    "reviewed_frames",
    "reviewed_masks",
    "steps_that_fit",
    "unfinished_training",
    "what_is_taught",
]

_MIN_FRAMES = 2
_FEW_FRAMES = 2
"""With so few frames or less, single masks are trained on and held out, whatever else is on their frames."""
_LEAST_GAIN = {"objects": 0.01, "frames": 0.0}
"""A smaller gain may be chance, where but a few objects were held out."""
_FEW_STEPS = 60
_FEW_MASKS = f"""# A few masks: benchmarks/teaching/five_masks.py
batch_size = 1
learning_rate = 3e-5
steps = {_FEW_STEPS}

[prompts]
corrections = 2

[augmentation]
flip = 0.5
"""
_STOPPED = (130, 143, 129)
_UNUSABLE_INPUT = 2


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training.

    Attributes
    ----------
    done, total
        Steps that are done, and in all; 0 and None before the first.
    sentence
        The last message about the run.
    """

    done: int
    total: int | None
    sentence: str


def reviewed_frames(session: AnnotationSession) -> list[int]:
    """Return the frames on which a person verified, clicked, boxed or painted every mask."""
    reviewed = {i: session.verified(i) | session.prompts_of(i).keys() for i in session.objects}
    annotated = {i: set(session.frames_of(i)) for i in session.objects}
    unreviewed = set().union(*(annotated[i] - reviewed[i] for i in annotated))
    return [frame for frame in usable_frames(session)[0] if frame not in unreviewed]


def reviewed_masks(session: AnnotationSession) -> dict[int, set[int]]:
    """Return by frame the objects whose mask there a person verified, clicked, boxed or painted."""
    masks: dict[int, set[int]] = {}
    for object_id in session.objects:
        for frame in session.verified(object_id) | session.prompts_of(object_id).keys():
            accepted = session.accepted(object_id, frame)
            if accepted is not None and not accepted.mask.is_empty:
                masks.setdefault(frame, set()).add(object_id)
    return dict(sorted(masks.items()))


def what_is_taught(session: AnnotationSession) -> str:
    """Return in words what a training would be on: frames, or, where these are few, masks."""
    if _are_few(session):
        return counted(sum(map(len, reviewed_masks(session).values())), "verified mask")
    return f"{len(reviewed_frames(session))} of {counted(len(session), 'frame')}"


def steps_that_fit(session: AnnotationSession) -> int:
    """Return how many steps fit what a session has to train on."""
    return _FEW_STEPS if _are_few(session) else usual_steps(len(reviewed_frames(session)))


def _are_few(session: AnnotationSession) -> bool:
    """Whether single masks are trained on: there are enough of them, and few frames without others."""
    masks = sum(map(len, reviewed_masks(session).values()))
    return masks >= FEWEST_OBJECTS and len(reviewed_frames(session)) <= _FEW_FRAMES


class FineTuning:
    """One training and its folder; :meth:`prepare` begins a new one.

    Parameters
    ----------
    folder
        The folder made by :meth:`prepare`.

    Attributes
    ----------
    improvement
        In a sentence, the gain on held-out frames; None before the end.
    is_better
        Whether there is a gain on held-out frames, over all that was measured there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.improvement: str | None = None
        self.is_better = False
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def prepare(
        cls,
        session: AnnotationSession,
        home: Path,
        *,
        steps: int | None = None,
        device: str = "auto",
    ) -> Generator[int, None, "FineTuning"]:
        """Write a session's reviewed frames, or its reviewed masks, into a new folder in ``home``.

        Parameters
        ----------
        session
            Its :func:`reviewed_frames` are trained on, but for the last fifth, which is held out. With two
            such frames or less its :func:`reviewed_masks` are, five or more, on whichever frames, but for a
            third of them.
        home
            Folder of this session's trainings; made if missing.
        steps, device
            As for ``sam2 train``; None: as many as fit the frames.

        Yields
        ------
        int
            Each frame, once it is written.

        Raises
        ------
        InputError
            If too little is reviewed, or the folder cannot be written.
        """
        frames, masks = reviewed_frames(session), reviewed_masks(session)
        reviewed = sum(map(len, masks.values()))
        few = _are_few(session)
        if not few and len(frames) < _MIN_FRAMES:
            raise InputError(
                f"There is too little to train on: {counted(reviewed, 'mask')} "
                f"{'is' if reviewed == 1 else 'are'} verified, clicked or painted, "
                f"and {FEWEST_OBJECTS} are the fewest, or every mask of {_MIN_FRAMES} frames; verify more."
            )
        folder = next(home / str(number) for number in count(1) if not (home / str(number)).exists())
        try:
            folder.mkdir(parents=True)
            if few:
                yield from write_masks.steps(session, folder / "data", masks)
            else:
                yield from write_training_folder.steps(session, folder / "data", frames=frames)
            return cls.begin(folder, session.model_name, steps=steps, device=device, few=few)
        except OSError as error:
            raise InputError(os_error_sentence(error, folder)) from None

    @classmethod
    def begin(
        cls,
        folder: Path,
        model: str,
        *,
        steps: int | None = None,
        device: str = "auto",
        few: bool = False,
    ) -> "FineTuning":
        """Return a training on what was written into ``folder / "data"``, from a model's name or file.

        With ``few`` masks it is short and careful: on single images, with settings that were measured.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        weights, size, _ = ModelName.parse(model)
        settings = {"model": weights, "image_size": size, "steps": steps, "device": device, "few": few}
        with replacing(folder / "settings.json") as aside:
            aside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        return cls(folder)

    def train(self) -> Iterator[TrainingProgress]:
        """Train, from where it was stopped, and yield after every step.

        Raises
        ------
        InputError
            If it fails; the last checkpoint stays.
        """
        done, total, sentence = 0, None, "Starting …"
        process = self._process = self._start_process()
        assert process.stdout is not None
        try:
            yield TrainingProgress(done, total, sentence)
            for line in process.stdout:
                message = json.loads(line)
                done, total = message.get("learning", done), message["of"] if "learning" in message else total
                sentence = message.get("said", sentence)
                if "measuring" in message and not done:
                    sentence = f"Measuring the model as it is: {message['measuring']} of {message['of']} …"
                if message.get("finished"):
                    self.improvement, self.is_better = message.get("gain"), _is_gain(message)
                yield TrainingProgress(done, total, sentence)
        finally:
            self.stop()
            status = process.wait()
            process.stdout.close()
        if status not in (0, *_STOPPED):
            raise InputError(self._error_message(status))

    def stop(self) -> None:
        """Stop after the current step; :meth:`train` continues from there another time."""
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.closed:
            process.stdin.close()

    @property
    def model(self) -> Path:
        """The folder of the new model: weights and card, once the training has finished."""
        return self.folder / "run"

    @property
    def finished(self) -> bool:
        """Whether there are new weights."""
        return weights_in(self.model) is not None

    def use(self, name: str) -> str:
        """Add the new model to those of this machine and return its name.

        Parameters
        ----------
        name
            Wanted name; a number is appended where it is taken.

        Raises
        ------
        InputError
            If they cannot be copied.
        """
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        free = next(one for one in names if find(one) is None)
        return name_of(add(self.model, free))

    def _start_process(self) -> subprocess.Popen[str]:
        with (self.folder / "log.txt").open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C in the host's terminal ends the host, and so its input
            )

    def _command(self) -> list[str]:
        settings: dict[str, Any] = json.loads((self.folder / "settings.json").read_text(encoding="utf-8"))
        options = {
            "--from": settings["model"],
            "--image-size": settings["image_size"],
            "--steps": settings["steps"],
            "--device": settings["device"],
            "--data": self.folder / "data",
            "--run": self.model,
        }
        few = [str(self._few_settings()), "--pictures"] if settings.get("few") else []
        given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
        return [sys.executable, "-m", "sam2_plugins", "train", *few, "--json-lines", *given]

    def _few_settings(self) -> Path:
        path = self.folder / "few.toml"
        path.write_text(_FEW_MASKS, encoding="utf-8")
        return path

    def _error_message(self, status: int) -> str:
        lines = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        sentence = next((line for line in reversed(lines) if line.startswith("sam2: ")), None)
        if status == _UNUSABLE_INPUT and sentence is not None:
            return sentence.removeprefix("sam2: ")
        return (
            f"Training ended before it was done (status {status}): {self.folder / 'log.txt'} says why; "
            "continue it to go on from the last checkpoint."
        )


def _is_gain(outcome: Mapping[str, Any]) -> bool:
    """Whether the scores on what was held out are higher after a training, on average."""
    by_objects = bool((outcome.get("after") or {}).get("objects"))
    return _gain(outcome) > _LEAST_GAIN["objects" if by_objects else "frames"]


def _gain(outcome: Mapping[str, Any]) -> float:
    """Return how much higher the scores on what was held out are after a training, on average."""
    before, after = outcome.get("before") or {}, outcome.get("after") or {}
    gains = [
        after[name] - before[name]
        for name in ("one_click", "followed")
        if before.get(name) is not None and after.get(name) is not None
    ]
    return sum(gains) / len(gains) if gains else 0.0


def unfinished_training(home: Path) -> FineTuning | None:
    """Return the newest training of a session if it was stopped before its end, else None."""
    prepared = [path.parent for path in home.glob("*/settings.json") if path.parent.name.isdigit()]
    newest = max(prepared, key=lambda folder: int(folder.name), default=None)
    if newest is None or not (newest / "run" / "checkpoint.pt").is_file():
        return None
    finished = [*newest.glob("*.safetensors"), *newest.glob("run/*.safetensors")]
    return None if finished else FineTuning(newest)
