"""Meaning of the samples of a TIFF page: photometric interpretation, palette, alpha, bits, orientation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from sam2_engine.errors import InputError
from sam2_engine.frames.pixels import stretched, swaps_axes, upright
from sam2_engine.wording import counted

__all__ = [
    "PLAIN",
    "PageColors",
    "Reading",
    "is_subsampled_raw",
    "needs_pillow",
    "orientation_of",
    "page_colors",
    "photometric_of",
    "refusal",
    "subsampled_colors",
    "upright_shape",
]

PLAIN = ("generic", "uniform", "shaped")
"""Kinds of series that no instrument's or analysis program's metadata describe."""

_Step = Callable[[NDArray[Any]], NDArray[Any]]

_GRAY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
_LAB = (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB)
_SAMPLES = {
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.CIELAB: 3,
    PHOTOMETRIC.ICCLAB: 3,
    PHOTOMETRIC.SEPARATED: 4,
}
_REFUSED = {
    PHOTOMETRIC.CFA: "raw data of a sensor behind a color filter; develop it to RGB first",
    PHOTOMETRIC.LINEAR_RAW: "raw data of a sensor; develop it to RGB first",
    PHOTOMETRIC.LOGL: "logarithmic luminance (LogL); convert it to float32 first",
    PHOTOMETRIC.LOGLUV: "logarithmic colors (LogLuv); convert it to RGB first",
    PHOTOMETRIC.ITULAB: "colors of the fax standard ITU-T T.42; convert it to RGB first",
}
_CONVERTED_BY_CODEC = (
    COMPRESSION.JPEG,
    COMPRESSION.JPEG_LOSSY,
    COMPRESSION.JPEGXR,
    COMPRESSION.JPEGXL,
    COMPRESSION.JPEG2000,
    COMPRESSION.WEBP,
)
_FAX = (COMPRESSION.CCITTRLE, COMPRESSION.CCITT_T4, COMPRESSION.CCITT_T6, 32771)
_PHOTOMETRIC, _ORIENTATION, _INK_SET, _DOT_RANGE = 262, 274, 332, 336
_CMYK = 1
_MOST_MARKS = 3
_LUMA = np.array((0.299, 0.587, 0.114))


@dataclass(frozen=True)
class PageColors:
    """How the samples of a page become pixels.

    Attributes
    ----------
    axes
        ``"YX"``, or ``"YXS"`` where a pixel has several values.
    shape, dtype
        Of the pixels, upright.
    notes
        What users should know of how they came about.
    """

    axes: str
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    notes: tuple[str, ...] = ()
    orientation: int = 1
    _steps: tuple[_Step, ...] = field(default=(), repr=False)

    def convert(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Return ``(H, W)`` or ``(H, W, S)`` pixels for samples, ``(H, W)`` or ``(H, W, S)`` as stored."""
        for step in self._steps:
            samples = step(samples)
        return upright(samples, self.orientation)


@dataclass(frozen=True)
class Reading:
    """What a page is read for.

    Attributes
    ----------
    labels
        Pixels are labels: a palette is then only there to show them.
    kind
        Where the description of its series comes from, as tifffile names it. ``"shaped"`` is an array
        that tifffile wrote: its pixels are the array's values.
    planes
        Separate samples are planes of a stack rather than values of one pixel.
    raw
        Samples are values of their own, no colors.
    """

    labels: bool = False
    kind: str = "generic"
    planes: bool = False
    raw: bool = False

    @property
    def measured(self) -> bool:
        """Whether the metadata of an instrument or an analysis program describe the page.

        A palette in the order of brightness is then a lookup table of the display, and pixels are the
        values behind it.
        """
        return self.kind not in PLAIN


def page_colors(page: Any, reading: Reading, usual_orientation: int = 1) -> PageColors:
    """Say how the samples of a page become pixels.

    Raises
    ------
    InputError
        If its values are none that an image can be made of.
    """
    if page.dtype is None:
        raise InputError(
            f"{page.parent.filename} holds values of {page.bitspersample} bits in a form that is not known; "
            "convert them to 8 or 16 bits first."
        )
    if refusal(page):
        raise InputError(f"{page.parent.filename} holds {refusal(page)}.")
    samples = 1 if reading.planes else page.samplesperpixel
    steps, notes = ([], []) if reading.raw else _steps(page, samples, reading)
    orientation = orientation_of(page, usual_orientation)
    if orientation != 1:
        notes = [*notes, f"turned upright (orientation {orientation})"]
    colors = PageColors("", (), page.dtype, tuple(notes), orientation, tuple(steps))
    tiny = colors.convert(np.zeros((1, 1) if samples == 1 else (1, 1, samples), page.dtype))
    height, width = int(page.imagelength), int(page.imagewidth)
    shape = (width, height) if swaps_axes(orientation) else (height, width)
    shape = (*shape, *tiny.shape[2:])
    return PageColors("YXS"[: len(shape)], shape, tiny.dtype, tuple(notes), orientation, tuple(steps))


def refusal(page: Any) -> str:
    """Say what a page holds of which no image can be made, and how to mend that; empty of any other page."""
    return _REFUSED.get(page.photometric, "")


def upright_shape(page: Any) -> tuple[int, int]:
    """Return height and width of a page once it is turned as its orientation says."""
    height, width = int(page.imagelength), int(page.imagewidth)
    return (width, height) if swaps_axes(orientation_of(page)) else (height, width)


def photometric_of(page: Any) -> int:
    """Return the photometric interpretation of a page; where it has none, what libtiff takes it for."""
    if _PHOTOMETRIC in page.tags:
        return int(page.photometric)
    if page.samplesperpixel - len(page.extrasamples) >= 3:
        return int(PHOTOMETRIC.RGB)
    return int(PHOTOMETRIC.MINISWHITE if page.compression in _FAX else PHOTOMETRIC.MINISBLACK)


def needs_pillow(page: Any) -> bool:
    """Whether only the Pillow library reads the colors of a page: old kinds of JPEG, subsampled colors."""
    subsampled = page.photometric == PHOTOMETRIC.YCBCR and page.is_subsampled
    return page.compression == COMPRESSION.OJPEG or (
        subsampled and page.compression not in _CONVERTED_BY_CODEC
    )


def is_subsampled_raw(page: Any) -> bool:
    """Whether the colors of a page are subsampled without any compression, which no library reads."""
    subsampled = page.photometric == PHOTOMETRIC.YCBCR and page.is_subsampled
    return bool(subsampled and page.compression == COMPRESSION.NONE and not page.is_tiled)


def subsampled_colors(page: Any) -> NDArray[Any]:
    """Return the YCbCr samples of such a page, ``(H, W, 3)``, those of color repeated.

    A strip holds blocks: the lumas of some pixels, row by row, and one pair of chromas (TIFF 6.0, 21).

    Raises
    ------
    ValueError
        If the strips hold too little.
    """
    keyframe = page.keyframe
    height, width = int(keyframe.imagelength), int(keyframe.imagewidth)
    across, down = keyframe.subsampling or (2, 2)
    columns, block = -(-width // across), across * down + 2
    result = np.zeros((height, width, 3), np.uint8)
    rows = min(int(keyframe.rowsperstrip), height)
    handle = page.parent.filehandle
    for strip, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts)):
        top = strip * rows
        lines = -(-min(rows, height - top) // down)
        handle.seek(offset)
        data = np.frombuffer(handle.read(count), np.uint8)[: lines * columns * block]
        blocks = data.reshape(lines, columns, block)
        luma = blocks[..., :-2].reshape(lines, columns, down, across).swapaxes(1, 2)
        chroma = np.repeat(np.repeat(blocks[..., -2:], down, axis=0), across, axis=1)
        pixels = np.concatenate([luma.reshape(lines * down, columns * across, 1), chroma], axis=2)
        part = result[top : top + rows]
        part[...] = pixels[: len(part), :width]
    return result


def orientation_of(page: Any, usual: int = 1) -> int:
    """Return the orientation of a page, or the usual one if it has none."""
    value = page.tags.valueof(_ORIENTATION, usual)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _steps(page: Any, samples: int, reading: Reading) -> tuple[list[_Step], list[str]]:
    """Return what turns samples into pixels, step by step, and notes on it."""
    photometric = photometric_of(page)
    if photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return _palette_steps(page, samples, reading)
    if photometric in (*_GRAY, PHOTOMETRIC.PALETTE, PHOTOMETRIC.MASK):
        return _gray_steps(page, samples, photometric, reading)
    if photometric not in _SAMPLES:
        return [], [f"its photometric interpretation {photometric} is not known; read as it is stored"]
    colors = _SAMPLES[photometric]
    if photometric == PHOTOMETRIC.SEPARATED and page.tags.valueof(_INK_SET, _CMYK) != _CMYK:
        return [], [f"its {samples} samples are inks other than CMYK, read as channels"]
    if samples < colors:  # the lightness of Lab alone, and the like
        return [], [
            f"{counted(samples, 'sample')} instead of the {colors} of its colors, read as it is stored"
        ]
    steps, notes = _without_alpha(page, samples, colors)
    if photometric in (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR, *_LAB) and samples > colors:
        steps, notes = [lambda pixels: pixels[..., :colors]], []
    if photometric == PHOTOMETRIC.RGB and page.dtype == np.int8:
        return [lambda pixels: pixels.view(np.uint8), *steps], notes
    if photometric == PHOTOMETRIC.RGB and page.dtype == np.uint8:
        return [*steps, *_to_8_bits(page, reading)], notes
    if photometric == PHOTOMETRIC.SEPARATED:
        steps.append(_cmyk_to_rgb(page))
    elif photometric == PHOTOMETRIC.YCBCR and page.compression not in _CONVERTED_BY_CODEC:
        steps.append(lambda pixels: _ycbcr_to_rgb(pixels, page))
    elif photometric in _LAB:
        steps.append(lambda pixels: _lab_to_rgb(pixels, photometric == PHOTOMETRIC.ICCLAB))
    return steps, notes


def _palette_steps(page: Any, samples: int, reading: Reading) -> tuple[list[_Step], list[str]]:
    steps: list[_Step] = [lambda pixels: pixels[..., 0]] if samples > 1 else []
    if reading.labels:
        return steps, []
    colors = np.asarray(page.colormap).T
    # TIFF 6.0 has 16 bits; some writers put 8 there.
    palette = (colors if colors.max(initial=0) < 256 else colors >> 8).astype(np.uint8)
    brightness = palette @ _LUMA
    darker = np.count_nonzero(np.diff(brightness) < -1)  # HiLo marks both ends of a gray ramp
    if reading.measured and darker <= _MOST_MARKS and brightness[-2] > brightness[1]:
        return steps, ["its palette is a lookup table of the display and is not applied"]
    last = len(palette) - 1
    steps.append(lambda pixels: palette[np.minimum(pixels.astype(np.intp), last)])
    return steps, ["the colors of its palette"]


def _gray_steps(page: Any, samples: int, photometric: int, reading: Reading) -> tuple[list[_Step], list[str]]:
    steps, notes = _without_alpha(page, samples, 1)
    if photometric == PHOTOMETRIC.PALETTE:
        notes.append("its palette is missing, and indices are read as gray")
    bilevel = page.bitspersample == 1
    if page.dtype == np.int8 and not (reading.labels or reading.measured or _keeps_sign(page, reading)):
        steps.insert(0, lambda pixels: pixels.view(np.uint8))
        notes.append("signed bytes read as unsigned ones, as viewers do")
    # tifffile marks every array of type bool so, and ImageJ its masks: as labels they are what they hold.
    raw = reading.kind == "shaped" if bilevel else reading.labels and reading.measured
    if photometric == PHOTOMETRIC.MINISWHITE and not raw:
        steps.append(lambda pixels: _inverted(pixels, page.bitspersample))
        notes.append("inverted, as its lowest value is white")
    return [*steps, *_to_8_bits(page, reading)], notes


def _keeps_sign(page: Any, reading: Reading) -> bool:
    """Whether negative bytes are meant: in arrays, and in maps. Other writers mark photographs so."""
    return bool(reading.kind == "shaped" or page.is_gdal or page.is_geotiff)


def _to_8_bits(page: Any, reading: Reading) -> list[_Step]:
    """Stretch values of 2 to 7 bits to the 8 of their type, but not those of labels."""
    bits = page.bitspersample
    if reading.labels or page.dtype != np.uint8 or not isinstance(bits, int) or not 1 < bits < 8:
        return []
    return [lambda pixels: stretched(pixels, (1 << bits) - 1)]


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    if pixels.dtype.kind == "f":
        return -pixels
    return pixels.dtype.type((1 << bits) - 1) - pixels if pixels.dtype.kind == "u" else ~pixels


def _without_alpha(page: Any, samples: int, colors: int) -> tuple[list[_Step], list[str]]:
    """Leave out alpha, dividing colors that were multiplied by it; other extra samples are channels."""
    extra = tuple(page.extrasamples)
    if not extra and photometric_of(page) == PHOTOMETRIC.RGB and samples == colors + 1:
        extra = (EXTRASAMPLE.UNASSALPHA,)  # what writers who leave the tag out mean
    alpha = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
    if samples <= colors or len(extra) != samples - colors or not set(extra) <= set(alpha):
        return [], []
    steps: list[_Step] = []
    if extra[0] == EXTRASAMPLE.ASSOCALPHA:
        steps.append(lambda pixels: _divided_by_alpha(pixels, colors))
    steps.append(lambda pixels: pixels[..., 0] if colors == 1 else pixels[..., :colors])
    return steps, ["alpha left out"]


def _divided_by_alpha(pixels: NDArray[Any], colors: int) -> NDArray[Any]:
    alpha = pixels[..., colors : colors + 1]
    white = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    divided = pixels * (white / np.where(alpha > 0, alpha, white).astype(np.float64))
    return (divided if pixels.dtype.kind == "f" else np.clip(np.round(divided), 0, white)).astype(
        pixels.dtype
    )


def _cmyk_to_rgb(page: Any) -> _Step:
    """Return the conversion of Pillow: each ink takes away its complement, black from all."""
    dots = page.tags.valueof(_DOT_RANGE, (0, 1))
    inverted = isinstance(dots, tuple) and len(dots) > 1 and dots[0] > dots[1]

    def convert(pixels: NDArray[Any]) -> NDArray[Any]:
        white = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
        paper = pixels.astype(np.float64) if inverted else white - pixels
        rgb = paper[..., :3] * paper[..., 3:4] / white
        return (rgb if pixels.dtype.kind == "f" else np.round(rgb)).astype(pixels.dtype)

    return convert


def _ycbcr_to_rgb(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Convert by the coefficients of the page (TIFF 6.0, section 21), ITU-R BT.601 where it has none."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"YCbCr colors of type {pixels.dtype}")
    red, green, blue = _rationals(page, 529, (0.299, 0.587, 0.114))
    black_white = _rationals(page, 532, (0, 255, 128, 255, 128, 255))
    parts = []
    for sample, scale in enumerate((255, 127, 127)):
        low, high = black_white[2 * sample : 2 * sample + 2]
        parts.append((pixels[..., sample] - low) * (scale / ((high - low) or 1)))
    luma, chroma_blue, chroma_red = parts
    r, b = chroma_red * (2 - 2 * red) + luma, chroma_blue * (2 - 2 * blue) + luma
    g = (luma - blue * b - red * r) / (green or 1)
    return np.clip(np.round(np.stack([r, g, b], axis=-1)), 0, 255).astype(np.uint8)


def _rationals(page: Any, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 * len(default):
        return default
    return tuple(value[i] / (value[i + 1] or 1) for i in range(0, len(value), 2))


def _lab_to_rgb(pixels: NDArray[Any], icc: bool) -> NDArray[Any]:
    """Convert CIE L*a*b* of illuminant D50 (TIFF 6.0, section 23; ICC: a and b are offset) to 8-bit sRGB."""
    bits = 8 * pixels.dtype.itemsize
    if bits not in (8, 16) or pixels.dtype.kind not in "iu":
        raise ValueError(f"Lab colors of type {pixels.dtype}")
    unsigned = pixels.view(f"u{bits // 8}")
    unit = float(1 << (bits - 8))
    if icc:
        a, b = ((unsigned[..., i] / unit) - 128 for i in (1, 2))
        lightness = unsigned[..., 0] / (255 * unit) * 100
    else:
        a, b = (unsigned[..., i].view(f"i{bits // 8}") / unit for i in (1, 2))
        lightness = unsigned[..., 0] / ((1 << bits) - 1) * 100
    y = (lightness + 16) / 116
    xyz = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(xyz > 6 / 29, xyz**3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29)) * _D50
    linear = np.clip(xyz @ _SRGB_OF_D50.T, 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colors: NDArray[Any] = np.round(rgb * 255).astype(np.uint8)
    return colors


_D50 = np.array((0.9642, 1.0, 0.8249))
_SRGB_OF_D50 = np.array(  # inverse of the matrix of the ICC's sRGB profile, adapted to D50 by Bradford
    [
        (3.1338561, -1.6168667, -0.4906146),
        (-0.9787684, 1.9161415, 0.0334540),
        (0.0719453, -0.2289914, 1.4052427),
    ]
)
