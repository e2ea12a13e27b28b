"""Kinds of files by their content; a suffix only decides between formats that have no signature."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["DICOM", "HDF5", "IMAGES", "NUMPY", "REFUSED", "TIFF", "VIDEO", "kind_of"]

DICOM, TIFF, NUMPY, VIDEO, HDF5 = "DICOM", "TIFF", "NumPy", "video", "HDF5"

_START = 512
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "NumPy": (b"\x93NUMPY",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG-LS": (b"\xff\xd8\xff\xf7",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "JPEG2000": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "JPEG XR": (b"II\xbc\x01",),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "QOI": (b"qoif",),
    "PSD": (b"8BPS",),
    "ICNS": (b"icns",),
    "ICO": (b"\0\0\1\0",),
    "DDS": (b"DDS ",),
    "BLP": (b"BLP1", b"BLP2"),
    "FTEX": (b"FTEX", b"FTC\0"),
    "FITS": (b"SIMPLE  =",),
    "XPM": (b"/* XPM */",),
    "SUN": (b"\x59\xa6\x6a\x95",),
    "PIXAR": (b"\200\350\0\0",),
    "MCIDAS": (b"\0\0\0\0\0\0\0\4",),
    "MSP": (b"DanM", b"LinS"),
    "DCX": (b"\xb1\x68\xde\x3a",),
    "PostScript": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "PDF": (b"%PDF-",),
    "WMF": (b"\xd7\xcd\xc6\x9a\0\0",),
    HDF5: (b"\x89HDF\r\n\x1a\n",),
    "Git LFS": (b"version https://git-lfs",),
    "GRIB": (b"GRIB",),
    "BUFR": (b"BUFR",),
    VIDEO: (
        b"\x1a\x45\xdf\xa3",
        b"FLV\1",
        b"OggS",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
        b"DKIF",
        b"\0\0\1\xba",
    ),
}
_NETPBM = re.compile(rb"(P[1-6Ff])\s+[#\d]")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_BY_SUFFIX = {
    **dict.fromkeys((".tga", ".icb", ".vda", ".vst"), "TGA"),
    **dict.fromkeys((".fli", ".flc"), "FLI"),
    **dict.fromkeys((".sgi", ".rgb", ".rgba", ".bw"), "SGI"),
    **dict.fromkeys((".spider", ".spi"), "SPIDER"),
    ".cur": "CUR",
    ".pcx": "PCX",
    ".dib": "DIB",
    ".im": "IM",
    ".imt": "IMT",
    ".iim": "IPTC",
    ".pcd": "PCD",
    ".gbr": "GBR",
    ".xbm": "XBM",
    ".ppm": "PPM",
    **dict.fromkeys((".tif", ".tiff"), TIFF),
    ".npz": "NPZ",
}
"""Formats without a signature, or with one of so few bytes that other files have it too."""

REFUSED = {
    "PostScript": "is PostScript, which is drawn by running a program; export it as PNG or TIFF",
    "PDF": "is a PDF, a document of pages; export the page as PNG or TIFF",
    "SVG": "is a drawing (SVG), which has no pixels yet; export it as PNG",
    "WMF": "is a drawing for Windows (WMF or EMF), which has no pixels yet; export it as PNG",
    "HDF5": "is HDF5, where an image may have any name; read it with h5py and give the array",
    "NPZ": "is an archive of NumPy arrays, of which no part can be read by itself; load it with np.load "
    "and save the one array that is meant as .npy",
    "GRIB": "is GRIB, weather data; read it with cfgrib and give the array",
    "BUFR": "is BUFR, weather data; read it with eccodes and give the array",
    "HTML": "is a web page, not an image; download the image itself",
    "Git LFS": "is a pointer of Git LFS, not the file; fetch it with `git lfs pull`",
}
"""Kinds that are recognized and not read: why, and how to mend it."""

IMAGES = (
    frozenset(_SIGNATURES)
    | frozenset(_BY_SUFFIX.values())
    | {"BMP", "WEBP", "AVIF", "HEIF", "PPM", "PAM", "XVTHUMB"}
).difference(REFUSED, (NUMPY, VIDEO))
"""Kinds that are images, TIFF stacks among them."""


def kind_of(path: Path) -> str | None:
    """Return what a file is, judged by its first bytes; ``None`` if nothing is known that begins so.

    Raises
    ------
    OSError
        If it cannot be opened, or is no file: of a pipe nobody knows when it begins to tell.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, no file", str(path))
    with path.open("rb") as file:
        start = file.read(_START)
    return next((kind for kind in (judge(start) for judge in _JUDGES) if kind), None) or _by_suffix(
        path, start
    )


def _dicom(start: bytes) -> str | None:
    """DICOM first: its preamble may be the header of another format (PS3.10, section 7.1)."""
    return DICOM if start[128:132] == b"DICM" else None


def _signature(start: bytes) -> str | None:
    if start.startswith(_TIFF):
        return TIFF
    return next((kind for kind, signs in _SIGNATURES.items() if start.startswith(signs)), None)


def _container(start: bytes) -> str | None:
    """RIFF, and boxes of ISO 14496-12."""
    if start[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": VIDEO}.get(start[8:12])
    if start[4:8] != b"ftyp":
        return VIDEO if start[4:8] in (b"moov", b"mdat", b"wide", b"free") else None
    length = int.from_bytes(start[:4], "big")
    brands = [start[8:12], *(start[i : i + 4] for i in range(16, min(length, len(start)), 4))]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "AVIF"
    return "HEIF" if brands[0] in _HEIF_BRANDS else VIDEO


def _weak(start: bytes) -> str | None:
    """Signatures of two or three bytes, with what has to follow them."""
    if match := _NETPBM.match(start):
        return "PAM" if match[1] == b"PF" else "PPM"
    if start.startswith((b"P7 332", b"P7\n", b"P7\r\n")):
        return "XVTHUMB" if start.startswith(b"P7 332") else "PAM"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    head = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "SVG"
    if head[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "WMF" if start[:4] == b"\1\0\0\0" and start[40:44] == b" EMF" else None


def _by_suffix(path: Path, start: bytes) -> str | None:
    kind = _BY_SUFFIX.get(path.suffix.lower())
    return None if kind == "PPM" and start[:1] != b"P" else kind


_JUDGES: tuple[Callable[[bytes], str | None], ...] = (_dicom, _signature, _container, _weak)
