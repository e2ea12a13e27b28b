"""Labels of a session as a volume: axes as its file has them, where they lie, and its blocks one by one."""

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.spacing.geometry import Geometry, vector
from sam2_engine.frames.spacing.units import LENGTH_UNITS, factor
from sam2_engine.limits import check_memory
from sam2_plugins.export.format import no_mask
from sam2_plugins.export.losses import Overlaps
from sam2_plugins.export.targets import LabelImages
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import ReadableSession, known_by_frame

__all__ = ["LabelVolume", "geometry_of", "uneven"]


def uneven(session: ReadableSession) -> str | None:
    """Say if there is no mask, or planes of DICOM do not lie evenly, which an affine volume cannot hold."""
    frames = session.frames
    if frames.instances and frames.axis == "Z" and frames.geometry is None and len(frames) > 1:
        return no_mask(session) or (
            f"The planes of {frames.name} do not lie evenly, or nothing says where, and this format has one "
            "distance for all; export DICOM-SEG or a TIFF instead."
        )
    return no_mask(session)


def geometry_of(session: ReadableSession, scale: PhysicalScale) -> Geometry | None:
    """Return where a session's pixels lie, with the lengths of ``scale`` if those were changed."""
    geometry = session.frames.geometry
    if geometry is None or scale.unit not in LENGTH_UNITS or PhysicalScale.of(session.frames).is_like(scale):
        return geometry
    height, width = scale.pixel_size
    lengths = {"X": width, "Y": height, "Z": scale.plane_spacing}
    steps = {}
    for letter, step in geometry.steps.items():
        direction = np.array(step) / np.linalg.norm(step)
        steps[letter] = vector(direction * lengths[letter] * factor(scale.unit, geometry.unit))
    return Geometry(geometry.origin, steps, geometry.order, geometry.unit)


class LabelVolume:
    """The label images of a session as one array whose first axis varies fastest.

    Attributes
    ----------
    order
        Letters of the three axes in space, as the session's file has them.
    shape
        Length of each of those, and of time where there is one.
    dtype
        uint16, or uint32 if an id needs it; little endian.
    geometry
        Where it lies; None where nothing says it.
    sizes
        Of a voxel by the letters of ``order``, in ``unit``.
    unit
        Of lengths; None if they are numbers of pixels.

    Raises
    ------
    InputError
        If there is nothing to write, or it has to be turned and does not fit the memory.
    """

    def __init__(self, session: ReadableSession, scale: PhysicalScale) -> None:
        self._session = session
        self._labels = LabelImages(session)
        self._overlaps, self._known = Overlaps(session), known_by_frame(session)
        self.geometry = geometry_of(session, scale)
        self.order = session.frames.volume_order if self.geometry is None else self.geometry.order
        self.dtype = self._labels.dtype.newbyteorder("<")
        self.num_objects, self.num_frames = self._labels.num_objects, self._labels.length
        self._through_time = session.frames.axis != "Z" and self.num_frames > 1
        height, width = self._labels.shape
        lengths = {"X": width, "Y": height, "Z": 1 if self._through_time else self.num_frames}
        self.shape = tuple(lengths[letter] for letter in self.order)
        if self._through_time:
            self.shape += (self.num_frames,)
        known = scale.unit in LENGTH_UNITS
        self.unit = self.geometry.unit if self.geometry else ("mm" if known else None)
        in_unit = scale.in_unit(self.unit) if known and self.unit else scale
        sizes = dict(zip("YXZ", (*in_unit.pixel_size, in_unit.plane_spacing)))
        if self.geometry is not None:
            sizes = {letter: float(np.linalg.norm(step)) for letter, step in self.geometry.steps.items()}
        self.sizes: Mapping[str, float] = {letter: sizes[letter] for letter in self.order}

    @property
    def has_time(self) -> bool:
        """Whether time is the fourth axis."""
        return self._through_time

    @property
    def changes(self) -> tuple[str, ...]:
        """What a label volume could not hold; known once all blocks were asked for."""
        return self._overlaps.changes

    def blocks(self) -> Generator[tuple[int, bytes], None, None]:
        """Yield frame and bytes, which one after the other are the array with its first axis fastest."""
        plane = [letter for letter in self.order if letter != "Z"]
        if not self._through_time and self.order[-1] != "Z" and self.num_frames > 1:
            yield from self._turned()
            return
        for frame in range(self.num_frames):
            image = self._image(frame)
            yield frame, np.ascontiguousarray(image if plane == ["X", "Y"] else image.T).tobytes()

    def _turned(self) -> Generator[tuple[int, bytes], None, None]:
        """Yield the blocks of a volume that is tracked along an axis that is not its file's slowest."""
        num_bytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        check_memory(self._session.frames.name, self.shape, num_bytes)
        whole = np.zeros((self.num_frames, *self._labels.shape), self.dtype)  # Z, Y, X
        for frame in range(self.num_frames):
            whole[frame] = self._image(frame)
            yield frame, b""
        slowest_first = whole.transpose(["ZYX".index(letter) for letter in reversed(self.order)])
        for block in slowest_first:
            yield self.num_frames - 1, np.ascontiguousarray(block).tobytes()

    def _image(self, frame: int) -> NDArray[Any]:
        labels = self._labels[frame].astype(self.dtype, copy=False)
        self._overlaps.look(frame, int(np.count_nonzero(labels)), self._known.get(frame, ()))
        return labels
