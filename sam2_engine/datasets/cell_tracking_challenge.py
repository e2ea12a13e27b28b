"""Reader of the Cell Tracking Challenge: ``01/`` with ``01_GT/{SEG,TRA}`` and ``01_ST/SEG`` (2D sets)."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets.annotations import LabelImage
from sam2_engine.datasets.video import VideoRecord
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.images.folders import images_in
from sam2_engine.labels import LabelSet
from sam2_engine.wording import plural

__all__ = ["find_cell_tracking"]


def find_cell_tracking(folder: Path) -> tuple[list[VideoRecord], str] | None:
    """Recognize sequences ``NN`` with their ground truth beside them; return them and a description."""
    sequences = [path for path in sorted(folder.iterdir()) if re.fullmatch(r"\d\d", path.name)]
    sequences = [path for path in sequences if _has_masks(path, "GT") or _has_masks(path, "ST")]
    if not sequences:
        return None
    records = [_sequence(path) for path in sequences]
    names = ", ".join(path.name for path in sequences)
    return records, f"Cell Tracking Challenge, {plural(len(sequences), 'sequence')} {names}"


def _has_masks(sequence: Path, kind: str) -> bool:
    return (sequence.parent / f"{sequence.name}_{kind}" / "SEG").is_dir()


def _numbered(folder: Path) -> dict[int, Path]:
    """Return the images of a folder by the number in their names."""
    if not folder.is_dir():
        return {}
    numbers = {path: re.findall(r"\d+", path.stem) for path in images_in(folder)}
    return {int(parts[-1]): path for path, parts in numbers.items() if parts}


def _sequence(path: Path) -> VideoRecord:
    def files_of(kind: str, part: str) -> dict[int, Path]:
        return _numbered(path.parent / f"{path.name}_{kind}" / part)

    gold, silver, tracks = files_of("GT", "SEG"), files_of("ST", "SEG"), files_of("GT", "TRA")
    files = _numbered(path)
    if not files:
        raise InputError(f"There are no frames in {path}; expected t000.tif, t001.tif and so on.")
    if gold and not silver and not tracks and len(gold) > 1:
        raise InputError(
            f"{path.name}_GT/SEG has no ids that persist from frame to frame; add {path.name}_GT/TRA."
        )
    numbers = sorted(files)
    readers = [_reader(one) for one in (gold, silver, tracks)]

    def annotate(frame: int) -> LabelImage:
        number = numbers[frame]
        return _merge(f"{path.name}, frame {number}", *(read(number) for read in readers))

    annotated = [i for i, number in enumerate(numbers) if number in gold or number in silver]
    if not annotated:
        raise InputError(f"None of the masks beside {path} belongs to one of its frames.")
    return VideoRecord(
        f"{path.parent.name}/{path.name}",
        lambda: open_frames([files[number] for number in numbers]),
        annotate,
        annotated,
    )


def _reader(files: dict[int, Path]) -> Callable[[int], NDArray[np.int64] | None]:
    """Return what reads the ids of a label image by the number in its name; None where there is none."""
    paths = list(files.values())
    labels = LabelSet.of_files(str(paths[0].parent) if paths else "", paths)
    positions = {number: position for position, number in enumerate(files)}

    def read(number: int) -> NDArray[np.int64] | None:
        return labels[positions[number]].ids.astype(np.int64) if number in positions else None

    return read


def _merge(
    name: str,
    exact: NDArray[np.int64] | None,
    silver: NDArray[np.int64] | None,
    markers: NDArray[np.int64] | None,
) -> LabelImage:
    """Merge gold truth, silver truth and track markers of one frame.

    Silver masks carry the ids of the tracks; a gold mask replaces the silver one of the track whose
    marker it covers most. Gold masks need not be of all cells: a track without a mask is unknown there,
    not absent.
    """
    if silver is not None:
        labels = silver
    else:
        assert exact is not None
        labels = np.zeros_like(exact) if markers is not None else exact
    if exact is not None and (markers is not None or silver is not None):
        reference = labels if markers is None else markers
        if reference.shape != exact.shape:
            raise InputError(
                f"The masks of {name} and its track markers differ in size; save both at the same size."
            )
        for value in np.unique(exact[exact > 0]).tolist():
            mask = exact == value
            under = reference[mask]
            if (under > 0).any():
                track = int(np.bincount(under[under > 0]).argmax())
                labels = np.where(labels == track, 0, labels)
                labels[mask] = track
    known = set(np.unique(labels).tolist())
    unknown = set() if markers is None else set(np.unique(markers).tolist()) - known
    return LabelImage(labels, frozenset(int(value) for value in unknown))
