"""The frames of an Image layer: which axis is which, and where a position in the layer lies on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Layer
from numpy.typing import NDArray

from sam2_engine import FrameSource, open_frames
from sam2_engine.frames.axes import AxisPlan, plan_axes
from sam2_engine.frames.derived_frames import turned_axes
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.storage import is_session_folder

__all__ = [
    "AXES",
    "FILE_ORDER",
    "ImageStack",
    "file_of",
    "finest",
    "guess_axes",
    "in_words",
    "named_axes",
    "session_of",
]

AXES = "sam2_axes"
"""Under this name a layer's metadata holds its axes, as the user gave them for its image."""

FILE_ORDER = "sam2_file_order"
"""Under this name it holds, of each axis of its file, the number of the layer's, where the orders differ."""

_MAX_CHANNELS = 4
_NOUNS = {"T": "time point", "Z": "plane"}
_ALONG = {
    "T": "through time",
    "Z": "through the planes",
    "Y": "across the planes, along Y",
    "X": "across the planes, along X",
}
_CUTS = ("Y", "X")
_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")


def named_axes(layer: Image) -> str | None:
    """Return the letters of the axes of a layer, colors left out, by its axis labels; None without such."""
    labels = [str(label)[:1].upper() for label in layer.axis_labels]
    named = len(set(labels)) == len(labels) and {"Y", "X"} <= set(labels) <= set("TZCYX")
    return "".join(labels) if named else None


def guess_axes(layer: Image) -> str:
    """Name the axes of a layer, colors left out: by its axis labels, else its units, else what is usual.

    A stack whose axes bear no names is a time-lapse, unless its first axis is measured in a length; of
    four axes, a leading one of at most four positions holds channels.
    """
    if (named := named_axes(layer)) is not None:
        return named
    leading = finest(layer).shape[: layer.ndim - 2]
    if len(leading) == 1:
        return ("Z" if layer.units[0].dimensionality == {"[length]": 1} else "T") + "YX"
    small = [i for i, size in enumerate(leading) if 1 < size <= _MAX_CHANNELS]
    channel_axis = small[-1] if small else None
    others = iter("TZABDEFG")
    return "".join("C" if i == channel_axis else next(others, "?") for i in range(len(leading))) + "YX"


def file_of(layer: Image) -> Path | None:
    """Return the file that a layer was read from, None if it came from elsewhere, or from a session."""
    path = _origin(layer)
    return None if path is None or is_session_folder(path) else path


def session_of(layer: Layer) -> Path | None:
    """Return the folder of the session that a layer was read from, None if it came from elsewhere."""
    path = _origin(layer)
    return path if path is not None and is_session_folder(path) else None


def _origin(layer: Layer) -> Path | None:
    path = layer.source.path
    return Path(path) if path and Path(path).exists() else None


@dataclass(frozen=True)
class ImageStack:
    """The frames of an Image layer: all positions on one of its axes, with further ones fixed.

    Attributes
    ----------
    layer
        The layer; of a pyramid, its finest level is used.
    plan
        How frames are cut out of the layer's pixels.
    cut
        Y or X of a volume that is cut across along that axis; its frames count as planes (Z) then, with rows
        along what was Z, and the letters of ``plan`` and ``dims`` are those that axes have then.
    """

    layer: Image
    plan: AxisPlan
    cut: str | None = None

    @classmethod
    def of(
        cls,
        layer: Image,
        axes: str | None = None,
        channel: int | None = None,
        along: str | None = None,
        fixed: Mapping[str, int] | None = None,
    ) -> "ImageStack":
        """Read a layer as frames.

        Parameters
        ----------
        layer
            Gray, with channels or RGB; in memory, dask or zarr.
        axes
            One letter per axis of the layer, colors left out, for example ``"ZYX"``; None to guess.
        channel
            The only channel to use, counted from 0.
        along
            Letter of the axis that objects are tracked along, Y or X to cut a volume across; time, else the
            first, where it is none of the layer's.
        fixed
            Position on each further axis by its letter; 0 where nothing is said.

        Raises
        ------
        InputError
            If the axes do not fit the layer.
        """
        pixels = finest(layer)
        letters = (axes or guess_axes(layer)).strip().upper()
        cut = along if along in _CUTS and dict(zip(letters, pixels.shape)).get("Z", 1) > 1 else None
        if cut is not None:
            letters = turned_axes(letters, cut)
        if layer.rgb:
            letters += "S"
        name = f"Layer '{layer.name}'"
        sizes = dict(zip(letters, pixels.shape))
        free = _long_axes(sizes)
        wanted = along if cut is None else "Z"
        tracked = wanted if wanted in free else "T" if "T" in free else next(iter(free), None)
        asked = fixed or {}
        places = {
            letter: min(max(asked.get(letter, 0), 0), sizes[letter] - 1)
            for letter in free
            if letter != tracked
        }
        plan = plan_axes(
            name, pixels.shape, np.dtype(pixels.dtype), axes=letters, channel=channel, fixed=places
        )
        return cls(layer, plan, cut)

    def at(self, fixed: Mapping[str, int]) -> "ImageStack":
        """Return the frames of another position on the axes that objects are not tracked along."""
        return ImageStack.of(self.layer, self.axes, self._channel, self.way, fixed)

    def open(self) -> FrameSource:
        """Return the frames; nothing is read yet."""
        plan = self.plan
        frames = open_frames(finest(self.layer), axes=plan.axes, channel=self._channel, fixed=self.fixed)
        if self.cut is not None:  # plane by plane, and not read as a whole first
            frames.volume_order = turned_axes("XYZ", self.cut)
        return frames

    @property
    def file(self) -> Path | None:
        """The file that the layer was read from, if it was."""
        return file_of(self.layer)

    @property
    def opening(self) -> dict[str, Any]:
        """Options of ``open_frames`` that read the same frames from the file."""
        letters = self.axes + ("S" if self.layer.rgb else "")
        order = self.layer.metadata.get(FILE_ORDER, range(len(letters)))
        axes = "".join(letters[number] for number in order)
        along = {} if self.cut is None else {"along": self.cut}
        return {"axes": axes, "channel": self._channel, "fixed": self.fixed, **along}

    @property
    def _channel(self) -> int | None:
        channel_axis = self.plan.channel_axis
        return self.plan.fixed.get(channel_axis) if channel_axis else None

    @property
    def tracking_axes(self) -> dict[str, str]:
        """Axes that objects may be tracked along, in words by their letter; one or none leaves no choice."""
        return {letter: _along(letter) for letter in _long_axes(self.plan.sizes)}

    @property
    def ways(self) -> dict[str, str]:
        """What :meth:`of` takes for ``along``, in words; one or none leaves no choice."""
        known = _long_axes(dict(zip(self.axes, self.shape)))
        across = _CUTS if "Z" in known else ()
        return {letter: _along(letter) for letter in (*known, *across)}

    @property
    def way(self) -> str | None:
        """Which of the ways objects are tracked."""
        return self.cut or self.plan.axis

    @property
    def fixed(self) -> dict[str, int]:
        """Position by letter on the axes that objects are not tracked along, where there are several."""
        return {letter: self.plan.fixed[letter] for letter in self.tracking_axes if letter != self.plan.axis}

    @property
    def name(self) -> str:
        """The layer's name and, where there are several, the position and the way, as ``cells Z7``."""
        places = "".join(f" {letter}{place}" for letter, place in self.fixed.items())
        return f"{self.layer.name}{places}" + (f" along {self.cut}" if self.cut else "")

    @property
    def dims(self) -> str:
        """One letter per axis of the layer, as the frames have it."""
        return self.plan.axes.removesuffix("S") if self.layer.rgb else self.plan.axes

    @property
    def axes(self) -> str:
        """One letter per axis of the layer, as people have it: of a volume that is cut across, as it was."""
        return self.dims if self.cut is None else turned_axes(self.dims, self.cut, back=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """The layer's lengths, one per letter of ``dims``."""
        return tuple(self.plan.sizes[letter] for letter in self.dims)

    @property
    def num_channels(self) -> int:
        """Channels that may be chosen from; 1 for gray and RGB."""
        return self.plan.sizes.get("C", 1)

    @property
    def description(self) -> str:
        """One line for people, for example ``40 time points, 320 × 320 pixels, uint16``."""
        height, width = self.plan.frame_shape
        parts = [f"{height} × {width} pixels", str(np.dtype(finest(self.layer).dtype))]
        counts = [_counted(self.plan.sizes[letter], letter) for letter in self.tracking_axes]
        parts[:0] = counts
        if self.layer.rgb or self.num_channels > 1:
            parts.insert(-1, "RGB" if self.layer.rgb else f"{self.num_channels} channels")
        return ", ".join(parts)

    @property
    def tracked_along(self) -> str:
        """Along which axis objects are tracked and where, as ``tracked through time in plane 7``."""
        if not self.tracking_axes:
            return ""
        return f"tracked {_along(self.way or '')}" + (f" {in_words(self.fixed)}" if self.fixed else "")

    @property
    def nouns(self) -> str:
        """What people call its frames, for example "planes"."""
        return f"{_NOUNS.get(self.plan.axis or '', 'frame')}s"

    def turn(self, viewer: Viewer) -> None:
        """Let the viewer show frames as they lie, with the slider of the axis that they are counted along."""
        missing = viewer.dims.ndim - len(self.dims)
        plane = [missing + self.dims.index(letter) for letter in "YX"]
        viewer.dims.order = (*(axis for axis in range(viewer.dims.ndim) if axis not in plane), *plane)

    def is_rolled(self, viewer: Viewer) -> bool:
        """Whether the viewer shows slices in another direction than frames lie."""
        missing = viewer.dims.ndim - len(self.dims)
        shown = {self.dims[axis - missing] for axis in viewer.dims.displayed if axis >= missing}
        return not {"Y", "X"} <= shown

    def places_of(self, position: Sequence[float]) -> dict[str, int]:
        """Return where a position in the layer's data coordinates lies on the axes of ``fixed``."""
        place = dict(zip(self.dims, position))
        return {
            letter: min(max(round(float(place[letter])), 0), self.plan.sizes[letter] - 1)
            for letter in self.fixed
        }

    def holds(self, position: Sequence[float]) -> bool:
        """Whether a position in the layer's data coordinates lies where objects are tracked."""
        return self.places_of(position) == self.fixed

    def shown_places(self, viewer: Viewer) -> dict[str, int]:
        """Return where the viewer's sliders stand on the axes of ``fixed``."""
        return self.places_of(self.layer.world_to_data(viewer.dims.point))

    def locate(self, position: Sequence[float]) -> tuple[int, float, float]:
        """Return frame and ``(x, y)`` in pixels of a position in the layer's own data coordinates."""
        place = dict(zip(self.dims, position))
        frame = round(float(place[self.plan.axis])) if self._has_frames else 0
        return frame, float(place["X"]), float(place["Y"])

    def position(self, viewer: Viewer, frame: int, x: float, y: float) -> list[float]:
        """Return the layer's own data coordinates of a pixel, of channels where the slider stands."""
        shown = self.layer.world_to_data(viewer.dims.point)
        place = {letter: float(round(where)) for letter, where in zip(self.dims, shown)}
        place |= {letter: float(where) for letter, where in self.fixed.items()}
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
        """Move the viewer's sliders to a frame."""
        if not self._has_frames:
            return
        position = np.asarray(self.layer.world_to_data(viewer.dims.point), dtype=float)
        numbers = [self.dims.index(letter) for letter in (self.plan.axis, *self.fixed)]
        position[numbers] = (frame, *self.fixed.values())
        world = self.layer.data_to_world(position)
        missing = viewer.dims.ndim - len(self.dims)
        viewer.dims.set_point([missing + number for number in numbers], [world[i] for i in numbers])

    def zoom_to(
        self, viewer: Viewer, box: tuple[float, float, float, float], canvas: tuple[int, int]
    ) -> None:
        """Let a box ``(x0, y0, x1, y1)`` in pixels fill the middle third of the canvas, a tiny one less."""
        frame = self.shown_frame(viewer)
        corners = [self.data_to_plane(viewer, frame, x, y) for x, y in (box[:2], box[2:])]
        center, extent = np.mean(corners, axis=0), np.abs(np.subtract(*corners))
        camera = viewer.scene.camera
        camera.center = (camera.center[0], *center)
        height, width = self.plan.frame_shape
        ends = [self.data_to_plane(viewer, frame, x, y) for x, y in ((0, 0), (width, height))]
        least = float(np.abs(np.subtract(*ends)).max()) / 8  # its surroundings are to be seen
        camera.zoom = min(canvas) / 3 / max(float(extent.max()), least)

    def data_to_plane(self, viewer: Viewer, frame: int, x: float, y: float) -> NDArray[np.float64]:
        """Return the place of a pixel on the two axes that the viewer shows, in its world."""
        world = np.asarray(self.layer.data_to_world(self.position(viewer, frame, x, y)), float)
        missing = viewer.dims.ndim - len(world)
        return np.array([world[axis - missing] for axis in viewer.dims.displayed[-2:]])

    def index_of(self, frame: int | slice) -> tuple[int | slice, ...]:
        """Return the index of a frame, or of several, in an array of this stack's shape without channels."""
        places: dict[str, int | slice] = {"Y": slice(None), "X": slice(None), self.plan.axis: frame}
        places |= self.fixed
        return tuple(places.get(letter, 0) for letter in self.dims if letter != "C")

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


def finest(layer: Image) -> Any:
    """Return a layer's pixels, of a pyramid the finest level; nothing is loaded."""
    return layer.data[0] if layer.multiscale else layer.data


def in_words(places: Mapping[str, int]) -> str:
    """Say where one is on some axes, for example ``in plane 7``."""
    known = {"T": "at time point", "Z": "in plane"}
    return ", ".join(f"{known.get(letter, f'at {letter}')} {where}" for letter, where in places.items())


def _along(letter: str) -> str:
    return _ALONG.get(letter, f"along {letter}")


def _counted(number: int, letter: str) -> str:
    return f"{number} {_NOUNS.get(letter, 'position')}s" + ("" if letter in _NOUNS else f" on {letter}")


def _long_axes(sizes: Mapping[str, int]) -> list[str]:
    """Return the letters of the axes, channels left out, that have more than one position."""
    return [letter for letter, size in sizes.items() if letter not in "YXCS" and size > 1]
