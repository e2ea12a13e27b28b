"""Fine-tuning on what was checked in a session, in a process of its own, so that its host stays responsive.

Each training has a numbered folder: ``data/``, what it learns from; ``settings.json``, how; ``run/``, the
checkpoint and the log of ``sam2 train``; ``log.txt``, its errors; ``model.safetensors``, what came of it.
"""

import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputError
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.weights.downloads import add
from sam2_engine.weights.locations import find
from sam2_engine.wording import counted
from sam2_plugins.export.training_folder import usable_frames, write_training_folder
from sam2_plugins.runtime.atomic_files import os_error_sentence, replacing
from sam2_plugins.runtime.model_store import split_name
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["FineTuning", "TrainingProgress", "checked_frames", "unfinished_training"]

_FEWEST = 2
_STOPPED = 130
_UNUSABLE = 2


@dataclass(frozen=True)
class TrainingProgress:
    """How far it is.

    Attributes
    ----------
    done, total
        Steps that are done, and in all; 0 and None before the first.
    sentence
        What was said last about the run.
    """

    done: int
    total: int | None
    sentence: str


def checked_frames(session: AnnotationSession) -> list[int]:
    """Return the frames on which a person answers for every mask: verified, clicked, boxed or painted."""
    answered = {i: session.verified(i) | session.prompts_of(i).keys() for i in session.objects}
    known = {i: set(session.frames_of(i)) for i in session.objects}
    open_ones = set().union(*(known[i] - answered[i] for i in known))
    return [frame for frame in usable_frames(session)[0] if frame not in open_ones]


class FineTuning:
    """One training in its folder; :meth:`prepare` begins a new one.

    Parameters
    ----------
    folder
        Where it was prepared.

    Attributes
    ----------
    gain
        In a sentence, what was gained on frames that were not learned; None before the end.
    weights
        What came of it; it is there once it has finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.improvement: str | None = None
        self.weights = folder / "model.safetensors"
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def prepare(
        cls,
        session: AnnotationSession,
        home: Path,
        *,
        steps: int = TrainingConfig.steps,
        device: str = "auto",
    ) -> Generator[int, None, "FineTuning"]:
        """Write what is to be learned from a session into a new folder in ``home``.

        Parameters
        ----------
        session
            Its :func:`checked_frames` are learned, but for the last fifth, by which the gain is measured.
        home
            Folder of this session's trainings; made if missing.
        steps, device
            As for ``sam2 train``.

        Yields
        ------
        int
            Each frame, once it is written.

        Raises
        ------
        InputError
            If too few frames are checked, or the folder cannot be written.
        """
        frames = checked_frames(session)
        if len(frames) < _FEWEST:
            raise InputError(
                f"There is too little to learn from: on {counted(len(frames), 'frame')} every "
                f"mask is verified, clicked or painted, and {_FEWEST} are the fewest; verify more."
            )
        folder = next(home / str(number) for number in count(1) if not (home / str(number)).exists())
        model, size = split_name(session.model_name)
        settings = {"model": model, "image_size": size, "steps": steps, "device": device}
        try:
            folder.mkdir(parents=True)
            yield from write_training_folder(session, folder / "data", frames=frames)
            with replacing(folder / "settings.json") as aside:
                aside.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        except OSError as error:
            raise InputError(os_error_sentence(error, folder)) from None
        return cls(folder)

    def train(self) -> Iterator[TrainingProgress]:
        """Learn, from where it was stopped, and yield after every step.

        Raises
        ------
        InputError
            If it cannot; what was learned up to the last checkpoint is kept.
        """
        done, total, sentence = 0, None, "Starting …"
        process = self._process = self._started()
        assert process.stdout is not None
        try:
            yield TrainingProgress(done, total, sentence)
            for line in process.stdout:
                said = json.loads(line)
                done, total = said.get("learning", done), said["of"] if "learning" in said else total
                sentence = said.get("said", sentence)
                self.improvement = said.get("gain") if said.get("finished") else self.improvement
                yield TrainingProgress(done, total, sentence)
        finally:
            self.stop()
            status = process.wait()
            process.stdout.close()
        if status not in (0, _STOPPED):
            raise InputError(self._trouble(status))

    def stop(self) -> None:
        """Let it stop after the step at hand; :meth:`train` goes on from there another time."""
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.closed:
            process.stdin.close()

    @property
    def finished(self) -> bool:
        """Whether there are new weights."""
        return self.weights.is_file()

    def use(self, name: str) -> str:
        """Put the new weights among the models of this machine and return the name that they got.

        Parameters
        ----------
        name
            What to call them; a number follows where that name is taken.

        Raises
        ------
        InputError
            If they cannot be copied.
        """
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        free = next(one for one in names if find(one) is None)
        named = self.weights.with_name(f"{free}.safetensors")
        self.weights.replace(named)
        self.weights = named
        return add(named).stem

    def _started(self) -> subprocess.Popen[str]:
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
            "--run": self.folder / "run",
            "--output": self.weights,
        }
        given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
        return [sys.executable, "-m", "sam2_plugins", "train", "--json-lines", *given]

    def _trouble(self, status: int) -> str:
        lines = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        told = next((line for line in reversed(lines) if line.startswith("sam2: ")), None)
        if status == _UNUSABLE and told is not None:
            return told.removeprefix("sam2: ")
        return (
            f"Training ended before it was done (status {status}): {self.folder / 'log.txt'} says why; "
            "continue it to go on from the last checkpoint."
        )


def unfinished_training(home: Path) -> FineTuning | None:
    """Return the newest training of a session if it was stopped before its end; None if there is none."""
    prepared = [path.parent for path in home.glob("*/settings.json") if path.parent.name.isdigit()]
    newest = max(prepared, key=lambda folder: int(folder.name), default=None)
    if newest is None or not (newest / "run" / "checkpoint.pt").is_file():
        return None
    return None if list(newest.glob("*.safetensors")) else FineTuning(newest)
