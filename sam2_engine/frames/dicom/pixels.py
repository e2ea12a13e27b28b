"""Pixels of DICOM frames: decoded, as gray or RGB, in the units of the modality."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.dicom.codecs import register_codecs
from sam2_engine.frames.dicom.headers import element, numbers, text
from sam2_engine.frames.dicom.records import FrameRecord
from sam2_engine.frames.libraries import quiet
from sam2_engine.frames.source import FillRange, explain

__all__ = ["PixelReader", "declared_dtype", "is_inverted", "padding_of"]

_INVERTED = "MONOCHROME1"
_GRAY = ("MONOCHROME2", _INVERTED, "")
_PALETTE = "PALETTE COLOR"
_SYNTAXES = {  # by implicit VR and little endian, for files that do not name their transfer syntax
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}


class PixelReader:
    """Reads frames one at a time; of files that cannot be read in parts, the last one is kept."""

    def __init__(self, pydicom: Any) -> None:
        self._pydicom = pydicom
        self._whole: tuple[Path, Any] | None = None
        register_codecs()

    def read(self, record: FrameRecord) -> NDArray[Any]:
        """Return a frame, ``(H, W)`` or ``(H, W, 3)``.

        Raises
        ------
        InputError
            If it cannot be decoded; the sentence names the file.
        """
        with quiet():
            try:
                return self._in_units(record, self._decode(record))
            except Exception as error:
                raise InputError(_sentence(record, error)) from error

    def _decode(self, record: FrameRecord) -> NDArray[Any]:
        options = _defaults(record.header)
        if syntax := _guessed_syntax(record.header):
            options["transfer_syntax_uid"] = syntax
        count = int(next(iter(numbers(record.header, "NumberOfFrames")), 1))
        index = record.index if count > 1 else 0
        try:
            pixels: NDArray[Any] = self._pydicom.pixels.pixel_array(record.file, index=index, **options)
        except Exception:
            dataset = self._dataset(record.file, options.pop("transfer_syntax_uid", ""))
            pixels = self._pydicom.pixels.pixel_array(dataset, index=index, **options)
        return pixels

    def _dataset(self, file: Path, syntax: str) -> Any:
        """Return a file read as a whole: deflated ones, and some that break the rules."""
        if self._whole is None or self._whole[0] != file:
            dataset = self._pydicom.dcmread(file, force=True)
            if syntax:
                dataset.file_meta.TransferSyntaxUID = syntax
            self._whole = file, dataset
        return self._whole[1]

    def _in_units(self, record: FrameRecord, pixels: NDArray[Any]) -> NDArray[Any]:
        header, kind = record.header, text(record.header, "PhotometricInterpretation").upper()
        if pixels.ndim == 3:
            if pixels.shape[2] != 3:
                raise ValueError(f"its photometric interpretation {kind} is neither gray nor RGB")
            return pixels
        if kind == _PALETTE:
            colors: NDArray[Any] = self._pydicom.pixels.apply_color_lut(pixels, header)
            if colors.dtype == np.uint16:
                colors = (colors >> (8 if _is_wide(header) else 0)).astype(np.uint8)
            return colors[..., :3]
        if kind not in _GRAY:
            raise ValueError(f"its photometric interpretation {kind} does not fit one sample per pixel")
        if int(next(iter(numbers(header, "BitsAllocated")), 8)) == 1:
            pixels = pixels.astype(bool)
        if kind == _INVERTED:
            pixels = _inverted(pixels, header)
        if header.get("ModalityLUTSequence"):
            return np.asarray(self._pydicom.pixels.apply_modality_lut(pixels, header))
        return rescaled(pixels, record)


def _defaults(header: Any) -> dict[str, Any]:
    """Return what old files (ACR-NEMA) leave to be understood."""
    samples = int(next(iter(numbers(header, "SamplesPerPixel")), 1))
    usual = {
        "SamplesPerPixel": ("samples_per_pixel", samples),
        "PhotometricInterpretation": ("photometric_interpretation", "MONOCHROME2" if samples == 1 else "RGB"),
        "PixelRepresentation": ("pixel_representation", 0),
        "BitsStored": ("bits_stored", int(next(iter(numbers(header, "BitsAllocated")), 8))),
        "PlanarConfiguration": ("planar_configuration", 0),
    }
    return {name: value for keyword, (name, value) in usual.items() if not text(header, keyword)}


def _is_wide(header: Any) -> bool:
    """Whether the palette uses all of its 16 bits; some files hold 8-bit colors in them."""
    tables = [element(header, f"{color}PaletteColorLookupTableData") for color in ("Red", "Green", "Blue")]
    stored = [
        np.frombuffer(table, "<u2") for table in tables if isinstance(table, bytes) and len(table) % 2 == 0
    ]
    return not stored or max(int(table.max(initial=0)) for table in stored) > 255


def rescaled(pixels: NDArray[Any], record: FrameRecord) -> NDArray[Any]:
    """Apply slope and intercept; in as many digits as the stored values need."""
    if (record.slope, record.intercept) == (1, 0):
        narrow = pixels.dtype == np.uint8 and 1 < next(iter(numbers(record.header, "BitsStored")), 8) < 8
        return pixels.astype(np.uint16) if narrow else pixels  # 8-bit pixels would pass as they are: dark
    kind = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    values: NDArray[Any] = pixels * kind(record.slope) + kind(record.intercept)
    return values


def _inverted(pixels: NDArray[Any], header: Any) -> NDArray[Any]:
    """Return gray levels of which high ones are bright, as viewers show them."""
    if pixels.dtype.kind == "b":
        return ~pixels
    if pixels.dtype.kind == "f":
        return -pixels
    bits = int(next(iter(numbers(header, "BitsStored")), 8 * pixels.dtype.itemsize))
    if pixels.dtype.kind == "i":
        return ~pixels
    white = (1 << bits) - 1
    inverted: NDArray[Any] = white - np.minimum(pixels, pixels.dtype.type(white))
    return inverted


def is_inverted(header: Any) -> bool:
    """Whether the lowest stored value is white."""
    return text(header, "PhotometricInterpretation").upper() == _INVERTED


def declared_dtype(header: Any) -> "np.dtype[Any]":
    """Return the type of a file's stored values, as its header has it."""
    bits = int(next(iter(numbers(header, "BitsAllocated")), 8))
    signed = bool(next(iter(numbers(header, "PixelRepresentation")), 0))
    return np.dtype(bool) if bits == 1 else np.dtype(f"{'i' if signed else 'u'}{max(1, min(8, bits // 8))}")


def padding_of(record: FrameRecord) -> list[FillRange]:
    """Return the padding that a file declares (PS3.3, C.7.5.1.1.2), in the units of its pixels."""
    header = record.header
    value, limit = numbers(header, "PixelPaddingValue"), numbers(header, "PixelPaddingRangeLimit")
    if not value or numbers(header, "SamplesPerPixel") not in ((), (1.0,)):
        return []
    dtype = declared_dtype(header)
    if dtype.kind == "b":
        return []
    ends = np.array([_stored(end, dtype) for end in (value[0], *(limit[:1] or value[:1]))])
    pixels = np.clip(ends, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    if is_inverted(header):
        pixels = _inverted(pixels, header)
    low, high = sorted(float(end) for end in rescaled(pixels, record))
    return [(low, high)]


def _stored(value: float, dtype: "np.dtype[Any]") -> int:
    """Return a value as signed pixels hold it: files exist whose -2000 is written as an unsigned 63536."""
    number, bits = int(value), 8 * dtype.itemsize
    if dtype.kind == "i" and number >= 1 << (bits - 1):
        return number - (1 << bits)
    return number + (1 << bits) if dtype.kind == "u" and number < 0 else number


def _guessed_syntax(header: Any) -> str:
    """Return the transfer syntax of a file that does not name one; empty if it does."""
    meta = getattr(header, "file_meta", None)
    if meta is not None and text(meta, "TransferSyntaxUID"):
        return ""
    return _SYNTAXES.get(tuple(header.original_encoding), _SYNTAXES[True, True])


def _codec(header: Any) -> str:
    """Return the name of the compression of a file, empty where there is none."""
    syntax = element(getattr(header, "file_meta", None) or {}, "TransferSyntaxUID")
    encapsulated = getattr(syntax, "is_transfer_syntax", False) and syntax.is_encapsulated
    return str(syntax.name) if encapsulated else ""


def _sentence(record: FrameRecord, error: Exception) -> str:
    """Say what is wrong with a file, and what would read it."""
    name, reason = record.file.name, str(error)
    if isinstance(error, NotImplementedError | RuntimeError) and (codec := _codec(record.header)):
        if "MPEG" in codec or "HEVC" in codec:
            return f"{name} holds a film ({codec}); export it as MP4 and open that."
        if "missing dependencies" in reason or isinstance(error, NotImplementedError):
            return (
                f"{name} is compressed as {codec}, which nothing here decodes; "
                "pip install pylibjpeg[all], or export it uncompressed."
            )
    if "no pixel data to decode" in reason or "has no 'Pixel Data'" in reason:
        return f"{name} cannot be read (it has no pixel data); give a file with an image."
    return f"{name} cannot be read ({explain(error)}); copy or export it again, or leave it out."
