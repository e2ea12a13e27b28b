"""Frames of Zarr stores: plain arrays, and images in the OME-Zarr layout (NGFF 0.1 to 0.5)."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
import zarr

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import ArrayFrames
from sam2_engine.frames.axes import plan_axes
from sam2_engine.frames.chunks import open_node, unwritten_frames, with_checked_chunks
from sam2_engine.frames.libraries import quiet
from sam2_engine.frames.series import Series, choose_series, left_out, no_series
from sam2_engine.frames.source import FillRange, FrameSource, explain
from sam2_engine.frames.spacing import Spacing, as_read
from sam2_engine.frames.spacing.ngff import ngff_spacing
from sam2_engine.limits import check_chunks

__all__ = ["is_zarr", "named_axes", "open_zarr"]

_MARKERS = ("zarr.json", ".zgroup", ".zarray")
_LETTER_OF_TYPE = {"time": "T", "channel": "C"}
_LETTER_OF_DIMENSION = {
    **{"time": "T", "channel": "C", "channels": "C", "depth": "Z"},
    **{"lat": "Y", "latitude": "Y", "height": "Y", "lon": "X", "longitude": "X", "width": "X"},
}
_FIRST_VERSIONS = "TCZYX"
_MAX_MEASURED = 64
"""So many images at most are compared in size; a plate has thousands, of one size."""


def is_zarr(path: Path) -> bool:
    """Whether a folder or a file is a zarr store."""
    return path.name.endswith(".zarr.zip") or any((path / marker).is_file() for marker in _MARKERS)


def open_zarr(
    source: Path | zarr.Group,
    *,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    single: bool = False,
    level: int = 0,
    series: Series = None,
) -> FrameSource:
    """Open a zarr array on disk, or one resolution level of an OME-Zarr image.

    Of several images (series of a file that was converted, fields of a plate) ``series`` chooses one, by its
    number or its path; by default the largest.

    Raises
    ------
    InputError
        If the store cannot be read, holds no image or several, or its axes are ambiguous.
    """
    name = source.name if isinstance(source, Path) else source.name.strip("/") or "The zarr group"
    try:
        with quiet():  # about files in the folder that are none of the store's
            node = source if isinstance(source, zarr.Group) else open_node(source)
            if isinstance(node, zarr.Array):
                no_series(name, series)
                letters, spacing = _within_image(source)
                array, declared, note = node, letters or named_axes(node), ""
            else:
                array, declared, note, spacing = _image(name, node, level, series)
            fill_values = _fill_values(array)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name} is not a readable zarr store ({explain(error)}); copy it again.") from error
    plan = plan_axes(
        name,
        array.shape,
        np.dtype(array.dtype),
        axes=axes or declared,
        channel=channel,
        fixed=fixed,
        single=single,
    )
    whole = [
        (n, size) for n, size, at in zip(array.shape, array.chunks, plan.index(0)) if isinstance(at, slice)
    ]
    check_chunks(name, math.prod(-(-n // size) for n, size in whole))
    note = "; ".join(filter(None, (note, unwritten_frames(array, plan))))
    sizes = as_read(plan.axes, declared or plan.axes, spacing)
    return ArrayFrames(with_checked_chunks(array), plan, name, note, fill_values, sizes)


def named_axes(array: Any) -> str | None:
    """Return the letters of a plain array's axes, if it names them (format 3, or xarray); else None."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, Sequence) or len(names) != array.ndim:
        return None
    letters = _distinct_letters(
        _LETTER_OF_DIMENSION.get(name, name) for name in (str(n).lower() for n in names)
    )
    return letters if {"Y", "X"} <= set(letters) else None


def _within_image(path: Path | zarr.Group) -> tuple[str | None, dict[str, Spacing]]:
    """Return letters and spacing of an array on disk that is a level of an image, as its group has them."""
    if not isinstance(path, Path) or not is_zarr(path.resolve().parent):
        return None, {}
    group = open_node(path.resolve().parent)
    for scales in _ngff(group).get("multiscales", ()):
        levels = [level["path"] for level in scales["datasets"]]
        if path.resolve().name in levels and "axes" in scales:
            letters = _letters(scales["axes"])
            return letters, ngff_spacing(scales, levels.index(path.resolve().name), letters)
    return None, {}


def _fill_values(array: Any) -> list[FillRange]:
    """Return what the climate conventions (CF) declare as no data; xarray keeps it as zarr's fill value."""
    attributes = dict(array.attrs)
    declared = [attributes.get(key) for key in ("_FillValue", "missing_value")]
    if "_ARRAY_DIMENSIONS" in attributes:
        declared.append(array.fill_value)
    return [(value, value) for one in declared for value in _numbers(one, np.dtype(array.dtype))]


def _numbers(declared: Any, dtype: "np.dtype[Any]") -> list[float]:
    if isinstance(declared, str) and dtype.kind == "f":  # how xarray writes it into zarr 3
        try:
            declared = np.frombuffer(base64.b64decode(declared, validate=True), "<f8")
        except ValueError:
            return []
    try:
        return [float(value) for value in np.atleast_1d(np.asarray(declared, np.float64)) if value == value]
    except (TypeError, ValueError):
        return []


@dataclass(frozen=True)
class _Image:
    """An image of a store: its name there, its group, and what NGFF says of its levels."""

    title: str
    group: zarr.Group
    multiscale: Mapping[str, Any]

    def level(self, number: int) -> Any:
        return self.group[self.multiscale["datasets"][number]["path"]]

    @property
    def area(self) -> int:
        return math.prod(self.level(0).shape[-2:])


def _image(
    name: str, group: zarr.Group, level: int, series: Series
) -> tuple[Any, str | None, str, dict[str, Spacing]]:
    """Return the array of a group's image, the letters of its axes if it names them, a note, the spacing."""
    images = _images(group)
    if not images:
        members = dict(group.members())
        if len(members) == 1 and isinstance(array := next(iter(members.values())), zarr.Array):
            return array, named_axes(array), "", {}
        inside = ", ".join(sorted(members)[:8]) or "nothing"
        raise InputError(
            f"{name} is a zarr group without one image in it (it holds {inside}); give the path of an image."
        )
    titles = [image.title for image in images]
    areas = [image.area for image in images] if 1 < len(images) <= _MAX_MEASURED else [0]
    number = choose_series(name, titles, series, areas.index(max(areas)))
    image = images[number]
    count = len(image.multiscale["datasets"])
    if not 0 <= level < count:
        raise InputError(f"{name} has the levels 0 to {count - 1}, not {level}.")
    array = image.level(level)
    letters = _letters(image.multiscale.get("axes") or list(_FIRST_VERSIONS[-array.ndim :]))
    resolution = f"level {level} of {count}" + (", the finest" if not level else "") if count > 1 else ""
    note = "; ".join(filter(None, (left_out(titles, number), resolution)))
    return array, letters, note, ngff_spacing(image.multiscale, level, letters)


def _images(group: zarr.Group) -> list[_Image]:
    """List the images of a group: its own, those of a plate's wells, or (bioformats2raw) of its series."""
    attributes = _ngff(group)
    if found := attributes.get("multiscales"):
        return [_Image(str(one.get("name", "")) if len(found) > 1 else "", group, one) for one in found]
    paths = [str(well["path"]) for well in attributes.get("plate", {}).get("wells", ())]
    fields = [
        f"{path}/{field['path']}"
        for path in paths
        for field in _ngff(group[path]).get("well", {}).get("images", ())
    ]
    if not fields:
        fields = sorted((key for key, _ in group.groups()), key=lambda key: (len(key), key))
    inside = [(field, group[field]) for field in fields]
    return [
        _Image(field, node, scales[0])
        for field, node in inside
        if isinstance(node, zarr.Group) and (scales := _ngff(node).get("multiscales"))
    ]


def _ngff(group: Any) -> Mapping[str, Any]:
    attributes = dict(group.attrs)
    metadata: Mapping[str, Any] = attributes.get("ome", attributes)
    return metadata


def _letters(axes: Sequence[Any]) -> str:
    """Return one letter per axis; NGFF 0.3 gives names, later versions names and types."""
    kinds = [
        ("", axis) if isinstance(axis, str) else (str(axis.get("type", "")), axis["name"]) for axis in axes
    ]
    return _distinct_letters(_LETTER_OF_TYPE.get(kind, str(name)[:1]) for kind, name in kinds)


def _distinct_letters(names: Iterable[str]) -> str:
    """Return names of one letter as they are, and a free letter for what has another name or the same."""
    letters = ""
    for name in names:
        letter = name.upper()
        if len(letter) != 1 or letter in letters or not letter.isalpha():
            letter = next(free for free in ascii_uppercase if free not in letters + "TCZYX")
        letters += letter
    return letters
