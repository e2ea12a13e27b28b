"""Sizes in a TIFF file: of OME metadata, of ImageJ's description, else of its resolution."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree

import tifffile

from sam2_engine.frames.spacing.units import TIME_UNITS, factor, normalized
from sam2_engine.frames.spacing.values import Spacing, even_interval, usable

__all__ = ["coarser", "tiff_spacing"]

_UNITS = {2: "inch", 3: "cm"}  # of the tag ResolutionUnit
_LARGEST_PIXEL = 5.0
"""Micrometers: more than 5080 pixels per inch are no printer's, scanner's or camera's, but a microscope's."""


def tiff_spacing(
    file: tifffile.TiffFile, page: Any, ome: ElementTree.Element | None, series: int
) -> dict[str, Spacing]:
    """Return what a file says of the sizes of one of its series, by the letters of its axes.

    Parameters
    ----------
    file, page
        The file, and a page of the series' finest resolution.
    ome
        Its OME metadata, if it has some.
    series
        Number of the series.
    """
    pixels = [] if ome is None else [one for one in ome.iter() if one.tag.endswith("}Pixels")]
    if len(pixels) == len(file.series) > series or len(pixels) == 1:
        return _ome_spacing(pixels[series if len(pixels) > 1 else 0])
    with suppress(Exception):  # of metadata that are damaged, whose pixels may be read all the same
        if file.is_imagej and (said := file.imagej_metadata):
            return _imagej_spacing(said, page)
    unit = _resolution_unit(page)
    found = usable({letter: (size, unit) for letter, size in _pixel_size(page).items()})
    sizes = {letter: Spacing(one.to("µm"), "µm") for letter, one in found.items()}
    return sizes if all(one.size <= _LARGEST_PIXEL for one in sizes.values()) else {}


def coarser(
    spacing: Mapping[str, Spacing], finest: tuple[int, int], shape: tuple[int, int]
) -> dict[str, Spacing]:
    """Return the sizes at a coarser resolution, for ``(H, W)`` of the finest one and of that."""
    times = {"Y": finest[0] / shape[0], "X": finest[1] / shape[1]}
    return {letter: Spacing(one.size * times.get(letter, 1.0), one.unit) for letter, one in spacing.items()}


def _ome_spacing(pixels: ElementTree.Element) -> dict[str, Spacing]:
    said = {
        axis: (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    }
    found = usable(said | {"T": (pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))})
    return found if "T" in found else found | usable({"T": (_plane_interval(pixels), "s")})


def _plane_interval(pixels: ElementTree.Element) -> float | None:
    """Return the seconds between the planes of one position and channel, if they were taken evenly."""
    times: dict[int, float] = {}
    for plane in pixels:
        if plane.tag.endswith("}Plane") and plane.get("TheC", "0") == plane.get("TheZ", "0") == "0":
            with suppress(TypeError, ValueError):
                said = normalized(float(plane.get("DeltaT", "")), plane.get("DeltaTUnit", "s"), TIME_UNITS)
                if said is not None:
                    times[int(plane.get("TheT", ""))] = said[0] * factor(said[1], "s")
    numbers = sorted(times)
    whole = numbers == list(range(len(numbers)))
    return even_interval([times[number] for number in numbers]) if whole else None


def _imagej_spacing(said: Mapping[str, Any], page: Any) -> dict[str, Spacing]:
    """Return what ImageJ says: Y and Z are in the unit of X unless they have one of their own.

    Its ``fps`` is the speed at which it shows a stack, whatever lay between two frames, and not used.
    """
    unit = said.get("unit") or _resolution_unit(page)
    units = {axis: said.get(f"{axis.lower()}unit") or unit for axis in "ZYX"}
    sizes = {axis: (size, units[axis]) for axis, size in _pixel_size(page).items()}
    return usable(
        sizes
        | {"Z": (said.get("spacing"), units["Z"]), "T": (said.get("finterval"), said.get("tunit") or "s")}
    )


def _resolution_unit(page: Any) -> str:
    return _UNITS.get(int(page.tags.valueof("ResolutionUnit", default=2) or 0), "")


def _pixel_size(page: Any) -> dict[str, Any]:
    """Return height and width of a pixel in the unit of the resolution, as far as they are numbers."""
    sizes = {}
    for axis in "YX":
        with suppress(TypeError, ValueError, ZeroDivisionError):
            pixels, units = page.tags.valueof(f"{axis}Resolution")
            sizes[axis] = units / pixels
    return sizes
