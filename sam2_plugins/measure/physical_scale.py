"""Physical sizes of pixels, planes and frame intervals."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sam2_engine.errors import InputError, OptionError
from sam2_engine.frames import FrameSource
from sam2_engine.frames.spacing.units import LENGTH_UNITS, TIME_UNITS, factor, known_unit

__all__ = ["PhysicalScale"]


@dataclass(frozen=True)
class PhysicalScale:
    """Sizes of a stack in physical units; by default pixels and frames.

    Attributes
    ----------
    pixel_size
        Height and width of a pixel, ``(sy, sx)``, in ``unit``.
    unit
        Of lengths; ``"um"`` and the like become ``"µm"``.
    frame_interval
        From one frame to the next of a time-lapse, in ``time_unit``.
    time_unit
        Of times.
    plane_spacing
        From one plane to the next of a volume, in ``unit``.

    Raises
    ------
    InputError
        If a size is not a number above 0, or a unit is empty.

    Examples
    --------
    >>> scale = PhysicalScale((0.65, 0.65), "um", frame_interval=5, time_unit="min")
    >>> print(scale)
    pixels of 0.65 µm
    >>> scale.has_time
    True
    """

    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = "pixel"
    frame_interval: float = 1.0
    time_unit: str = "frame"
    plane_spacing: float = 1.0

    def __post_init__(self) -> None:
        try:
            height, width = self.pixel_size
        except (TypeError, ValueError):
            raise InputError(
                f"The size of a pixel is its height and width, as (0.65, 0.65), not {self.pixel_size!r}; the "
                "distance of planes is plane_spacing."
            ) from None
        sizes: dict[str, Any] = {
            "height of a pixel": height,
            "width of a pixel": width,
            "time between two frames": self.frame_interval,
            "distance between two planes": self.plane_spacing,
        }
        for what, size in sizes.items():
            if isinstance(size, str) or not np.isreal(size) or not 0 < size < math.inf:
                raise InputError(f"The {what} is a number above 0, not {size!r}.")
        units = (self.unit, self.time_unit)
        if not all(isinstance(unit, str) and unit.strip() for unit in units):
            raise InputError("A unit is missing; give one, for example µm and s.")
        if known_unit(self.unit, LENGTH_UNITS) == "µm":
            object.__setattr__(self, "unit", "µm")

    @classmethod
    def of(cls, frames: FrameSource) -> "PhysicalScale":
        """Return the sizes that frames have from their file; pixels and frames where it says nothing.

        Lengths are in the unit of the width of a pixel, whatever unit the file has for other axes. A file
        that does not say both height and width says no lengths.

        Examples
        --------
        >>> import numpy as np
        >>> from sam2_engine import open_frames
        >>> print(PhysicalScale.of(open_frames(np.zeros((2, 8, 8), np.uint8), axes="TYX")))
        pixels
        """
        known = cls()
        width, height, depth, interval = (frames.spacing.get(axis) for axis in "XYZT")
        if width is not None and height is not None:
            unit = width.unit
            spacing = known.plane_spacing if depth is None else depth.to(unit)
            known = cls((height.to(unit), width.size), unit, plane_spacing=spacing)
        if interval is not None:
            known = replace(known, frame_interval=interval.size, time_unit=interval.unit)
        return known

    def __str__(self) -> str:
        """Return the size of a pixel in words, ``pixels of 0.5 µm``; ``pixels`` if unknown."""
        height, width = self.pixel_size
        size = f"{width:g}" if height == width else f"{height:g} × {width:g}"
        return f"pixels of {size} {self.unit}" if self.is_physical else "pixels"

    @property
    def is_physical(self) -> bool:
        """Whether lengths are more than numbers of pixels."""
        return self.unit not in ("pixel", "pixels", "px")

    @property
    def has_time(self) -> bool:
        """Whether times are more than numbers of frames."""
        return self.time_unit not in ("frame", "frames")

    def is_like(self, other: "PhysicalScale") -> bool:
        """Whether all sizes are the same but for rounding, in whatever units of length and time."""
        for units, mine, theirs in (
            (LENGTH_UNITS, self.unit, other.unit),
            (TIME_UNITS, self.time_unit, other.time_unit),
        ):
            if mine != theirs and not {mine, theirs} <= set(units):
                return False
        interval = other.frame_interval
        if self.time_unit != other.time_unit:
            interval *= factor(other.time_unit, self.time_unit)
        other = other if other.unit == self.unit else other.in_unit(self.unit)
        pairs = [
            *zip(self.pixel_size, other.pixel_size),
            (self.plane_spacing, other.plane_spacing),
            (self.frame_interval, interval),
        ]
        return all(math.isclose(one, another, rel_tol=1e-6) for one, another in pairs)

    def given(
        self,
        pixel_size: tuple[float, str] | None = None,
        interval: tuple[float, str] | None = None,
        plane_spacing: tuple[float, str] | None = None,
        frames: FrameSource | None = None,
    ) -> "PhysicalScale":
        """Return these sizes, but what somebody gives instead; planes stay as far apart as they are.

        Parameters
        ----------
        pixel_size, plane_spacing
            Side of a pixel and distance of planes, with their units of length.
        interval
            From one frame to the next, with its unit of time.
        frames
            What it is said of: a size that these do not have is refused.

        Raises
        ------
        InputError
            If a distance is given, but there is no size of pixels; if the frames are all of one time, or have
            no planes, and an interval, or a distance, is given all the same.

        Examples
        --------
        >>> PhysicalScale((1.0, 1.0), "mm", plane_spacing=3).given((500, "µm")).plane_spacing
        3000.0
        """
        if frames is not None:
            _refuse_unknown_axes(frames, interval is not None, plane_spacing is not None)
        known = self
        if pixel_size is not None:
            size, unit = pixel_size
            known = replace(known.in_unit(unit), pixel_size=(size, size))
        if interval is not None:
            known = replace(known, frame_interval=interval[0], time_unit=interval[1])
        if plane_spacing is None:
            return known
        if known.unit not in LENGTH_UNITS:
            raise InputError("The distance of planes needs a unit of pixels; give their size, too.")
        return replace(known, plane_spacing=plane_spacing[0] * factor(plane_spacing[1], known.unit))

    def in_unit(self, unit: str) -> "PhysicalScale":
        """Return the same lengths in another unit; where either unit is no length, pixels of 1 in it.

        Examples
        --------
        >>> PhysicalScale((1.0, 1.0), "mm", plane_spacing=3).in_unit("µm").plane_spacing
        3000.0
        """
        known = self.unit in LENGTH_UNITS and unit in LENGTH_UNITS
        times = factor(self.unit, unit) if known else 1.0
        height, width = self.pixel_size if known else (1.0, 1.0)
        spacing = self.plane_spacing * times if known else 1.0
        return replace(self, pixel_size=(height * times, width * times), unit=unit, plane_spacing=spacing)

    def filled(self, other: "PhysicalScale") -> "PhysicalScale":
        """Return this scale, with the lengths or times of another one where this has none."""
        lengths = self if self.is_physical else other
        times = self if self.has_time else other
        return PhysicalScale(
            lengths.pixel_size, lengths.unit, times.frame_interval, times.time_unit, lengths.plane_spacing
        )


def _refuse_unknown_axes(frames: FrameSource, has_interval: bool, has_spacing: bool) -> None:
    """Raise if a size is said along an axis that frames do not have; a single image has neither."""
    plan = getattr(frames, "plan", None)
    axes = {frames.axis} if plan is None else {frames.axis, *plan.fixed}
    if has_interval and frames.axis == "Z" and "T" not in axes:
        raise OptionError(
            f"The frames of {frames.name} are planes of one time, with no time between them; leave "
            "{interval} out.",
            interval=None,
        )
    if has_spacing and frames.axis == "T" and "Z" not in axes:
        raise OptionError(
            f"The frames of {frames.name} are times, not planes of a volume; leave {{plane_spacing}} out.",
            plane_spacing=None,
        )
