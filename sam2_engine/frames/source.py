"""Interface of all frame sources: length, shape, and one frame at a time."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames.axes import no_channel
from sam2_engine.frames.spacing import Spacing, frame_interval, usable
from sam2_engine.frames.spacing.geometry import Geometry
from sam2_engine.limits import FrameTooLargeError, check_memory
from sam2_engine.wording import counted

__all__ = [
    "FillRange",
    "FrameIndexError",
    "FrameSource",
    "UnreadableFrameError",
    "check_pixels",
    "explain",
    "is_fill",
]

FillRange = tuple[float, float]
"""Lowest and highest value, both inclusive, that a file declares to stand for pixels without data."""


class FrameIndexError(InputError, IndexError):
    """A frame that the source does not have."""


class UnreadableFrameError(InputError):
    """A frame that the source has, but that is missing or damaged; others may be read.

    Attributes
    ----------
    frame
        Its number.
    """

    def __init__(self, message: str, frame: int) -> None:
        super().__init__(message)
        self.frame = frame


def explain(error: BaseException) -> str:
    """Return a library's message as one short clause, without its full stop."""
    if isinstance(error, MemoryError):
        return "it needs more memory than is available"
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = message.strip().split("\n")[0].split(". ")[0].rstrip(".: ")
    return first[:160] or type(error).__name__


def check_pixels(name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    """Refuse what cannot be an image: no pixels at all, or values that are not real numbers.

    Raises
    ------
    InputError
        If an axis has length 0, or ``dtype`` is neither bool, integer nor float.
    """
    if 0 in shape:
        raise InputError(f"{name} has no pixels (its shape is {shape}); give an image with some.")
    if dtype.kind not in "buif":
        raise InputError(
            f"{name} holds {dtype} values; convert them to real numbers, for example float32, first."
        )


def is_fill(pixels: NDArray[Any], fill_values: Sequence[FillRange]) -> NDArray[np.bool_]:
    """Return where pixels, ``(H, W)`` or ``(H, W, C)``, hold a declared fill value, in the pixels' shape.

    Of 8-bit color a pixel is filled where all its channels are: a bright red is no missing pixel because
    255 is the fill value.

    Examples
    --------
    >>> is_fill(np.array([[-2000, 40]], np.int16), [(-2000, -2000)]).tolist()
    [[True, False]]
    """
    filled = np.zeros(pixels.shape, bool)
    for ends in fill_values:
        if pixels.dtype.kind == "f":  # as the pixels round it: -3.4028235e+38 is float32's lowest value
            with np.errstate(over="ignore"):
                low, high = np.array(ends, pixels.dtype)
        else:
            low, high = ends
        filled |= (pixels >= low) & (pixels <= high)
    if pixels.ndim == 3 and pixels.dtype == np.uint8:
        filled &= filled.all(axis=2, keepdims=True)
    return filled


def _opened_again(path: Path, options: dict[str, Any]) -> "FrameSource":
    from sam2_engine.frames.opening import open_frames  # which imports all sources

    return open_frames(path, **options)


class FrameSource(ABC):
    """Frames of one size, read one at a time; no source ever holds its whole stack.

    Attributes
    ----------
    name
        Name for users: a file's name, or the kind of array.
    shape
        ``(H, W)`` of every frame in pixels.
    channels
        1, 3 (RGB) or any other number; ``frames[i]`` is ``(H, W)`` if 1, else ``(H, W, channels)``.
    dtype
        The native type of the pixels.
    length
        Number of frames; ``None`` for a live stream that has not ended yet.
    fps
        Frames per second, where the source knows it.
    timestamps
        Seconds at which each frame is shown, ascending, where the source knows them; else None.
    axes, axis
        One letter per axis of the source, as read (``"TYX"``), and the letter of the axis that the
        frames are counted along.
    is_rgb
        Whether the channels are colors (red, green, blue and perhaps alpha).
    note
        What ``description`` says beside sizes and types: what was guessed, merged or left out.
    fill_values
        Values that the source declares as no data (padding of DICOM, no-data of GDAL), as ranges; such
        pixels stay in the frames, and intensity windows read them as the darkest level.
    spacing
        From one position to the next by the letter of the axis, where the source says so and it can be true:
        sizes of pixels, distances of planes, intervals of frames.
    geometry
        Where the pixels lie in the patient or the world; None where the source does not say, or planes do not
        lie evenly.
    volume_order
        Axes of a volume as files have them that begin with the axis that varies fastest.
    instances
        Of DICOM, by frame: its file, and its number there from 0; None where the stack has a gap. Else empty.
    holds_labels
        Whether its values are ids: nothing is said then of how an image's values without a number are read.
    opened_as
        Path and options by which ``open_frames`` gives the same frames once more; None if they come from
        elsewhere.
    """

    def __init__(
        self,
        name: str,
        *,
        shape: tuple[int, int],
        channels: int,
        dtype: "np.dtype[Any]",
        length: int | None,
        axes: str,
        axis: str = "T",
        is_rgb: bool = False,
        channel: int | None = None,
        fps: float | None = None,
        timestamps: Sequence[float] | None = None,
        note: str = "",
        fill_values: Sequence[FillRange] = (),
        spacing: Mapping[str, Spacing] | None = None,
    ) -> None:
        check_pixels(name, shape, dtype)
        check_memory(name, shape, shape[0] * shape[1] * channels * dtype.itemsize)
        if channel is not None and not 0 <= channel < channels:
            raise no_channel(name, channel, channels)
        self.name = name
        self.shape = shape
        self.channels = channels if channel is None else 1
        self.dtype = dtype.newbyteorder("=")
        self.length = length
        self.fps = fps
        self.timestamps = timestamps
        self.axes = axes
        self.axis = axis
        self.is_rgb = is_rgb and channel is None
        self._channel = channel or 0
        self.note = note
        self.fill_values = tuple(
            ends for ends in fill_values if ends[0] <= ends[1]
        )  # NaN is not, and need not be
        times = {} if axis != "T" else usable({"T": (frame_interval(fps, timestamps), "s")})
        self.spacing: Mapping[str, Spacing] = {**times, **(spacing or {})}
        self.geometry: Geometry | None = None
        self.volume_order = "XYZ"
        self.instances: tuple[tuple[Path, int] | None, ...] = ()
        self.opened_as: tuple[Path, dict[str, Any]] | None = None
        self.holds_labels = False
        self._warned: set[str] = set()

    @property
    def description(self) -> str:
        """One line for users: sizes by axis, channels, type, and how ambiguous axes were read."""
        return f"{self._brief}; {self.note}" if self.note else self._brief

    @property
    def _brief(self) -> str:
        color = "RGB" if self.is_rgb else counted(self.channels, "channel")
        return f"{self.sizes}, {color}, {self.dtype}"

    @property
    def sizes(self) -> str:
        """Sizes by axis, as ``T=92 Y=1036 X=1070``."""
        count = "?" if self.length is None else self.length
        return f"{self.axis}={count} Y={self.shape[0]} X={self.shape[1]}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._in_sentence}: {self._brief}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Let what came from a path be opened there once more, by a copy or elsewhere."""
        if self.opened_as is None:
            return super().__reduce_ex__(protocol)
        path, options = self.opened_as
        return _opened_again, (path, options)

    @property
    def _in_sentence(self) -> str:
        """The name as it stands within a sentence: "the array"."""
        return self.name.replace("The ", "the ", 1) if self.name.startswith("The ") else self.name

    @abstractmethod
    def _read(self, frame: int) -> NDArray[Any]:
        """Return frame ``frame`` as ``(H, W)`` or ``(H, W, C)``; the index is valid."""

    def _check_index(self, frame: int) -> int:
        number = index(frame)
        if self.length is not None and not 0 <= number < self.length:
            raise FrameIndexError(
                f"{self.name} has no frame {number}; its frames are 0 to {self.length - 1}."
            )
        return number

    def file_of(self, frame: int) -> Path | None:
        """Return the file that holds a frame and no other; None where several lie in one, or none does."""
        return self.opened_as[0] if self.length == 1 and self.opened_as is not None else None

    def __len__(self) -> int:
        if self.length is None:
            raise InputError(f"{self.name} is a live stream, whose length is unknown until it ends.")
        return self.length

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return one frame, ``(H, W)`` or ``(H, W, C)``, in the source's own type.

        Raises
        ------
        FrameIndexError
            If there is no such frame.
        UnreadableFrameError
            If it cannot be read.

        Warns
        -----
        InputWarning
            Once per source, for the first frame with some non-finite pixels, and once for the first
            frame without a finite one, which is read as an empty frame.
        """
        number = self._check_index(frame)
        try:
            pixels = self._read(number)
        except (FrameIndexError, FrameTooLargeError, UnreadableFrameError):
            raise
        except InputError as error:
            raise UnreadableFrameError(str(error), number) from error
        except MemoryError as error:
            raise FrameTooLargeError(
                f"Frame {number} of {self._in_sentence} needs more memory than is available; "
                "close other programs, or cut out the part that matters."
            ) from error
        except Exception as error:
            raise self._unreadable(number, explain(error)) from error
        return self._finish(number, pixels)

    def _finish(self, frame: int, pixels: NDArray[Any]) -> NDArray[Any]:
        """Check and convert a frame as every frame should be."""
        if pixels.shape[:2] != self.shape:
            raise self._unreadable(frame, f"it is {pixels.shape[:2]} in size, but the first is {self.shape}")
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, and is said
            pixels = pixels.astype(self.dtype, copy=False)
        if pixels.ndim == 3 and self.channels == 1:
            pixels = pixels[..., self._channel]
        if self.dtype.kind == "f" and not self.holds_labels:
            self._check_finite(frame, pixels)
        return pixels

    def _check_finite(self, frame: int, pixels: NDArray[Any]) -> None:
        missing = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
        if missing == pixels.size:
            single = self.length == 1
            which = self.name if single else f"Frame {frame} of {self._in_sentence}"
            read_as = "image" if single else "frame, and so are any later ones"
            self._warn_once(
                "empty",
                f"{which} has no finite pixel (all are NaN or infinite); "
                f"it is read as an empty, dark {read_as}.",
            )
        elif missing:
            self._warn_once(
                "some",
                f"{missing} of {pixels.size} pixels in frame {frame} of {self._in_sentence} are NaN or "
                "infinite; they are read as the darkest level, and so are any in later frames.",
            )

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, InputWarning, stacklevel=5)

    def _unreadable(self, frame: int, reason: str) -> UnreadableFrameError:
        return UnreadableFrameError(
            f"Frame {frame} of {self._in_sentence} cannot be read ({reason}); "
            "copy or export it again, or leave out that frame.",
            frame,
        )

    def _was_closed(self) -> InputError:
        return InputError(f"{self._in_sentence} has been closed: open it again.")

    def __iter__(self) -> Iterator[NDArray[Any]]:
        frame = 0
        while self.length is None or frame < self.length:
            try:
                pixels = self[frame]
            except FrameIndexError:
                return
            yield pixels
            frame += 1

    def close(self) -> None:  # noqa: B027  (most sources hold nothing open)
        """Close files and decoders; frames cannot be read afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
