"""Table of what each kind of file is read as: the data of docs/formats.md and of the test that holds it.

``python tests/reports/format_cases.py`` writes the page's table. A new row is one more ``Case``.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
_BEGIN, _END = "<!-- table: written by tests/reports/format_cases.py -->", "<!-- end -->"

Pixels = NDArray[Any]


def _scene() -> NDArray[np.uint8]:
    """Draw smooth patches of colors, 48 x 64, unlike in every corner; lossy formats change them little."""
    y, x = np.mgrid[:48, :64]
    colors = np.stack([40 + 3 * x, 200 - 4 * (y // 8 * 8), 60 + 2 * (x // 16 * 16)], -1).astype(np.uint8)
    colors[4:16, 6:30] = (220, 40, 30)
    colors[28:44, 40:60] = (20, 60, 210)
    return colors


COLOR = _scene()
IMAGE = Image.fromarray(COLOR)
GRAY = np.asarray(IMAGE.convert("L"))
DEEP = COLOR.astype(np.uint16) * 257
DEEP_GRAY = GRAY.astype(np.uint16) * 257
FEW = GRAY >> 4
STRETCHED = FEW * np.uint8(17)
BILEVEL = GRAY > 110
PALETTE = IMAGE.quantize(16, dither=Image.Dither.NONE)
INDICES = np.asarray(PALETTE)
PALETTE_COLORS = np.asarray(PALETTE.convert("RGB"))
ALPHA = np.where(np.mgrid[:48, :64][1] > 50, 0, 255).astype(np.uint8)
CMYK = IMAGE.convert("CMYK")
LAB = IMAGE.convert("LAB")


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes
    ----------
    format, stored
        What the file is, and what kind of pixels it has.
    name
        Name of the file; most are judged by their content.
    write
        Writes the file.
    pixels
        What every reader gives, frame 0 if there are several.
    labels
        What it gives where labels are asked for, if that differs.
    remark
        What else the table says.
    tolerance
        Largest mean difference of levels, of lossy formats.
    in_memory
        Whether Pillow's image of the file is read as the file is.
    on_white
        Whether Label Studio, whose page has a white ground, shows other colors where alpha is 0.
    frames
        Number of frames.
    """

    format: str
    stored: str
    name: str
    write: Callable[[Path], object]
    pixels: Pixels
    labels: Pixels | None = None
    remark: str = ""
    tolerance: float = 0.0
    in_memory: bool = True
    on_white: bool = False
    frames: int = 1

    def __str__(self) -> str:
        return f"{self.format}, {self.stored}"

    @property
    def result(self) -> str:
        """What the table says that it is read as."""
        return f"{'RGB' if self.pixels.ndim == 3 else 'gray'}, {self.pixels.dtype}"


def saved(image: Image.Image, **options: Any) -> Callable[[Path], object]:
    """Write an image by Pillow, in the format of the file's name."""
    return lambda path: image.save(path, **options)


def encoded(encode: Callable[..., bytes], pixels: Pixels, **options: Any) -> Callable[[Path], object]:
    """Write an image by imagecodecs."""
    return lambda path: path.write_bytes(encode(np.ascontiguousarray(pixels), **options))


def tiff(pixels: Pixels, **options: Any) -> Callable[[Path], object]:
    """Write a TIFF."""
    return lambda path: tifffile.imwrite(path, pixels, metadata=None, **options)


def _thumbnail_first(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(COLOR[::8, ::8], photometric="rgb", metadata=None, subfiletype=1)
        writer.write(COLOR, photometric="rgb", metadata=None)


def _few_bits(path: Path) -> None:
    tifffile.imwrite(path, FEW, photometric="minisblack", bitspersample=4, metadata=None)


def _png_of_4_bits(path: Path) -> None:
    """Write what libpng writes of gray images with few levels, and Pillow cannot."""
    rows = b"".join(b"\0" + (row[::2] << 4 | row[1::2]).tobytes() for row in FEW)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 48, 4, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)))
    content = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b""))
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def _bmp_of_4_bits(path: Path) -> None:
    palette = b"".join(bytes((17 * level, 17 * level, 17 * level, 0)) for level in range(16))
    pixels = (FEW[::-1, ::2] << 4 | FEW[::-1, 1::2]).tobytes()
    start = 54 + len(palette)
    header = struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    shape = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 4, 0, len(pixels), 0, 0, 16, 0)
    path.write_bytes(b"BM" + header + shape + palette + pixels)


def _hyperstack(path: Path) -> None:
    tables = [np.stack([np.arange(256, dtype=np.uint8) * (c == one) for c in range(3)]) for one in range(3)]
    channels = np.moveaxis(DEEP, -1, 0)
    tifffile.imwrite(
        path, np.stack([channels, channels]), imagej=True, metadata={"axes": "TCYX", "LUTs": tables}
    )


def netpbm(header: str, pixels: Pixels) -> Callable[[Path], object]:
    """Write a Netpbm file by hand."""
    return lambda path: path.write_bytes(header.encode() + np.ascontiguousarray(pixels).tobytes())


def with_orientation(orientation: int, **options: Any) -> Callable[[Path], object]:
    """Write pixels whose EXIF says how to turn them."""

    def write(path: Path) -> None:
        exif = Image.Exif()  # made anew each time: Pillow takes the orientation out of it
        exif[0x0112] = orientation
        IMAGE.save(path, exif=exif, **options)

    return write


def _with_xmp_alone(path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    with io.BytesIO() as file:
        IMAGE.save(file, "JPEG", quality=95, subsampling=0)
        plain = file.getvalue()
    body = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    path.write_bytes(plain[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + plain[2:])


TURNED = {
    1: COLOR,
    2: COLOR[:, ::-1],
    3: COLOR[::-1, ::-1],
    4: COLOR[::-1],
    5: COLOR.transpose(1, 0, 2),
    6: np.rot90(COLOR, -1),
    7: COLOR[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(COLOR),
}
RGBA = Image.fromarray(np.dstack([COLOR, ALPHA]))
LA = Image.fromarray(np.dstack([GRAY, ALPHA]))
ANIMATION = {"save_all": True, "append_images": [IMAGE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]}

_PHOTO = {"quality": 95, "subsampling": 0}
_SHARP = {"quality": 95, "subsampling": "4:4:4"}
_LEFT_OUT = "alpha is left out"
_UPRIGHT = "turned upright"
_TIMES = "frames with their times"

_STRETCHED = "stretched to 8 bits"
_INVERTED = "inverted: its lowest value is white"
_LARGEST = "by default the largest; `--series`, `--level` choose"

TIFF_CASES = [
    Case("TIFF", "1 bit, fax", "a.tif", saved(Image.fromarray(BILEVEL), compression="group4"), BILEVEL),
    Case(
        *("TIFF", "gray, 4 bits", "a.tif", _few_bits, STRETCHED, FEW),
        remark=_STRETCHED,
    ),
    Case(
        *("TIFF", "MinIsWhite", "a.tif", tiff(255 - GRAY, photometric="miniswhite"), GRAY),
        remark=_INVERTED,
    ),
    Case(
        *("TIFF", "MinIsWhite, 16 bits", "a.tif", tiff(~DEEP_GRAY, photometric="miniswhite"), DEEP_GRAY),
        remark=_INVERTED,
        in_memory=False,
    ),
    Case(
        *("TIFF", "RGB, planar", "a.tif"),
        tiff(np.moveaxis(COLOR, -1, 0), photometric="rgb", planarconfig="separate"),
        COLOR,
        remark='`axes="TYX"` reads its samples as frames',
    ),
    Case("TIFF", "RGB, 16 bits", "a.tif", tiff(DEEP, photometric="rgb"), DEEP, in_memory=False),
    Case(
        *("TIFF", "RGB, float", "a.tif"),
        tiff(COLOR.astype(np.float32), photometric="rgb"),
        COLOR.astype(np.float32),
        in_memory=False,
    ),
    Case(
        *("TIFF", "RGB, signed bytes", "a.tif", tiff(COLOR.view(np.int8), photometric="rgb"), COLOR),
        in_memory=False,
    ),
    Case(
        *("TIFF", "YCbCr, JPEG", "a.tif"),
        saved(IMAGE.convert("YCbCr"), compression="jpeg", quality=97),
        COLOR,
        tolerance=6,
    ),
    Case(
        *("TIFF", "CMYK, planar", "a.tif"),
        tiff(np.moveaxis(np.asarray(CMYK), -1, 0), photometric="separated", planarconfig="separate"),
        np.asarray(CMYK.convert("RGB")),
        tolerance=1,
    ),
    Case("TIFF", "thumbnail first", "a.tif", _thumbnail_first, COLOR, remark=_LARGEST, in_memory=False),
    Case(
        *("TIFF", "ImageJ, with lookup tables", "a.tif", _hyperstack, DEEP),
        remark="channels: the tables are of the display",
        in_memory=False,
        frames=2,
    ),
]

CASES = [
    Case("PNG", "1 bit", "a.png", saved(Image.fromarray(BILEVEL)), BILEVEL, remark="True is white"),
    Case("PNG", "gray", "a.png", saved(Image.fromarray(GRAY)), GRAY),
    Case(*("PNG", "gray, 4 bits", "a.png", _png_of_4_bits, STRETCHED, FEW), remark=_STRETCHED),
    Case("PNG", "gray, 16 bits", "a.png", saved(Image.fromarray(DEEP_GRAY)), DEEP_GRAY),
    Case("PNG", "gray and alpha", "a.png", saved(LA), GRAY, remark=_LEFT_OUT, on_white=True),
    Case("PNG", "RGB", "a.png", saved(IMAGE), COLOR),
    Case("PNG", "RGB and alpha", "a.png", saved(RGBA), COLOR, remark=_LEFT_OUT, on_white=True),
    Case("PNG", "RGB, 16 bits", "a.png", encoded(imagecodecs.png_encode, DEEP), DEEP, in_memory=False),
    Case("PNG", "palette", "a.png", saved(PALETTE), PALETTE_COLORS, INDICES),
    Case(
        *("PNG", "palette with a transparent color", "a.png", saved(PALETTE, transparency=3)),
        *(PALETTE_COLORS, INDICES, _LEFT_OUT),
        on_white=True,
    ),
    Case(
        "PNG", "EXIF orientation 6", "a.png", with_orientation(6), TURNED[6], remark=_UPRIGHT, in_memory=False
    ),
    Case(
        "PNG", "APNG", "a.png", saved(IMAGE, **ANIMATION), COLOR, remark="frames with their times", frames=2
    ),
    Case("JPEG", "gray", "a.jpg", saved(Image.fromarray(GRAY), quality=95), GRAY, tolerance=4),
    Case("JPEG", "YCbCr", "a.jpg", saved(IMAGE, **_PHOTO), COLOR, tolerance=4),
    Case("JPEG", "CMYK", "a.jpg", saved(CMYK, **_PHOTO), np.asarray(CMYK.convert("RGB")), tolerance=4),
    *(
        Case(
            *("JPEG", f"EXIF orientation {number}", "a.jpg", with_orientation(number, **_PHOTO)),
            TURNED[number],
            remark=_UPRIGHT if number > 1 else "",
            tolerance=4,
            in_memory=number == 1,
        )
        for number in TURNED
    ),
    Case(
        *("JPEG", "orientation 6 in XMP alone", "a.jpg", _with_xmp_alone, TURNED[6]),
        remark=_UPRIGHT,
        tolerance=4,
        in_memory=False,
    ),
    Case(
        *(
            "JPEG",
            "lossless, 16 bits",
            "a.jpg",
            encoded(imagecodecs.ljpeg_encode, DEEP_GRAY, bitspersample=16),
        ),
        DEEP_GRAY,
        in_memory=False,
    ),
    Case("JPEG", "named .jfif", "a.jfif", saved(IMAGE, format="JPEG", **_PHOTO), COLOR, tolerance=4),
    Case("JPEG", "without a suffix", "a", saved(IMAGE, format="JPEG", **_PHOTO), COLOR, tolerance=4),
    Case("GIF", "palette", "a.gif", saved(PALETTE), PALETTE_COLORS, INDICES),
    Case("GIF", "gray", "a.gif", saved(Image.fromarray(GRAY)), np.dstack([GRAY] * 3)),
    Case(
        *("GIF", "animated", "a.gif", saved(PALETTE, save_all=True, append_images=[PALETTE.rotate(180)])),
        PALETTE_COLORS,
        remark=f"{_TIMES}, composed",
        frames=2,
    ),
    Case("WebP", "RGB", "a.webp", saved(IMAGE, lossless=True), COLOR),
    Case(
        *("WebP", "RGB and alpha", "a.webp", saved(RGBA, lossless=True, exact=True), COLOR),
        remark=_LEFT_OUT,
        on_white=True,
    ),
    Case(
        *("WebP", "EXIF orientation 8", "a.webp", with_orientation(8, lossless=True), TURNED[8]),
        remark=_UPRIGHT,
        in_memory=False,
    ),
    Case(
        "WebP", "animated", "a.webp", saved(IMAGE, lossless=True, **ANIMATION), COLOR, remark=_TIMES, frames=2
    ),
    Case("AVIF", "RGB", "a.avif", saved(IMAGE, **_SHARP), COLOR, tolerance=4),
    Case(
        *("AVIF", "rotation (irot, imir)", "a.avif", with_orientation(6, **_SHARP), TURNED[6]),
        remark=_UPRIGHT,
        tolerance=4,
        in_memory=False,
    ),
    Case(
        "AVIF",
        "animated",
        "a.avif",
        saved(IMAGE, **_SHARP, **ANIMATION),
        COLOR,
        remark=_TIMES,
        tolerance=4,
        frames=2,
    ),
    Case("BMP", "1 bit", "a.bmp", saved(Image.fromarray(BILEVEL)), BILEVEL),
    Case("BMP", "gray", "a.bmp", saved(Image.fromarray(GRAY)), GRAY),
    Case("BMP", "gray, 4 bits", "a.bmp", _bmp_of_4_bits, np.dstack([STRETCHED] * 3), FEW),
    Case("BMP", "palette", "a.bmp", saved(PALETTE), PALETTE_COLORS, INDICES),
    Case("BMP", "RGB", "a.bmp", saved(IMAGE), COLOR),
    Case("JPEG 2000", "gray", "a.jp2", saved(Image.fromarray(GRAY)), GRAY),
    Case(
        *("JPEG 2000", "gray, 4 bits", "a.jp2"),
        encoded(imagecodecs.jpeg2k_encode, FEW, bitspersample=4, reversible=True),
        STRETCHED,
        FEW,
        remark=_STRETCHED,
        in_memory=False,
    ),
    Case(
        *("JPEG 2000", "gray, 12 bits", "a.jp2"),
        encoded(imagecodecs.jpeg2k_encode, DEEP_GRAY >> 4, bitspersample=12, reversible=True),
        DEEP_GRAY >> 4,
        in_memory=False,
    ),
    Case("JPEG 2000", "RGB", "a.jp2", saved(IMAGE, irreversible=False), COLOR),
    Case(
        *("JPEG 2000", "RGB, 16 bits", "a.j2k", encoded(imagecodecs.jpeg2k_encode, DEEP, reversible=True)),
        DEEP,
        in_memory=False,
    ),
    Case(
        *("JPEG XL", "RGB", "a.jxl", encoded(imagecodecs.jpegxl_encode, COLOR, lossless=True), COLOR),
        in_memory=False,
    ),
    Case(
        "JPEG XR",
        "RGB",
        "a.jxr",
        encoded(imagecodecs.jpegxr_encode, COLOR, level=100),
        COLOR,
        in_memory=False,
    ),
    Case("JPEG-LS", "gray", "a.jls", encoded(imagecodecs.jpegls_encode, GRAY), GRAY, in_memory=False),
    Case("Netpbm", "PBM", "a.pbm", saved(Image.fromarray(BILEVEL)), BILEVEL),
    Case("Netpbm", "PGM", "a.pgm", saved(Image.fromarray(GRAY)), GRAY),
    Case(
        *("Netpbm", "PGM, 4 bits", "a.pgm", netpbm("P5 64 48 15\n", FEW), STRETCHED, FEW), remark=_STRETCHED
    ),
    Case(
        *("Netpbm", "PGM, 12 bits", "a.pgm", netpbm("P5 64 48 4095\n", (DEEP_GRAY >> 4).astype(">u2"))),
        DEEP_GRAY >> 4,
        in_memory=False,
    ),
    Case("Netpbm", "PPM", "a.ppm", saved(IMAGE), COLOR),
    Case(
        *("Netpbm", "PPM, 16 bits", "a.ppm", netpbm("P6 64 48 65535\n", DEEP.astype(">u2")), DEEP),
        in_memory=False,
    ),
    Case(
        *("Netpbm", "PAM, 4 bits", "a.pam"),
        netpbm("P7\nWIDTH 64\nHEIGHT 48\nDEPTH 1\nMAXVAL 15\nENDHDR\n", FEW),
        STRETCHED,
        FEW,
        remark=_STRETCHED,
        in_memory=False,
    ),
    Case(
        "Netpbm",
        "PAM, RGB and alpha",
        "a.pam",
        netpbm("P7\nWIDTH 64\nHEIGHT 48\nDEPTH 4\nMAXVAL 255\nENDHDR\n", np.dstack([COLOR, ALPHA])),
        COLOR,
        remark=_LEFT_OUT,
        in_memory=False,
    ),
    Case("Netpbm", "PFM", "a.pfm", saved(Image.fromarray(GRAY.astype(np.float32))), GRAY.astype(np.float32)),
    Case("TGA", "RGB", "a.tga", saved(IMAGE), COLOR),
    Case("TGA", "RGB and alpha", "a.tga", saved(RGBA), COLOR, remark=_LEFT_OUT, on_white=True),
    Case("QOI", "RGB", "a.qoi", saved(IMAGE), COLOR),
    Case("TIFF", "1 bit", "a.tif", saved(Image.fromarray(BILEVEL)), BILEVEL),
    Case("TIFF", "gray", "a.tif", saved(Image.fromarray(GRAY)), GRAY),
    Case("TIFF", "gray, 16 bits", "a.tif", saved(Image.fromarray(DEEP_GRAY)), DEEP_GRAY),
    Case("TIFF", "float", "a.tif", tiff(GRAY.astype(np.float32)), GRAY.astype(np.float32)),
    Case("TIFF", "RGB", "a.tif", saved(IMAGE), COLOR),
    Case("TIFF", "RGB and alpha", "a.tif", saved(RGBA), COLOR, remark=_LEFT_OUT),
    Case("TIFF", "palette", "a.tif", saved(PALETTE), PALETTE_COLORS, INDICES),
    Case("TIFF", "CMYK", "a.tif", saved(CMYK), np.asarray(CMYK.convert("RGB")), tolerance=1),
    Case("TIFF", "Lab", "a.tif", saved(LAB), np.asarray(LAB.convert("RGB")), tolerance=2),
    *(
        Case(
            *("TIFF", f"orientation {number}", "a.tif"),
            tiff(COLOR, photometric="rgb", extratags=[(274, "H", 1, number, True)]),
            TURNED[number],
            remark=_UPRIGHT,
            in_memory=False,
        )
        for number in range(2, 9)
    ),
    *TIFF_CASES,
    Case("TIFF", "named .png", "a.png", saved(IMAGE, format="TIFF"), COLOR),
]
"""Rows of the table, by format."""


def table() -> str:
    """Return the table in Markdown."""
    lines = ["| format | stored as | read as | as labels | |", "|---|---|---|---|---|"]
    for case in CASES:
        labels = "indices" if case.labels is not None else "the same"
        count = f"{case.frames} frames" if case.frames > 1 else ""
        remark = "; ".join(part for part in (case.remark, count) if part)
        lines.append(f"| {case.format} | {case.stored} | {case.result} | {labels} | {remark} |")
    return "\n".join(lines)


def written_anew(page: str) -> str:
    """Return the page with the table of the cases as they are."""
    block = f"{_BEGIN}\n{table()}\n{_END}"
    return re.sub(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", lambda _: block, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(written_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
