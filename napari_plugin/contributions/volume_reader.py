"""Reader of medical volumes: NIfTI and its kin, DICOM files, folders and CDs, in the sizes that they have."""

from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import finalize

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_plugin.contributions.readers import LayerData, Reader, placed
from napari_plugin.layers.image_stack import FILE_ORDER
from sam2_engine import InputError, open_frames
from sam2_engine.errors import OptionError
from sam2_engine.frames.array_frames import PlannedFrames
from sam2_engine.frames.dicom.headers import is_dicom
from sam2_engine.frames.volume_frames import is_volume
from sam2_engine.weights.pixel_rules import window_of
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.storage import is_session_folder

__all__ = ["read_volume", "volume_reader"]

_LOOKED_INTO = 20
"""Files of a folder, and folders in it, that are looked into for DICOM: napari asks for every folder."""


def volume_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of a path, or of some DICOM files, if they are a medical volume."""
    paths = [Path(one) for one in ([path] if isinstance(path, str) else path)]
    found = all(map(_holds_dicom if len(paths) > 1 else _is_medical, paths))
    return read_volume if paths and found else None


def read_volume(path: str | list[str]) -> list[LayerData]:
    """Return a volume as a layer (Z, Y, X), further axes before them, whose planes are read when shown.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    source = Path(path) if isinstance(path, str) else [Path(one) for one in path]
    frames = _opened(source)
    plan = frames.plan
    others = [
        letter
        for letter in plan.axes
        if letter not in "YXSC" and letter != plan.axis and plan.sizes[letter] > 1
    ]
    along = [plan.axis] if len(frames) > 1 else []
    pixels = _lazy(frames, others)
    axes = [*others, *along, "Y", "X"]
    if not along:
        pixels = pixels[(slice(None),) * len(others) + (0,)]
    # Time is the first axis, planes come last, as napari shows them.
    order = sorted(range(len(axes) - 2), key=lambda number: (axes[number] == "Z", axes[number] != "T"))
    order += range(len(axes) - 2, pixels.ndim)
    pixels = pixels.transpose(order)
    axes = [axes[number] for number in order[: len(axes)]]
    options: dict[str, Any] = {
        "name": _name(source),
        "rgb": frames.is_rgb,
        "axis_labels": tuple("".join(axes).lower()),
    }
    options |= placed("".join(axes), PhysicalScale.of(frames))
    window = window_of(frames.at({letter: plan.sizes[letter] // 2 for letter in others}), None)
    if window is not None and not frames.is_rgb:
        options["contrast_limits"] = (min(window.low), max(window.high))
    stored = [letter for letter in plan.axes if letter in axes]
    if len(stored) == len(plan.axes):
        options["metadata"] = {FILE_ORDER: [axes.index(letter) for letter in stored]}
    return [(pixels, options, "image")]


def _name(source: Path | list[Path]) -> str:
    path = source if isinstance(source, Path) else source[0].parent
    return path.name.removesuffix(".gz").removesuffix(".nii") or "volume"


def _is_medical(path: Path) -> bool:
    return _holds_dicom(path) or (path.is_file() and is_volume(path))


def _holds_dicom(path: Path) -> bool:
    if path.is_file():
        return path.name.upper() == "DICOMDIR" or is_dicom(path)
    if not path.is_dir() or is_session_folder(path) or path.suffix.lower() == ".zarr":
        return False
    return any(map(is_dicom, _first_files(path)))


def _first_files(folder: Path) -> Iterator[Path]:
    """Yield some files of a folder, and some of the folders in it."""
    inside = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    yield from islice((one for one in inside if one.is_file() and one.stat().st_size), _LOOKED_INTO)
    for below in islice((one for one in inside if one.is_dir()), _LOOKED_INTO):
        yield from islice((one for one in sorted(below.iterdir()) if one.is_file() and one.stat().st_size), 1)


def _opened(source: Path | list[Path]) -> PlannedFrames:
    """Open a volume along one of its axes, at the first position of others."""
    try:
        frames = open_frames(source)
    except OptionError as error:
        if "fixed" not in error.options:
            raise
        frames = open_frames(source, fixed=error.options["fixed"])
    if not isinstance(frames, PlannedFrames):
        frames.close()
        raise InputError(f"{frames.name} is no volume.")
    return frames


def _lazy(frames: PlannedFrames, others: list[str]) -> da.Array:
    """Return the frames at every position of other axes, these first, with one frame per chunk."""
    reading = Lock()  # a source reads one frame at a time
    counts = [frames.plan.sizes[letter] for letter in others]
    at = {
        places: frames.at(dict(zip(others, places))) if others else frames
        for places in product(*map(range, counts))
    }

    def read(block_id: tuple[int, ...]) -> NDArray[Any]:
        places, frame = block_id[: len(others)], block_id[len(others)]
        with reading:
            return at[tuple(places)][frame][(np.newaxis,) * (len(others) + 1)]

    finalize(read, frames.close)  # when no layer shows them any more
    colors = ((frames.channels,),) if frames.channels > 1 else ()
    chunks = (*((1,) * n for n in counts), (1,) * len(frames), *((side,) for side in frames.shape), *colors)
    return da.map_blocks(read, chunks=chunks, dtype=frames.dtype, meta=np.empty(0, frames.dtype))
