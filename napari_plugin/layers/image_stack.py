"""An Image layer as frames: which axis is which, and where a position in the layer lies on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image
from numpy.typing import NDArray

from sam2_engine import FrameSource, InputError, open_frames
from sam2_engine.frames.axes import AxisPlan, plan_axes
from sam2_plugins.physical_scale import PhysicalScale

__all__ = ["ImageStack", "guess_axes"]

_MAX_CHANNELS = 4
_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")


def guess_axes(layer: Image) -> str:
    """Name the axes of a layer, colours left out: by its axis labels, else its units, else what is usual.

    A stack whose axes bear no names is a time-lapse, unless its first axis is measured in a length; of
    four axes, a leading one of at most four positions holds channels.
    """
    labels = [str(label)[:1].upper() for label in layer.axis_labels]
    if len(set(labels)) == len(labels) and {"Y", "X"} <= set(labels) <= set("TZCYX"):
        return "".join(labels)
    leading = _finest(layer).shape[: layer.ndim - 2]
    if len(leading) == 1:
        return ("Z" if layer.units[0].dimensionality == {"[length]": 1} else "T") + "YX"
    small = [i for i, size in enumerate(leading) if 1 < size <= _MAX_CHANNELS]
    channel_axis = small[-1] if small else None
    others = iter("TZABDEFG")
    return "".join("C" if i == channel_axis else next(others, "?") for i in range(len(leading))) + "YX"


@dataclass(frozen=True)
class ImageStack:
    """The frames of an Image layer.

    Attributes
    ----------
    layer
        The layer; of a pyramid, its finest level is used.
    plan
        How frames are cut out of the layer's pixels.
    """

    layer: Image
    plan: AxisPlan

    @classmethod
    def of(cls, layer: Image, axes: str | None = None, channel: int | None = None) -> "ImageStack":
        """Read a layer as frames.

        Parameters
        ----------
        layer
            Grey, with channels or RGB; in memory, dask or zarr.
        axes
            One letter per axis of the layer, colours left out, for example ``"ZYX"``; None to guess.
        channel
            The only channel to use, counted from 0.

        Raises
        ------
        InputError
            If the axes do not fit the layer, or frames lie along more than one of them.
        """
        pixels = _finest(layer)
        letters = (axes or guess_axes(layer)).strip().upper()
        if layer.rgb:
            letters += "S"
        name = f"Layer '{layer.name}'"
        sizes = dict(zip(letters, pixels.shape))
        free = [letter for letter in letters if letter not in "YXCS" and sizes.get(letter, 1) > 1]
        if len(letters) == len(pixels.shape) and len(free) > 1:
            lengths = " and ".join(f"{letter}={sizes[letter]}" for letter in free)
            raise InputError(
                f"{name} has {lengths}, but objects are followed along one axis; "
                "make a layer of one time point or one plane, or call an axis of channels C."
            )
        plan = plan_axes(name, pixels.shape, np.dtype(pixels.dtype), axes=letters, channel=channel)
        return cls(layer, plan)

    def open(self) -> FrameSource:
        """Return the frames; nothing is read yet."""
        return open_frames(_finest(self.layer), **self.opening)

    @property
    def file(self) -> Path | None:
        """The file that the layer was read from, if it was."""
        path = self.layer.source.path
        return Path(path) if path and Path(path).exists() and Path(path).suffix != ".sam2" else None

    @property
    def opening(self) -> dict[str, Any]:
        """Options of ``open_frames`` that read the same frames from the file."""
        channel_axis = self.plan.channel_axis
        channel = self.plan.fixed.get(channel_axis) if channel_axis else None
        return {"axes": self.plan.axes, "channel": channel}

    @property
    def dims(self) -> str:
        """One letter per axis of the layer."""
        return self.plan.axes.removesuffix("S") if self.layer.rgb else self.plan.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """The layer's lengths, one per letter of ``dims``."""
        return tuple(self.plan.sizes[letter] for letter in self.dims)

    @property
    def num_channels(self) -> int:
        """Channels that may be chosen from; 1 for grey and RGB."""
        return self.plan.sizes.get("C", 1)

    @property
    def description(self) -> str:
        """One line for people, for example ``40 time points, 320 × 320 pixels, uint16``."""
        height, width = self.plan.frame_shape
        parts = [f"{height} × {width} pixels", str(np.dtype(_finest(self.layer).dtype))]
        if self.plan.length > 1:
            noun = {"T": "time points", "Z": "planes"}.get(self.plan.axis, f"positions on {self.plan.axis}")
            parts.insert(0, f"{self.plan.length} {noun}")
        if self.layer.rgb or self.num_channels > 1:
            parts.insert(-1, "RGB" if self.layer.rgb else f"{self.num_channels} channels")
        return ", ".join(parts)

    def locate(self, position: Sequence[float]) -> tuple[int, float, float]:
        """Return frame and ``(x, y)`` in pixels of a position in the layer's own data coordinates."""
        place = dict(zip(self.dims, position))
        frame = round(float(place[self.plan.axis])) if self._has_frames else 0
        return frame, float(place["X"]), float(place["Y"])

    def position(self, viewer: Viewer, frame: int, x: float, y: float) -> list[float]:
        """Return the layer's own data coordinates of a pixel, on other axes where the sliders stand."""
        shown = self.layer.world_to_data(viewer.dims.point)
        place = {letter: float(round(where)) for letter, where in zip(self.dims, shown)}
        place |= {self.plan.axis: float(frame)} if self._has_frames else {}
        place |= {"Y": y, "X": x}
        return [place[letter] for letter in self.dims]

    def contains(self, frame: int, x: float, y: float) -> bool:
        """Whether a pixel position lies on a frame of this stack."""
        height, width = self.plan.frame_shape
        return 0 <= frame < self.plan.length and -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5

    def shown_frame(self, viewer: Viewer) -> int:
        """Return the frame that the viewer's sliders stand on, the nearest one if they are beyond."""
        frame, _, _ = self.locate(self.layer.world_to_data(viewer.dims.point))
        return min(max(frame, 0), self.plan.length - 1)

    def show_frame(self, viewer: Viewer, frame: int) -> None:
        """Move the viewer's slider to a frame."""
        if not self._has_frames:
            return
        number = self.dims.index(self.plan.axis)
        position = np.asarray(self.layer.world_to_data(viewer.dims.point), dtype=float)
        position[number] = frame
        axis = viewer.dims.ndim - len(self.dims) + number
        viewer.dims.set_point(axis, self.layer.data_to_world(position)[number])

    def zoom_to(
        self, viewer: Viewer, box: tuple[float, float, float, float], canvas: tuple[int, int]
    ) -> None:
        """Let a box ``(x0, y0, x1, y1)`` in pixels fill the middle third of the canvas, a tiny one less."""
        frame = self.shown_frame(viewer)
        corners = [self.data_to_plane(viewer, frame, x, y) for x, y in (box[:2], box[2:])]
        centre, extent = np.mean(corners, axis=0), np.abs(np.subtract(*corners))
        camera = viewer.scene.camera
        camera.center = (camera.center[0], *centre)
        height, width = self.plan.frame_shape
        ends = [self.data_to_plane(viewer, frame, x, y) for x, y in ((0, 0), (width, height))]
        least = float(np.abs(np.subtract(*ends)).max()) / 8  # what surrounds it is to be seen
        camera.zoom = min(canvas) / 3 / max(float(extent.max()), least)

    def data_to_plane(self, viewer: Viewer, frame: int, x: float, y: float) -> NDArray[np.float64]:
        """Return the place of a pixel on the two axes that the viewer shows, in its world."""
        world = np.asarray(self.layer.data_to_world(self.position(viewer, frame, x, y)), float)
        missing = viewer.dims.ndim - len(world)
        return np.array([world[axis - missing] for axis in viewer.dims.displayed[-2:]])

    def index_of(self, frame: int) -> tuple[int | slice, ...]:
        """Return the index of a frame in an array of this stack's shape, without the channels."""
        letters = self.dims.replace("C", "")
        return tuple(frame if letter == self.plan.axis else slice(None) for letter in letters)

    @property
    def physical_scale(self) -> PhysicalScale:
        """Sizes of pixels, planes and frames as the layer says; pixels and frames where it says nothing."""
        sizes = {letter: abs(float(size)) for letter, size in zip(self.dims, self.layer.scale)}
        units = {letter: f"{unit:~P}" for letter, unit in zip(self.dims, self.layer.units)}
        known = {letter for letter, unit in units.items() if unit not in ("", "px", "pixel")}
        if units["Y"] != units["X"]:
            known -= {"Y", "X"}
        lengths = ((sizes["Y"], sizes["X"]), units["X"]) if "X" in known else ((1.0, 1.0), "pixel")
        time = (sizes["T"], units["T"]) if "T" in known else (1.0, "frame")
        spacing = sizes["Z"] if units.get("Z") == lengths[1] else 1.0
        return PhysicalScale(*lengths, *time, spacing)

    def placement(self) -> dict[str, Any]:
        """Return what puts another layer exactly onto this one: scale, translation, units and the rest."""
        return {name: getattr(self.layer, name) for name in (*_TRANSFORM, "axis_labels")}

    @property
    def _has_frames(self) -> bool:
        return self.plan.axis in self.dims


def _finest(layer: Image) -> Any:
    """Return a layer's pixels, of a pyramid the finest level; nothing is loaded."""
    return layer.data[0] if layer.multiscale else layer.data
