"""Marks of a data set: whose annotations are out of date, and which masklets are corrected again."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from sam2_engine.datasets.masklet_folder import session_state
from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence, write_json
from sam2_plugins.storage.snapshot import read_json

__all__ = ["VerdictMarks"]


class VerdictMarks:
    """Marks of the videos of a data set, small files that outlive whoever is killed.

    Parameters
    ----------
    folder
        Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def needs_settling(self, name: str) -> bool:
        """Whether something was said of a video, or undone in its session, since it was settled."""
        return self._unsettled(name).exists()

    def mark(self, name: str) -> None:
        """Let the annotations of a video be out of date.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        try:
            self._unsettled(name).touch()
        except OSError as error:
            raise InputError(os_error_sentence(error, self.folder)) from None

    def settle(self, name: str) -> None:
        """Let the annotations of a video be those of its session and its verdicts."""
        self._unsettled(name).unlink(missing_ok=True)

    def has_changed(self, name: str, session: Path) -> bool | None:
        """Whether other programs did something in a session since it was last remembered; None if never."""
        remembered = self.folder / f"{name}.settled"
        if not remembered.exists():
            return None
        return remembered.read_text(encoding="utf-8").strip() != session_state(session)

    def remember(self, name: str, session: Path) -> None:
        """Remember a session as it is now: whatever is done in it from here on is another program's."""
        with suppress(OSError):  # a full disk; it is settled once more then
            (self.folder / f"{name}.settled").write_text(session_state(session), encoding="utf-8")

    def corrected(self, name: str) -> set[int]:
        """Return the masklets that were accepted, and are being corrected again."""
        path = self._corrected(name)
        return set(read_json(path)["masklets"]) if path.exists() else set()

    def write_corrected(self, name: str, masklets: Collection[int]) -> None:
        """Write which these are.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        path = self._corrected(name)
        if masklets:
            write_json(path, {"masklets": sorted(masklets)})
        else:
            path.unlink(missing_ok=True)

    def _unsettled(self, name: str) -> Path:
        return self.folder / f"{name}.unsettled"

    def _corrected(self, name: str) -> Path:
        return self.folder / f"{name}.corrected"
