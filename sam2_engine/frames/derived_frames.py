"""Frames derived from another source, which has checked them already."""

import threading
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.source import FrameSource
from sam2_engine.frames.spacing.geometry import Geometry
from sam2_engine.limits import check_memory

__all__ = ["CroppedFrames", "DerivedFrames", "TurnedFrames", "check_along", "turned_axes"]

_TURNED = {"Y": {"Z": "Y", "Y": "Z", "X": "X"}, "X": {"Z": "Y", "Y": "X", "X": "Z"}}
"""By the axis that a volume is cut along, what each of its axes is then."""


class DerivedFrames(FrameSource):
    """Another source's frames, transformed; ``shape`` if that changes their size."""

    def __init__(self, source: FrameSource, shape: tuple[int, int] | None = None) -> None:
        super().__init__(
            source.name,
            shape=source.shape if shape is None else shape,
            channels=source.channels,
            dtype=source.dtype,
            length=source.length,
            axes=source.axes,
            axis=source.axis,
            is_rgb=source.is_rgb,
            fps=source.fps,
            timestamps=source.timestamps,
            fill_values=source.fill_values,
            spacing=source.spacing,
        )
        self._source = source

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return one frame; the source has checked its pixels."""
        return self._read(self._check_index(frame))


class CroppedFrames(DerivedFrames):
    """The same rows and columns of each of another source's frames.

    Parameters
    ----------
    source
        The whole frames; closing this leaves them open.
    rows, columns
        Rows and columns of each frame.
    """

    def __init__(self, source: FrameSource, rows: slice, columns: slice) -> None:
        super().__init__(source, (rows.stop - rows.start, columns.stop - columns.start))
        self._window = rows, columns

    def _read(self, frame: int) -> NDArray[Any]:
        return self._source[frame][self._window]


def check_along(along: object) -> str:
    """Return the letter of the axis that a volume is cut along.

    Raises
    ------
    InputError
        If it is neither Z, Y nor X.
    """
    letter = along.upper() if isinstance(along, str) else ""
    if letter not in ("Z", "Y", "X"):
        raise InputError(f"A volume is cut along Z, Y or X, not {along!r}.")
    return letter


def turned_axes(axes: str, along: str, *, back: bool = False) -> str:
    """Return what the axes of a volume are called when it is cut along Y or X, or what they were before.

    Examples
    --------
    >>> turned_axes("TZYX", "X")
    'TYXZ'
    >>> turned_axes("TYXZ", "X", back=True)
    'TZYX'
    """
    names = _TURNED[along]
    if back:
        names = {turned: letter for letter, turned in names.items()}
    return "".join(names.get(letter, letter) for letter in axes)


class TurnedFrames(FrameSource):
    """The planes of another source, cut across along Y (coronal) or X (sagittal), with rows along Z.

    The whole volume is read when the first frame is asked for.
    """

    def __init__(self, source: FrameSource, along: str) -> None:
        if source.axis != "Z" or source.length is None or source.length < 2:
            raise InputError(
                f"{source.name} has no planes to cut across ({source.sizes}); name its axes, for example "
                "ZYX, and fix a time."
            )
        names, (height, width) = _TURNED[along], source.shape
        num_bytes = len(source) * height * width * source.channels * source.dtype.itemsize
        check_memory(source.name, (len(source), height, width), num_bytes)
        sizes = {names["Z"]: len(source), names["Y"]: height, names["X"]: width}
        colors = "S" if source.is_rgb else "C" if source.channels > 1 else ""
        super().__init__(
            source.name,
            shape=(sizes["Y"], sizes["X"]),
            channels=source.channels,
            dtype=source.dtype,
            length=sizes["Z"],
            axes=f"ZYX{colors}",
            axis="Z",
            is_rgb=source.is_rgb,
            note="; ".join(filter(None, (f"cut along {along}", source.note))),
            fill_values=source.fill_values,
            spacing={names[axis]: one for axis, one in source.spacing.items() if axis in names},
        )
        known = source.geometry
        order = source.volume_order if known is None else known.order
        self.volume_order = "".join(names[letter] for letter in order)
        if known is not None:
            steps = {names[letter]: step for letter, step in known.steps.items()}
            self.geometry = Geometry(known.origin, steps, self.volume_order, known.unit)
        self._axis = "ZYX".index(along)
        self._source = source
        self._volume: NDArray[Any] | None = None
        self._reading = threading.Lock()

    @classmethod
    def of(cls, source: FrameSource, along: str) -> Self:
        """Cut a volume that was opened for it alone, and is closed with these frames."""
        try:
            frames = cls(source, along)
        except InputError:
            source.close()
            raise
        if source.opened_as is not None:
            path, options = source.opened_as
            frames.opened_as = path, {**options, "along": along}
        return frames

    def _read(self, frame: int) -> NDArray[Any]:
        with self._reading:
            if self._volume is None:
                self._volume = np.stack([self._source[plane] for plane in range(len(self._source))])
        return np.ascontiguousarray(np.take(self._volume, frame, axis=self._axis))

    def close(self) -> None:
        """Close the volume that they are cut from."""
        self._volume = None
        self._source.close()
