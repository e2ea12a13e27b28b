"""Meaning of pixel values: color mode, palette, alpha, orientation, order of channels; one for all readers.

Functions without state. Nothing but NumPy and Pillow is imported, so that a process that decodes one
untrusted image can use them too.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "as_array",
    "colors_of",
    "has_alpha",
    "highest_level",
    "image_array",
    "is_array",
    "is_channels_first",
    "object_note",
    "orientation_of",
    "stretched",
    "swaps_axes",
    "unmasked",
    "unstretched",
    "upright",
]

_ORIENTATION = 0x0112  # EXIF 2.3, section 4.6.4; TIFF 6.0, page 36
_FIRST_SWAPPED = 5
_FEW_BITS = {"L;2": 3, "L;4": 15}
"""Pillow's names of gray pixels of few bits, which it stretches to 8, and the highest level of each."""
_PALETTES = ("P", "PA")
_GRAY_WITH_ALPHA = ("LA", "La")
_STRIP = 1 << 22  # pixels that are converted at once
_MAX_COLORS = 4
_MAX_CHANNELS = 16  # a longer first axis is the height of an image


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror an image as its orientation (1 to 8, of EXIF and TIFF) says.

    Parameters
    ----------
    pixels
        ``(H, W)`` or ``(H, W, C)``, as stored.
    orientation
        1 is upright already, and so is anything that the standards do not define.

    Examples
    --------
    >>> upright(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    turned = pixels.swapaxes(0, 1) if swaps_axes(orientation) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def swaps_axes(orientation: int) -> bool:
    """Whether width and height of an upright image are those of the stored one, swapped."""
    return _FIRST_SWAPPED <= orientation <= 8


def stretched(levels: NDArray[Any], highest: int) -> NDArray[np.uint8]:
    """Stretch levels up to ``highest`` to 8 bits, as viewers show them: 15 of 4 bits is white, not black.

    Examples
    --------
    >>> stretched(np.array([[0, 1, 3]]), 3).tolist()
    [[0, 85, 255]]
    """
    table = np.minimum((np.arange(256) * 255 + highest // 2) // highest, 255).astype(np.uint8)
    return np.asarray(table[levels])


def unstretched(pixels: NDArray[np.uint8], highest: int) -> NDArray[np.uint8]:
    """Return the levels up to ``highest`` that were stretched to 8 bits: labels are numbers, not grays.

    Examples
    --------
    >>> unstretched(np.array([[0, 85, 255]], np.uint8), 3).tolist()
    [[0, 1, 3]]
    """
    return ((pixels.astype(np.uint16) * highest + 127) // 255).astype(np.uint8)


def orientation_of(image: Image.Image) -> int:
    """Return the orientation that EXIF or, without it, XMP says; AVIF's rotation and mirror count as EXIF.

    A PNG may have it behind its pixels: it is known once those are loaded.
    """
    try:
        # A library's subclass may load the pixels for it; what their header says has to do.
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
        return int(value) if 1 <= int(value) <= 8 else 1
    except Exception:  # damaged metadata: the pixels are as good as without any
        return 1


def highest_level(image: Image.Image) -> int | None:
    """Return the highest level of gray pixels of 2 or 4 bits, which Pillow stretches to 8; None of others.

    Once the pixels are loaded, only their file knows.
    """
    if image.mode != "L":
        return None
    tiles, name = getattr(image, "tile", None), getattr(image, "filename", None)
    if not tiles and name:
        try:
            with Image.open(name) as again:
                tiles = again.tile if again.size == image.size else None
        except Exception:  # moved or changed since
            return None
    return next((_FEW_BITS.get(str(tile[3])) for tile in tiles or ()), None)


def has_alpha(image: Image.Image) -> bool:
    """Whether an image says of some pixels that they are transparent."""
    return image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info


def colors_of(image: Image.Image, *, labels: bool = False, background: str | None = None) -> NDArray[Any]:
    """Return the pixels of a Pillow image as they are meant, in the order in which they are stored.

    ========================  ==================================================================
    mode                      result
    ========================  ==================================================================
    1                         ``(H, W)`` bool, True is white
    L, I;16, I, F             ``(H, W)`` uint8, uint16, int32, float32, as they are
    LA, La                    ``(H, W)`` uint8, alpha left out
    P, PA                     ``(H, W, 3)`` RGB, the palette's colors; with ``labels`` the indices
    RGB, RGBX                 ``(H, W, 3)`` RGB
    RGBA, RGBa                ``(H, W, 3)`` RGB, alpha left out (premultiplied colors divided by it)
    CMYK, YCbCr, LAB, HSV     ``(H, W, 3)`` RGB
    ========================  ==================================================================

    Parameters
    ----------
    image
        The image; it is not turned upright, see ``upright``.
    labels
        Whether the pixels are labels, so that a palette is only there to show them.
    background
        Color on which transparent pixels are laid, for what is seen in a browser; by default alpha is
        left out, and colors are what is stored.

    Examples
    --------
    >>> colors_of(Image.new("CMYK", (1, 1), (255, 0, 0, 0))).tolist()
    [[[0, 255, 255]]]
    """
    rows = max(1, _STRIP // max(1, image.width))
    if image.height <= rows:
        return _colors_of(image, labels, background)
    # Pillow has 4 bytes for a pixel of color; at once, it would be there three more times.
    pixels = np.empty(0)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        part = _colors_of(strip, labels, background)
        if not top:
            pixels = np.empty((image.height, *part.shape[1:]), part.dtype)
        pixels[top : top + rows] = part
    return pixels


def _colors_of(image: Image.Image, labels: bool, background: str | None) -> NDArray[Any]:
    if labels and image.mode in _PALETTES:
        return np.asarray(image if image.mode == "P" else image.getchannel(0))
    is_deep = image.mode in ("1", "F") or image.mode.startswith("I")
    if background is not None and has_alpha(image) and not is_deep:
        return _on(background, image)
    if is_deep or image.mode == "L":
        return _native(np.asarray(image))
    if image.mode in _GRAY_WITH_ALPHA:
        return np.asarray((image if image.mode == "LA" else image.convert("LA")).getchannel(0))
    if has_alpha(image) and image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA")  # divides premultiplied colors, resolves a palette with alpha
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _on(background: str, image: Image.Image) -> NDArray[Any]:
    """Lay an image with alpha on a color, as browsers do."""
    ground = Image.new("RGBA", image.size, background)
    ground.alpha_composite(image.convert("RGBA"))
    return np.asarray(ground.convert("L" if image.mode in ("L", *_GRAY_WITH_ALPHA) else "RGB"))


def _native(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def is_array(item: Any) -> bool:
    """Whether something is an array, lazy ones and tensors among them, or can be made one."""
    if isinstance(item, type):
        return False
    if _is_tensor(item) or isinstance(item, memoryview) or hasattr(item, "__array__"):
        return True
    return hasattr(item, "shape") and hasattr(item, "dtype")


def as_array(item: Any, *, labels: bool = False) -> Any:
    """Return what libraries call an image as an array: of Pillow (colors), PyTorch (any device and type).

    What has a shape and a type already, lazy arrays among them, is returned as it is; what is sparse is
    filled. A Pillow image is not turned: its own coordinates, ``image.size``, are those that its pixels
    have in memory.

    Raises
    ------
    ValueError
        If a tensor has no values, or not one shape; libraries raise other errors too.

    Examples
    --------
    >>> as_array(Image.new("P", (4, 2))).shape
    (2, 4, 3)
    """
    if isinstance(item, Image.Image):
        highest = highest_level(item) if labels else None
        pixels = colors_of(item, labels=labels)
        return unstretched(pixels, highest) if highest else pixels
    if isinstance(item, np.ma.MaskedArray):
        return unmasked(item, labels=labels)
    if _is_tensor(item):
        return _values_of(item)
    if hasattr(item, "nnz") and hasattr(item, "toarray"):  # a sparse matrix of SciPy
        return item.toarray()
    return item if hasattr(item, "shape") and hasattr(item, "dtype") else np.asarray(item)


def _is_tensor(item: Any) -> bool:
    return hasattr(item, "detach") and hasattr(item, "cpu")


def _values_of(tensor: Any) -> NDArray[Any]:
    """Return the values of a tensor of PyTorch, in float32 if NumPy does not know their type."""
    if tensor.is_nested:
        raise ValueError("a nested tensor has no one shape; give its tensors as a list")
    if tensor.is_meta:
        raise ValueError("a tensor on the device meta has no values; make it on another one")
    tensor = tensor.detach().cpu()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if str(tensor.layout) != "torch.strided":
        tensor = tensor.to_dense()
    is_short = tensor.dtype.is_floating_point and tensor.dtype.itemsize <= 2
    if is_short and str(tensor.dtype) != "torch.float16":  # bfloat16, and the kinds of float8
        tensor = tensor.float()
    return np.asarray(tensor.numpy(force=True))


def unmasked(pixels: NDArray[Any], *, labels: bool = False) -> NDArray[Any]:
    """Return an array without the values that a mask of numpy hides: nobody knows them.

    They become the darkest level that is known, NaN in floats, and background in labels.

    Examples
    --------
    >>> unmasked(np.ma.masked_equal(np.array([[9, 200, 255]], np.uint8), 255)).tolist()
    [[9, 200, 9]]
    """
    if not isinstance(pixels, np.ma.MaskedArray):
        return np.asarray(pixels)
    if labels or pixels.mask.all():
        hidden: Any = 0
    else:
        hidden = np.nan if pixels.dtype.kind == "f" else pixels.min()
    return np.asarray(pixels.filled(hidden))


def image_array(item: Any, *, labels: bool = False) -> NDArray[Any]:
    """Return a single image as ``(H, W)`` or ``(H, W, C)``; channels that come first are put last.

    Raises
    ------
    ValueError
        If it is no image, or nobody can tell where its channels are.

    Examples
    --------
    >>> image_array(np.zeros((3, 40, 60), np.uint8)).shape
    (40, 60, 3)
    """
    pixels = np.asarray(as_array(item, labels=labels))
    if pixels.ndim not in (2, 3):
        raise ValueError(f"an image is (H, W) or (H, W, C), not an array of shape {pixels.shape}")
    if pixels.ndim == 2 or not is_channels_first(pixels.shape):
        return pixels
    if pixels.shape[0] > _MAX_COLORS:
        raise ValueError(
            f"an image of shape {pixels.shape} is {pixels.shape[0]} pixels high or has "
            f"{pixels.shape[0]} channels; put the channels last, with image.transpose(1, 2, 0)"
        )
    return pixels.transpose(1, 2, 0)


def object_note(item: Any, *, labels: bool = False) -> str:
    """Return what users should know about how an image in memory is read."""
    if isinstance(item, np.ma.MaskedArray):
        return f"masked pixels are {'background' if labels else 'read as the darkest level'}"
    if not isinstance(item, Image.Image):
        shape = tuple(getattr(item, "shape", ()))
        first = len(shape) == 3 and is_channels_first(shape)
        return f"the first axis, of length {shape[0]}, is read as channels" if first else ""
    notes = ["alpha is left out"] if has_alpha(item) else []
    if getattr(item, "n_frames", 1) > 1:
        notes.append(f"only its current image, number {item.tell()} of {getattr(item, 'n_frames', 1)}")
    if orientation_of(item) != 1:
        notes.append("not turned upright, as its own size is not (PIL.ImageOps.exif_transpose does)")
    return "; ".join(notes)


def is_channels_first(shape: tuple[int, ...]) -> bool:
    """Whether the axis before the last two is one of channels rather than the height of an image."""
    channels, height, width = shape[-3:]
    few = _MAX_COLORS if channels <= _MAX_COLORS else _MAX_CHANNELS
    return channels <= few < min(height, width)
