"""Frames of Zarr stores: plain arrays, and images in the OME-Zarr layout (NGFF 0.1 to 0.5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
import zarr

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import ArrayFrames
from sam2_engine.frames.axes import plan_axes
from sam2_engine.frames.source import FrameSource, explain

__all__ = ["is_zarr", "open_zarr"]

_MARKERS = ("zarr.json", ".zgroup", ".zarray")
_LETTER_OF_TYPE = {"time": "T", "channel": "C"}
_FIRST_VERSIONS = "TCZYX"


def is_zarr(path: Path) -> bool:
    """Whether a folder or a file is a zarr store."""
    return path.name.endswith(".zarr.zip") or any((path / marker).exists() for marker in _MARKERS)


def open_zarr(
    source: Path | zarr.Group,
    *,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    single: bool = False,
    level: int = 0,
) -> FrameSource:
    """Open a zarr array on disk, or one resolution level of an OME-Zarr image.

    Raises
    ------
    InputError
        If the store cannot be read, holds no image or several, or its axes are ambiguous.
    """
    name = source.name if isinstance(source, Path) else source.name.strip("/") or "The zarr group"
    try:
        node = source if isinstance(source, zarr.Group) else zarr.open(source, mode="r")
        array, declared = (node, None) if isinstance(node, zarr.Array) else _image(name, node, level)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} is not a readable zarr store ({explain(error)}); copy it again.") from error
    # NGFF says what each axis is; a plain zarr array does not.
    plan = plan_axes(
        name,
        array.shape,
        np.dtype(array.dtype),
        axes=axes or declared,
        channel=channel,
        fixed=fixed,
        single=single,
    )
    return ArrayFrames(array, plan, name)


def _image(name: str, group: zarr.Group, level: int) -> tuple[Any, str | None]:
    """Return the array of a group's image, and the letters of its axes if the group names them."""
    attributes = dict(group.attrs)
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if not multiscales:
        members = dict(group.members())
        if "0" in members and isinstance(members["0"], zarr.Group):  # the layout of bioformats2raw
            return _image(f"{name}/0", members["0"], level)
        if len(members) == 1 and isinstance(array := next(iter(members.values())), zarr.Array):
            return array, None
        inside = ", ".join(sorted(members)[:8]) or "nothing"
        raise InputError(
            f"{name} is a zarr group without one image in it (it holds {inside}); give the path of an image."
        )
    datasets = multiscales[0]["datasets"]
    if not 0 <= level < len(datasets):
        raise InputError(f"{name} has the levels 0 to {len(datasets) - 1}, not {level}.")
    array = group[datasets[level]["path"]]
    return array, _letters(multiscales[0].get("axes") or list(_FIRST_VERSIONS[-array.ndim :]))


def _letters(axes: Sequence[Any]) -> str:
    """Return one letter per axis; NGFF 0.3 gives names, later versions names and types."""
    letters = ""
    for axis in axes:
        name, kind = (axis, "") if isinstance(axis, str) else (str(axis["name"]), str(axis.get("type", "")))
        letter = _LETTER_OF_TYPE.get(kind, name[:1].upper())
        if letter in letters or not letter.isalpha():
            letter = next(free for free in ascii_uppercase if free not in letters + "TCZYX")
        letters += letter
    return letters
