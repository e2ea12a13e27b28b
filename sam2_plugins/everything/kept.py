"""Sightings of a run that is not finished, kept so that it goes on where it was stopped or killed."""

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sam2_engine.disk import remove_folder, replacing
from sam2_engine.masks import PackedMask
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder
from sam2_plugins.storage.source_files import source_files

__all__ = ["FolderOfSightings", "KeptSightings", "SightingsInMemory", "description_of"]
__all__ += ["is_anything_kept", "kept_beside"]

_NAME = "everything"
"""Of the folder in that of a session."""

Kept = dict[int, list[Sighting | None]]
"""Sightings by frame."""


class KeptSightings(Protocol):
    """What was found and followed so far, by name."""

    def begin(self, description: Mapping[str, Any]) -> None:
        """Forget what was kept of a run of another description."""

    def get(self, name: str) -> Kept | None:
        """Return what is kept under a name; None if nothing is."""

    def put(self, name: str, sightings: Kept) -> None:
        """Keep something."""

    def clear(self) -> None:
        """Forget everything: the run is done."""


def description_of(session: AnnotationSession, settings: EverythingSettings) -> dict[str, Any]:
    """Return all that decides what is seen: another run sees the same if this is the same."""
    window, read_from = session.window, session.frames.opened_as
    return {
        "version": 2,
        "files": None if read_from is None else source_files(read_from[0]),
        "model": session.model_name,
        "frames": [len(session), *session.shape],
        "window": None if window is None else [list(window.low), list(window.high)],
        **asdict(settings),
    }


class SightingsInMemory:
    """Sightings as long as somebody holds them."""

    def __init__(self) -> None:
        self._description: Mapping[str, Any] | None = None
        self._kept: dict[str, Kept] = {}

    def begin(self, description: Mapping[str, Any]) -> None:
        """Forget what was kept of a run of another description."""
        if description != self._description:
            self.clear()
            self._description = description

    def get(self, name: str) -> Kept | None:
        """Return what is kept under a name; None if nothing is."""
        return self._kept.get(name)

    def put(self, name: str, sightings: Kept) -> None:
        """Keep something."""
        self._kept[name] = sightings

    def clear(self) -> None:
        """Forget everything: the run is done."""
        self._kept.clear()
        self._description = None


class FolderOfSightings:
    """Sightings in files, each whole or not there; what cannot be read is computed again.

    Parameters
    ----------
    folder
        Made when something is kept, removed when the run is done.
    saved
        Whether what the run stored is on disk; as long as it is not, what was seen stays.
    """

    def __init__(self, folder: Path, saved: Callable[[], bool] = lambda: True) -> None:
        self.folder = folder
        self._saved = saved

    def begin(self, description: Mapping[str, Any]) -> None:
        """Forget what was kept of a run of another description."""
        path = self.folder / "run.json"
        wanted = json.dumps(description, sort_keys=True, default=str)
        try:
            same = path.read_text(encoding="utf-8") == wanted
        except (OSError, ValueError):
            same = False
        if not same:
            self._remove()
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as aside:
                aside.write_text(wanted, encoding="utf-8")

    def get(self, name: str) -> Kept | None:
        """Return what is kept under a name; None if nothing is, or it is damaged."""
        try:
            with np.load(self.folder / f"{name}.npz", allow_pickle=False) as stored:
                return _unpacked({key: stored[key] for key in stored.files})
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, name: str, sightings: Kept) -> None:
        """Keep something.

        Raises
        ------
        NoSpaceError
            If the disk is full; what was kept before stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / f"{name}.npz") as aside, aside.open("wb") as file:
            np.savez_compressed(file, **_packed(sightings))

    def clear(self) -> None:
        """Forget everything: the run is done; not while a full disk keeps its result from being saved."""
        if self._saved():
            self._remove()

    def _remove(self) -> None:
        if self.folder.is_dir():
            remove_folder(self.folder)


def kept_beside(folder: SessionFolder) -> FolderOfSightings:
    """Return where a run in a session keeps what it has seen until it is done: in the session's folder."""
    return FolderOfSightings(folder.path / _NAME, saved=lambda: folder.save_error is None)


def is_anything_kept(folder: Path) -> bool:
    """Whether a run in the session's folder was not finished and has seen anything."""
    return any((folder / _NAME).glob("*.npz"))


def _packed(sightings: Kept) -> dict[str, Any]:
    """Return sightings as arrays: a row for each, and the bits of their masks one after the other."""
    rows: list[tuple[float, ...]] = []
    bits: list[np.ndarray[Any, Any]] = []
    shape = (0, 0)
    for frame, ones in sightings.items():
        for place, one in enumerate(ones):
            if one is not None:
                (top, left), shape = one.mask.box, one.mask.shape
                box = top.start, top.stop, left.start, left.stop
                rows.append((frame, place, *box, one.area, one.score, one.found))
                bits.append(one.mask.bits.ravel())
    return {
        "rows": np.array(rows, np.float64).reshape(-1, 9),
        "bits": np.concatenate(bits) if bits else np.zeros(0, np.uint8),
        "shape": np.array(shape),
        "lengths": np.array([(frame, len(ones)) for frame, ones in sightings.items()]).reshape(-1, 2),
    }


def _unpacked(stored: Mapping[str, Any]) -> Kept:
    """Return the sightings that arrays stand for.

    Raises
    ------
    ValueError, IndexError
        If they are damaged.
    """
    kept: Kept = {int(frame): [None] * int(length) for frame, length in stored["lengths"].tolist()}
    height, width = stored["shape"].tolist()
    begin, bits = 0, stored["bits"]
    for frame, place, *box, area, score, found in stored["rows"].tolist():
        top, bottom, left, right = map(int, box)
        size = (bottom - top) * ((right - left + 7) // 8)
        rows = bits[begin : begin + size].reshape(bottom - top, -1)
        mask = PackedMask((height, width), (slice(top, bottom), slice(left, right)), rows)
        kept[int(frame)][int(place)] = Sighting(mask, int(area), score, bool(found))
        begin += size
    return kept


def complete(sightings: Sequence[Sighting | None]) -> list[Sighting]:
    """Return the sightings that are there."""
    return [one for one in sightings if one is not None]
