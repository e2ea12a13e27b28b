"""Frames that a program sends to a worker: each part once, before it is needed or when it is asked for."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, UnreadableFrameError
from sam2_plugins.cluster.transport import FrameDescription, PackedArray

__all__ = ["BLOCK", "Block", "ReceivedFrames", "Wish", "block_of"]

BLOCK = 512
"""Side of the parts in which large planes are sent."""
_WISH_SECONDS = 120.0
"""For which a worker waits for a part that it has asked for: the program that has it may read slowly."""

Block = tuple[int, int] | None
"""Row and column of a part, in blocks; None for the whole frame."""


@dataclass(frozen=True)
class Wish:
    """Parts of a frame that a worker waits for."""

    frame: int
    blocks: tuple[Block, ...]


def block_of(pixels: NDArray[Any], block: Block) -> NDArray[Any]:
    """Return a part of a frame."""
    if block is None:
        return pixels
    row, column = block
    return pixels[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]


class ReceivedFrames(FrameSource):
    """Frames that were sent; they lie compressed in a file that nobody else sees.

    What is missing is wished for, and waited for on the thread that reads; it is received on another one.

    Parameters
    ----------
    said
        What the frames are like.

    Attributes
    ----------
    in_blocks
        Whether frames are sent in parts, where they are looked at.
    wish
        What is waited for now; None for nothing.
    """

    def __init__(self, said: FrameDescription) -> None:
        super().__init__(
            said.name,
            shape=said.shape,
            channels=said.channels,
            dtype=np.dtype(said.dtype),
            length=said.length,
            axes=said.axes,
            axis=said.axis,
            is_rgb=said.is_rgb,
            fill_values=said.fill_values,
        )
        self.in_blocks = False
        self.wish: Wish | None = None
        self._file = TemporaryFile()  # noqa: SIM115  (closed with the source)
        self._changed = threading.Condition()
        self._places: dict[tuple[int, Block], tuple[int, int, PackedArray]] = {}
        self._problems: dict[int, UnreadableFrameError] = {}

    def receive(self, frame: int, block: Block, pixels: PackedArray | UnreadableFrameError) -> None:
        """Store a part of a frame, or why the frame cannot be read."""
        with self._changed:
            if isinstance(pixels, UnreadableFrameError):
                self._problems[frame] = pixels
            else:
                self._problems.pop(frame, None)
                start = self._file.seek(0, 2)
                self._file.write(pixels.data)
                self._places[frame, block] = start, len(pixels.data), replace(pixels, data=b"")
            self._changed.notify_all()

    @override
    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return one frame; whoever sent it has checked its pixels."""
        number = self._check_index(frame)
        if self.in_blocks:
            plane: Any = _Plane(self, number)
            self.parts(number, [])  # which says whether it can be read
            return plane  # type: ignore[no-any-return]  # it does what is done with an array
        return self._read(number)

    @override
    def _read(self, frame: int) -> NDArray[Any]:
        return self.parts(frame, [None])[None]

    def parts(self, frame: int, blocks: Iterable[Block]) -> dict[Block, NDArray[Any]]:
        """Return parts of a frame, once they are there.

        Raises
        ------
        UnreadableFrameError
            If whoever has the frame cannot read it.
        InputError
            If nobody sends them.
        """
        wanted = tuple(blocks)
        with self._changed:
            missing = tuple(block for block in wanted if (frame, block) not in self._places)
            self.wish = Wish(frame, missing) if missing and frame not in self._problems else None
            try:
                there = self._changed.wait_for(lambda: self._is_answered(frame, missing), _WISH_SECONDS)
            finally:
                self.wish = None
            if frame in self._problems:
                raise self._problems.pop(frame)  # it may be readable the next time
            if not there:
                raise InputError(f"Nobody has sent frame {frame} of {self.name} in {_WISH_SECONDS:.0f} s.")
            return {block: self._stored(frame, block) for block in wanted}

    def _is_answered(self, frame: int, blocks: tuple[Block, ...]) -> bool:
        return frame in self._problems or all((frame, block) in self._places for block in blocks)

    def _stored(self, frame: int, block: Block) -> NDArray[Any]:
        start, num_bytes, pixels = self._places[frame, block]
        self._file.seek(start)
        return replace(pixels, data=self._file.read(num_bytes)).array()

    @override
    def close(self) -> None:
        with self._changed:  # another thread may be reading
            self._file.close()


class _Plane:
    """A frame whose parts are fetched when they are looked at; otherwise an array."""

    def __init__(self, frames: ReceivedFrames, frame: int) -> None:
        self._frames, self._frame = frames, frame
        channels = () if frames.channels == 1 else (frames.channels,)
        self.shape = (*frames.shape, *channels)
        self.dtype = frames.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, where: Any) -> NDArray[Any]:
        if not (
            isinstance(where, tuple) and len(where) == 2 and all(isinstance(one, slice) for one in where)
        ):
            whole: NDArray[Any] = np.asarray(self)[where]
            return whole
        rows, columns = (range(*one.indices(size)) for one, size in zip(where, self.shape))
        places = [(row, column) for row in _blocks(rows) for column in _blocks(columns)]
        parts = self._frames.parts(self._frame, places)
        top, left = rows.start // BLOCK, columns.start // BLOCK
        height = min(self.shape[0], (_blocks(rows).stop) * BLOCK) - top * BLOCK
        width = min(self.shape[1], (_blocks(columns).stop) * BLOCK) - left * BLOCK
        pixels = np.empty((height, width, *self.shape[2:]), self.dtype)
        for row, column in places:
            block_of(pixels, (row - top, column - left))[:] = parts[row, column]
        return pixels[
            rows.start - top * BLOCK : rows.stop - top * BLOCK,
            columns.start - left * BLOCK : columns.stop - left * BLOCK,
        ]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[: self.shape[0], : self.shape[1]]
        return whole if dtype is None else whole.astype(dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def _blocks(pixels: range) -> range:
    """Return the blocks that hold a row's or column's pixels."""
    return range(pixels.start // BLOCK, (pixels.stop - 1) // BLOCK + 1)
