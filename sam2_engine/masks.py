"""Operations on masks (boxes, stability, suppression, run lengths), and their compact forms."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sam2_engine.errors import InputError

__all__ = [
    "CompressedMask",
    "PackedMask",
    "as_mask",
    "compress_rle",
    "count_pixels",
    "decode_rle",
    "encode_rle",
    "mask_boxes",
    "mask_center",
    "mask_stability",
    "non_maximum_suppression",
    "remove_small_regions",
    "rle_area",
]

_COMPRESSION = 1  # little is gained above, and a mask is compressed for every object and frame


def _is_traced() -> bool:
    """Whether a program is made of what is computed, which shall take any number of masks."""
    return bool(torch._C._get_tracing_state())


def count_pixels(masks: Tensor) -> Tensor:
    """Count the pixels of (N, H, W) bool masks: (N,) int64; on a CPU by NumPy, 50 times as fast as a sum."""
    if masks.device.type != "cpu" or _is_traced():
        return masks.flatten(1).sum(1)
    return torch.tensor([np.count_nonzero(mask) for mask in masks.numpy()], dtype=torch.int64)


def as_mask(values: Any, name: str = "The mask") -> NDArray[np.bool_]:
    """Return a given mask as bool: bool itself, or 0 and one other value above it.

    Everything else is no mask yet. By "any number but 0" logits would be all of the frame, and so would the
    labels of all objects be one. Pixels that a masked array hides are outside.

    Raises
    ------
    InputError
        If it holds other values, or no numbers.

    Examples
    --------
    >>> as_mask(np.array([[0, 255]], np.uint8))
    array([[False,  True]])
    >>> as_mask(np.array([[-4.5, 2.25]]))
    Traceback (most recent call last):
        ...
    sam2_engine.errors.InputError: The mask holds values of -4.5 to 2.25; a mask is bool, or 0 and one other \
value. Give logits as logits > 0, one object of a label image as labels == 7.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(0)
    pixels = np.asarray(values)
    if pixels.dtype == np.bool_:
        return pixels
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"{name} holds {pixels.dtype} values; give bool, or 0 and one other number.")
    inside: NDArray[np.bool_] = pixels != 0
    found = pixels[inside]
    if found.size and not (found[0] > 0 and (found == found[0]).all()):
        low, high = pixels.min(), pixels.max()
        raise InputError(
            f"{name} holds values of {low:g} to {high:g}; a mask is bool, or 0 and one other value. "
            "Give logits as logits > 0, one object of a label image as labels == 7."
        )
    return inside


def mask_stability(logits: Tensor, offset: float) -> Tensor:
    """Return how little each mask changes when its threshold of 0 moves by ``offset`` (SAM, section 5).

    IoU of the masks of (N, H, W) ``logits`` above ``offset`` and above ``-offset``, (N,) float32 in 0..1;
    an empty mask is stable.
    """
    inner, outer = count_pixels(logits > offset), count_pixels(logits > -offset)
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def mask_boxes(masks: Tensor) -> Tensor:
    """Return the inclusive boxes ``x0, y0, x1, y1``, (N, 4) int64, of (N, H, W) masks; zeros if empty."""

    def extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
        first = occupied.int().argmax(1)
        last = occupied.shape[1] - 1 - occupied.flip(1).int().argmax(1)
        return first, torch.where(occupied.any(1), last, 0)

    (x0, x1), (y0, y1) = extent(masks.any(1)), extent(masks.any(2))
    return torch.stack([x0, y0, x1, y1], dim=1)


def non_maximum_suppression(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices of the boxes that stay, highest score first.

    Parameters
    ----------
    boxes
        (N, 4) ``x0, y0, x1, y1``.
    scores
        (N,); of boxes that overlap by more than ``iou_threshold`` the highest stays.
    """
    boxes = boxes.float()
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    order = scores.argsort(descending=True, stable=True)
    selected = []
    while len(order):
        best, order = order[0], order[1:]
        selected.append(best)
        corner0 = torch.maximum(boxes[best, :2], boxes[order, :2])
        corner1 = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (corner1 - corner0).clamp(min=0).prod(1)
        overlap = shared > iou_threshold * (area[best] + area[order] - shared)
        order = order[~overlap]
    return torch.stack(selected) if selected else order


def remove_small_regions(mask: NDArray[np.bool_], min_area: float) -> NDArray[np.bool_]:
    """Fill holes and drop components of fewer than ``min_area`` pixels; the largest one always stays.

    Pixels are connected to all eight neighbors. ``mask`` itself is returned if nothing is small.
    """
    from skimage.measure import label  # slow to import, and seldom wanted

    holes = label(~mask, connectivity=2)
    small_holes = np.bincount(holes.ravel()) < min_area
    small_holes[0] = False
    result = mask | small_holes[holes] if small_holes.any() else mask
    components = label(result, connectivity=2)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    keep = sizes >= min_area
    keep[sizes.argmax()] = True
    keep[0] = False
    return result if keep[1:].all() else keep[components]


def mask_center(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], float]:
    """Return the ``(x, y)`` in an (H, W) mask farthest from its border, and how far, 0 for an empty mask.

    Outside of the plane is border too.
    """
    rows, columns = PackedMask.from_array(mask).box
    if rows.stop == rows.start:
        return (0, 0), 0.0
    depth = distance_transform_edt(np.pad(mask[rows, columns], 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return (int(x) + columns.start, int(y) + rows.start), float(depth[y, x])


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return COCO's run lengths, ``{"size": [H, W], "counts": [...]}``: column by column, zeros first.

    Examples
    --------
    >>> encode_rle(np.array([[False, True], [True, True]]))
    {'size': [2, 2], 'counts': [1, 3]}
    """
    columns = mask.ravel(order="F")
    changes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [columns.size]])).tolist()
    if columns.size and columns[0]:
        counts.insert(0, 0)
    return {"size": list(mask.shape), "counts": counts}


def compress_rle(rle: dict[str, Any]) -> dict[str, Any]:
    """Return COCO's run lengths compressed to a string, as its own tools write them."""
    counts = rle["counts"]
    earlier = [0, 0, 0, *counts[1:-2]]  # from the fourth on, differences to the number two places before
    text = "".join(_characters(count - before) for count, before in zip(counts, earlier))
    return {"size": rle["size"], "counts": text}


def decode_rle(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of COCO's run lengths, as a list of numbers or compressed to a string.

    Raises
    ------
    ValueError
        If the runs do not fill ``size``.
    """
    counts = _counts(rle)  # before as many pixels are allocated as they ask for
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(rle["size"], order="F")


def rle_area(rle: dict[str, Any]) -> int:
    """Return the number of pixels of a mask in COCO's run lengths, without decoding it.

    Raises
    ------
    ValueError
        If the runs do not fill ``size``.
    """
    return sum(_counts(rle)[1::2])


def _counts(rle: dict[str, Any]) -> list[int]:
    """Return run lengths that fill their size."""
    counts, (height, width) = rle["counts"], rle["size"]
    counts = _decompressed(counts) if isinstance(counts, str | bytes) else list(counts)
    if not all(isinstance(number, int) for number in (height, width, *counts)):
        raise ValueError("run lengths are whole numbers")
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise ValueError(f"run lengths of {sum(counts)} pixels do not fill {height} x {width}")
    return counts


def _decompressed(text: str | bytes) -> list[int]:
    """Undo COCO's compression: 5 bits per character, lowest first; from the fourth on, differences.

    Each number goes on while the bit 32 is set; the bit 16 of its last character is the sign. A
    difference is to the number two places before, the last run of the same kind.
    """
    counts: list[int] = []
    number = shift = 0
    for code in text.encode() if isinstance(text, str) else text:
        bits = code - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = shift = 0
    return counts


def _characters(number: int) -> str:
    """Write a number as COCO does, the reverse of what ``_decompressed`` reads."""
    text = ""
    while True:
        bits, number = number & 31, number >> 5
        if number == (-1 if bits & 16 else 0):
            return text + chr(bits + 48)
        text += chr((bits | 32) + 48)


def _described(mask: "PackedMask | CompressedMask") -> str:
    rows, columns = mask.box
    box = f"rows {rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1}"
    where = "empty" if rows.stop <= rows.start else box
    return f"<{type(mask).__name__} {mask.shape[0]} x {mask.shape[1]}: {where}>"


@dataclass(frozen=True, eq=False, repr=False)
class PackedMask:
    """A mask as the bits within its box, so that hundreds of masks of a large plane stay small.

    Attributes
    ----------
    shape
        (H, W) of the plane.
    box
        Rows and columns of the mask's box; empty slices if the mask is empty.
    bits
        Packed rows.

    See Also
    --------
    CompressedMask : for masks that are stored and seldom read.

    Examples
    --------
    >>> mask = np.zeros((60, 80), bool)
    >>> mask[20:30, 40:44] = True
    >>> packed = PackedMask.from_array(mask)
    >>> packed.box, packed.bits.nbytes
    ((slice(20, 30, None), slice(40, 44, None)), 10)
    >>> packed.around(margin=5)
    (slice(15, 35, None), slice(35, 49, None))
    >>> packed.within((slice(0, 60), slice(42, 80))).shape
    (60, 38)
    """

    shape: tuple[int, int]
    box: tuple[slice, slice]
    bits: NDArray[np.uint8]

    def __repr__(self) -> str:
        return _described(self)

    @classmethod
    def from_array(
        cls, mask: NDArray[np.bool_], shape: tuple[int, int] | None = None, origin: tuple[int, int] = (0, 0)
    ) -> "PackedMask":
        """Pack an (H, W) bool mask; of a plane of ``shape`` in which it lies at ``origin`` (row, column)."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        inner = tuple(slice(int(i[0]), int(i[-1]) + 1) if len(i) else slice(0, 0) for i in (rows, columns))
        box = (
            slice(inner[0].start + origin[0], inner[0].stop + origin[0]),
            slice(inner[1].start + origin[1], inner[1].stop + origin[1]),
        )
        return cls(shape or (mask.shape[0], mask.shape[1]), box, np.packbits(mask[inner], axis=1))

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is inside."""
        return bool(self.box[0].start == self.box[0].stop)

    def crop(self) -> NDArray[np.bool_]:
        """Return the mask within its box."""
        width = self.box[1].stop - self.box[1].start
        return np.unpackbits(self.bits, axis=1, count=width).astype(bool)

    def to_array(self) -> NDArray[np.bool_]:
        """Return the mask of the whole plane, (H, W) bool."""
        return self.within((slice(0, self.shape[0]), slice(0, self.shape[1])))

    def compress(self) -> "CompressedMask":
        """Return the same mask in fewer bytes."""
        return CompressedMask(self.shape, self.box, zlib.compress(self.bits.tobytes(), _COMPRESSION))

    def within(self, window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the part of the mask on some rows and columns of the plane."""
        result = np.zeros([side.stop - side.start for side in window], bool)
        firsts = [max(mine.start, its.start) for mine, its in zip(self.box, window)]
        lasts = [min(mine.stop, its.stop) for mine, its in zip(self.box, window)]
        if all(first < last for first, last in zip(firsts, lasts)):
            source, target = (
                tuple(slice(a - side.start, b - side.start) for a, b, side in zip(firsts, lasts, frame))
                for frame in (self.box, window)
            )
            result[target] = self.crop()[source]
        return result

    def around(self, margin: int) -> tuple[slice, slice]:
        """Return the rows and columns of the mask's box and ``margin`` around it, within the plane."""
        rows, columns = (
            slice(max(side.start - margin, 0), min(side.stop + margin, length))
            for side, length in zip(self.box, self.shape)
        )
        return rows, columns


@dataclass(frozen=True, slots=True, repr=False)
class CompressedMask:
    """An (H, W) bool mask: the bits within its box, compressed, so that a long video's masks stay small.

    Attributes
    ----------
    shape
        (H, W) of the frame.
    box
        Rows and columns of the mask's box; empty slices if the mask is empty.
    bits
        Compressed rows of bits.

    See Also
    --------
    PackedMask : for masks that are read over and over.

    Examples
    --------
    >>> mask = np.zeros((60, 80), bool)
    >>> mask[20:30, 40:44] = True
    >>> compressed = CompressedMask.from_array(mask)
    >>> compressed.box, compressed.crop().shape
    ((slice(20, 30, None), slice(40, 44, None)), (10, 4))
    >>> np.array_equal(compressed.to_array(), mask)
    True
    """

    shape: tuple[int, int]
    box: tuple[slice, slice]
    bits: bytes

    def __repr__(self) -> str:
        return _described(self)

    @classmethod
    def from_array(
        cls, mask: NDArray[np.bool_], shape: tuple[int, int] | None = None, origin: tuple[int, int] = (0, 0)
    ) -> "CompressedMask":
        """Compress a mask; the parameters are those of :meth:`PackedMask.from_array`."""
        return PackedMask.from_array(mask, shape, origin).compress()

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is inside."""
        return bool(self.box[0].start == self.box[0].stop)

    def decompress(self) -> PackedMask:
        """Return the mask with plain bits."""
        rows, columns = (side.stop - side.start for side in self.box)
        bits = np.frombuffer(zlib.decompress(self.bits), np.uint8).reshape(rows, (columns + 7) // 8)
        return PackedMask(self.shape, self.box, bits)

    def crop(self) -> NDArray[np.bool_]:
        """Return the pixels within the box."""
        return self.decompress().crop()

    def to_array(self) -> NDArray[np.bool_]:
        """Return the (H, W) bool mask."""
        return self.decompress().to_array()
