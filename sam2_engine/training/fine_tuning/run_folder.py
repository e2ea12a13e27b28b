"""Folder of a run: settings, checkpoint and scores, each file replaced only when complete."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from sam2_engine.disk import no_empty_folders, replacing
from sam2_engine.errors import InputError, OptionError
from sam2_engine.training.fine_tuning.config import TrainingConfig, with_current_names

__all__ = ["RunFolder"]


_LOCK = ".lock"


class RunFolder:
    """Folder of one run.

    Parameters
    ----------
    path
        The folder; made if missing.

    Raises
    ------
    InputError
        If it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The run's folder {path} cannot be made ({error.strerror}); give another."
            ) from None

    def claim(self, settings: Mapping[str, Any], done: int = 0) -> None:
        """Write the settings of a new run, or check that the run to be continued has the same ones.

        Its steps may be others, if no fewer than are ``done``.

        Raises
        ------
        InputError
            If the folder holds a run with other settings, or one that has done more steps.
        """
        before = self.read("settings.json")
        # What an earlier version did not know yet was as it is by default.
        before = None if before is None else {**TrainingConfig().to_dict(), **with_current_names(before)}
        now = json.loads(json.dumps(settings, default=str))
        if before is None:
            self.write("settings.json", now)
            return
        changed = [name for name in now if name != "steps" and before.get(name) != now[name]]
        if now["steps"] < done:
            raise OptionError(
                f"{self.path} holds a run that has done {done} steps, more than {{steps}}: give as many "
                "or more, or another folder for this one.",
                steps=now["steps"],
            )
        if changed:
            name = changed[0]
            raise InputError(
                f"{self.path} holds a run with {name} = {before.get(name)}, not {now[name]}; continue it "
                "with the same settings, or give another folder for this one."
            )
        if before.get("steps") != now["steps"]:
            self.write("settings.json", now)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return what a JSON file holds; None if there is none."""
        path = self.path / name
        if not path.exists():
            return None
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except ValueError:
            raise InputError(f"{path} is damaged; give another folder for the run.") from None
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        path = self.path / name
        try:
            with replacing(path) as aside:
                aside.write_text(json.dumps(content, indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); make space there.") from None

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint aside, then rename it: neither a full disk nor a killed run loses the last one.

        Raises
        ------
        InputError
            If it cannot be written; the last checkpoint is still there.
        """
        try:
            # Into an open file: given a name, torch says of a full disk "unexpected pos 704 vs 598".
            with replacing(self.checkpoint) as aside, aside.open("wb") as file:
                torch.save(dict(state), file)
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f"The checkpoint {self.checkpoint} cannot be written ({reason}); make space and give the "
                "same command again: the run continues from the last one."
            ) from None

    def load(self) -> dict[str, Any] | None:
        """Return the last checkpoint; None if there is none."""
        if not self.checkpoint.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise InputError(
                f"{self.checkpoint} is damaged ({error}); give another folder for the run."
            ) from error
        return state


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Keep other processes away from a run's folder; one that was made for nothing is removed again.

    Raises
    ------
    InputError
        If another process trains in it.
    """
    with no_empty_folders(path):
        RunFolder(path)
        lock = FileLock(path / _LOCK, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"Another process is training in {path}: wait until it has ended, or give another folder."
            ) from None
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); give another folder.") from None
        try:
            yield
        finally:
            with suppress(OSError):  # while it is held: later it may be another process's; Windows removes it
                (path / _LOCK).unlink()
            lock.release()
