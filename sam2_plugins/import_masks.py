"""Masks and tracks that another tool made, for a session to take; ids, names, classes and parents are kept.

Read are label images of any kind (an array, a TIFF stack, an OME-Zarr, a folder of images; from Cellpose,
StarDist and others), Cell Tracking Challenge folders with their tracks, and COCO run lengths.
"""

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets.annotations import Annotation
from sam2_engine.errors import InputError
from sam2_plugins.import_formats import (
    ImportedObject,
    MaskFile,
    cell_tracking_masks,
    coco_masks,
    has_tracks,
    label_masks,
)

__all__ = ["ImportedMasks", "ImportedObject", "open_masks"]

_LARGEST_ID = int(np.iinfo(np.uint32).max)


def open_masks(
    source: Any, shape: tuple[int, int], length: int, *, frame: int | None = None
) -> "ImportedMasks":
    """Open masks for a stack; nothing is read but what is needed to describe them.

    Parameters
    ----------
    source
        A (Y, X) or (T, Y, X) array of labels, or a path: a label image or stack, an OME-Zarr (its labels,
        if it is an image), a folder of label images, a Cell Tracking Challenge folder (with
        ``res_track.txt`` or ``man_track.txt``, also in ``TRA``), or COCO JSON.
    shape, length
        ``(H, W)`` and number of frames of the stack.
    frame
        Where a single label image belongs; None for masks of all frames.

    Raises
    ------
    InputError
        If it cannot be read, or has another size or number of frames than the stack.
    """
    masks = ImportedMasks(_open(source), first=frame or 0)
    try:
        _check_fit(masks.file, shape, length, frame)
    except InputError:
        masks.close()
        raise
    return masks


def _open(source: Any) -> MaskFile:
    if not isinstance(source, str | Path):
        return label_masks(source)
    path = Path(source)
    if path.is_dir() and has_tracks(path):
        return cell_tracking_masks(path)
    return coco_masks(path) if path.suffix.lower() == ".json" else label_masks(path)


def _check_fit(masks: MaskFile, shape: tuple[int, int], length: int, frame: int | None) -> None:
    if masks.shape != shape:
        (height, width), (rows, columns) = masks.shape, shape
        raise InputError(
            f"{masks.name} is {width} wide and {height} high, but the frames are {columns} wide and {rows} "
            "high; give masks of this very stack."
        )
    if frame is None and masks.length != length:
        hint = "say which frame it belongs to" if masks.length == 1 else "give masks of this very stack"
        raise InputError(
            f"{masks.name} has {_frames(masks.length)}, but the stack has {_frames(length)}; {hint}."
        )
    if frame is not None and masks.length != 1:
        raise InputError(f"{masks.name} has {_frames(masks.length)}; only a single label image goes to one.")
    if frame is not None and not 0 <= frame < length:
        raise InputError(f"The stack has no frame {frame}; its frames are 0 to {length - 1}.")


def _frames(count: int) -> str:
    return f"{count} frame{'s'[: count != 1]}"


class ImportedMasks:
    """Masks frame by frame, and what is known of their objects.

    Iterating gives ``(frame, masks)`` for every frame, where ``masks`` maps ids to (H, W) bool masks, each
    made when it is asked for. Leaving it as a context closes its files.

    Attributes
    ----------
    file
        Where they come from.
    """

    def __init__(self, file: MaskFile, first: int = 0) -> None:
        self.file = file
        self._first = first

    def __len__(self) -> int:
        return self.file.length

    def __iter__(self) -> Iterator[tuple[int, Mapping[int, NDArray[np.bool_]]]]:
        """Read frame by frame.

        Raises
        ------
        InputError
            If a frame cannot be read, or holds anything but ids from 1 to 2**32 - 1 over a background of 0.
        """
        for number in range(self.file.length):
            annotation = self.file.annotate(number)
            if too_large := [object_id for object_id in annotation.ids if object_id > _LARGEST_ID]:
                raise InputError(
                    f"{self.file.name} has the id {max(too_large)} on frame {number}, but ids go up to "
                    f"{_LARGEST_ID}; number the objects anew."
                )
            yield self._first + number, _Masks(annotation)

    def describe(self, object_id: int) -> ImportedObject:
        """Return what the source says of an object; label images alone say nothing."""
        return self.file.objects.get(object_id, ImportedObject(object_id))

    def scan(self) -> Generator[int, None, tuple[ImportedObject, ...]]:
        """Read everything once and return all objects that are seen, by id: no fault then comes too late.

        Yields
        ------
        int
            Each frame, once it is read.

        Raises
        ------
        InputError
            As iterating does.
        """
        seen: set[int] = set()
        for frame, masks in self:
            seen.update(masks)
            yield frame
        return tuple(map(self.describe, sorted(seen)))

    def close(self) -> None:
        """Let go of files."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Masks(Mapping[int, NDArray[np.bool_]]):
    """The masks of one frame, of which hundreds on a large plane would not fit into memory at once."""

    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation
        self._ids = sorted(annotation.ids)

    def __getitem__(self, object_id: int) -> NDArray[np.bool_]:
        if object_id not in self._annotation.ids:
            raise KeyError(object_id)
        return self._annotation.mask(object_id)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)
