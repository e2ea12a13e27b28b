"""Contents of a data set of masklets: its videos, what was found in them, what stands of it."""

from pathlib import Path
from typing import Any

from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.masks import rle_area
from sam2_plugins.masklets.decisions import DecisionLog, Status, standing
from sam2_plugins.masklets.sa_v import MANUAL, read_annotations
from sam2_plugins.masklets.summary import MaskletSummary
from sam2_plugins.storage.snapshot import read_json

__all__ = ["FOUND", "DatasetContents"]

FOUND = "found"
"""The folder of what the model found."""
UNFINISHED = ".unfinished"


class DatasetContents:
    """What is in the folder of a data set; nothing is changed.

    Attributes
    ----------
    path
        The folder.
    decisions
        What people decided.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.decisions = DecisionLog(path / "decisions.jsonl")
        self._summaries: dict[str, tuple[int | None, MaskletSummary]] = {}

    def videos(self) -> list[str]:
        """Return the names of the videos whose masklets are found, sorted."""
        names = (path.stem for path in (self.path / FOUND).glob("*.json") if not path.name.startswith("."))
        return sorted(name for name in names if not self._unfinished(name).exists())

    def unfinished(self) -> list[str]:
        """Return the names of the videos whose search was broken off, sorted."""
        broken_off = (self.path / FOUND).glob(f"*{UNFINISHED}")
        return sorted(path.name.removesuffix(UNFINISHED) for path in broken_off)

    def is_found(self, name: str) -> bool:
        """Whether the masklets of a video are found, completely."""
        return self._found(name).is_file() and not self._unfinished(name).exists()

    def has_found(self, name: str) -> bool:
        """Whether masklets of a video were found once; it may be searched anew since."""
        return self._found(name).is_file()

    def found(self, name: str, *, with_masks: bool = False) -> dict[str, Any]:
        """Return all masklets of a video as the model made them, in SA-V's form; see ``read_annotations``.

        Raises
        ------
        InputError
            If the file is not there or damaged.
        """
        return read_annotations(self._found(name), with_masks=with_masks)

    def found_on(self, name: str, masklet: int) -> set[int]:
        """Return the frames on which the model saw a masklet when it was found.

        Raises
        ------
        InputError
            As :meth:`found`.
        """
        content = self.found(name, with_masks=True)
        place = content["masklet_id"].index(masklet)
        return {frame for frame, row in enumerate(content["masklet"]) if rle_area(row[place])}

    def summary(self, name: str) -> MaskletSummary:
        """Return what is known of a video's masklets without their masks, which are many.

        Raises
        ------
        InputError
            If the file is not there or damaged.
        """
        path = self._summary(name)
        written = path.stat().st_mtime_ns if path.exists() else None
        if name not in self._summaries or self._summaries[name][0] != written:
            known = MaskletSummary.from_json(read_json(path), path) if written else self._summarized(name)
            self._summaries[name] = written, known
        return self._summaries[name][1]

    def _summarized(self, name: str) -> MaskletSummary:
        """Return the summary of a video whose file of it is gone, from all its masklets."""
        return MaskletSummary.of(self.found(name))

    def verified(self, name: str, *, with_masks: bool = False) -> dict[str, Any] | None:
        """Return the verified masklets of a video in SA-V's form, None if there are none."""
        path = self.annotations(name, MANUAL)
        return read_annotations(path, with_masks=with_masks) if path.is_file() else None

    def annotations(self, name: str, kind: str) -> Path:
        """Return the path of ``NAME_auto.json`` or ``NAME_manual.json``."""
        return self.path / f"{name}_{kind}.json"

    def session(self, name: str) -> Path:
        """Return the folder of a video's session."""
        return self.path / f"{name}.sam2"

    def statuses(self, name: str) -> dict[int, Status]:
        """Return the status of every masklet of a video by its id."""
        known = standing(self.decisions.read())
        return {one: known.get((name, one), Status.OPEN) for one in self.summary(name).qualities}

    def decided(self, name: str) -> set[int]:
        """Return the masklets of a video on which somebody has decided."""
        known = standing(self.decisions.read())
        return {one for (video, one), status in known.items() if video == name and status is not Status.OPEN}

    def frames(self, name: str) -> FrameSource:
        """Open the frames of a video.

        Raises
        ------
        InputError
            If they cannot be opened.
        """
        summary = self.summary(name)
        return open_frames(self.path / summary.video_file, **summary.opening)

    def _summary(self, name: str) -> Path:
        return self.path / FOUND / f"{name}.summary"

    def _found(self, name: str) -> Path:
        return self.path / FOUND / f"{name}.json"

    def _unfinished(self, name: str) -> Path:
        return self.path / FOUND / f"{name}{UNFINISHED}"
