"""The masks of one object as columns of a zarr group: few files, read at once.

One row per frame, sorted. ``bits`` and ``logits`` hold the rows' bytes one after the other; row i's end at
``bits_end[i]``. ``docs/session-format.md`` describes each column.
"""

import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.source import explain
from sam2_engine.limits import check_bytes
from sam2_engine.masks import CompressedMask
from sam2_engine.wording import plural
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskRemark, MaskScores, PackedLogits

__all__ = ["read_masks", "write_masks"]


def write_masks(folder: Path, shape: tuple[int, int], masks: Mapping[int, AcceptedMask]) -> None:
    """Write an object's masks by frame into a new zarr group; what a crash left there is replaced."""
    if folder.exists():
        shutil.rmtree(folder)
    rows = [masks[frame] for frame in sorted(masks)]
    columns: dict[str, NDArray[Any]] = {
        "frame": np.array(sorted(masks), np.int64),
        "origin": np.array([row.origin for row in rows], np.uint8),
        "scores": np.array(
            [(row.scores.presence, row.scores.predicted_iou, row.scores.stability) for row in rows],
            np.float64,
        ).reshape(-1, 3),
        "box": np.array([[(s.start, s.stop) for s in row.mask.box] for row in rows], np.int64).reshape(-1, 4),
        **_concatenate("bits", [row.mask.bits for row in rows]),
        "logits_scale": np.array(
            [row.logits.scale if row.logits else (0, 0) for row in rows], np.float64
        ).reshape(-1, 2),
        "logits_window": np.array(
            [(*row.logits.corner, *row.logits.size) if row.logits else (0, 0, 0, 0) for row in rows],
            np.float64,
        ).reshape(-1, 4),
        "remark": np.array([row.remark for row in rows], np.uint8),
        **_concatenate("logits", [row.logits.values if row.logits else b"" for row in rows]),
    }
    group = zarr.create_group(store=str(folder), attributes={"shape": list(shape)})
    for name, column in columns.items():
        array = group.create_array(name, shape=column.shape, dtype=column.dtype, chunks=_chunks(column.shape))
        if column.size:
            array[...] = column


def read_masks(folder: Path) -> tuple[dict[int, AcceptedMask], str]:
    """Read an object's masks by frame; return also, in words, which are damaged and left out.

    Raises
    ------
    InputError
        If one may not read them: they are not damaged.
    """
    try:
        group = zarr.open_group(store=str(folder), mode="r")
        height, width = (int(side) for side in _attribute(group, "shape"))
        columns = {name: _column(group, name, folder / name) for name in _COLUMNS}
        count = len(columns["frame"])
        has_remarks = "remark" in group  # earlier versions noticed nothing
        columns["remark"] = (
            _column(group, "remark", folder / "remark") if has_remarks else np.zeros(count, np.uint8)
        )
        rows = _rows(columns)
        frames = columns["frame"].tolist()
    except PermissionError as error:
        raise InputError(os_error_sentence(error, folder)) from None
    except _DAMAGE as error:
        return {}, f"all ({explain(error)})"
    masks, damaged = {}, []
    for frame, row in zip(frames, rows, strict=True):
        try:
            masks[frame] = _mask((height, width), *row)
        except _DAMAGE:
            damaged.append(frame)
    shown = ", ".join(map(str, damaged[:5])) + (" and others" if len(damaged) > 5 else "")
    return masks, f"{plural(len(damaged), 'frame')} {shown}" if damaged else ""


_Row = tuple[int, list[float], list[int], bytes, list[float], list[float], bytes, int]


def _rows(columns: Mapping[str, NDArray[Any]]) -> Iterator[_Row]:
    """Return the rows of all columns but ``frame``, as plain values: a row at a time they take far longer."""
    plain = (columns[name].tolist() for name in ("origin", "scores", "box"))
    logits = (columns[name].tolist() for name in ("logits_scale", "logits_window"))
    packed = _split(columns, "bits"), *logits, _split(columns, "logits")
    return zip(*plain, *packed, columns["remark"].tolist(), strict=True)


def _mask(
    shape: tuple[int, int],
    origin: int,
    scores: list[float],
    box: list[int],
    bits: bytes,
    scale: list[float],
    window: list[float],
    logits: bytes,
    remark: int,
) -> AcceptedMask:
    """Return the mask of one row.

    Raises
    ------
    ValueError, OverflowError, zlib.error
        If it is damaged.
    """
    top, bottom, left, right = box
    if not (0 <= top <= bottom <= shape[0] and 0 <= left <= right <= shape[1]):
        raise ValueError("the box lies outside")
    if len(zlib.decompress(bits)) != (bottom - top) * ((right - left + 7) // 8):
        raise ValueError("the bits do not fill the box")
    mask = CompressedMask(shape, (slice(top, bottom), slice(left, right)), bits)
    packed = None
    if logits:
        row, column, height, width = window
        packed = PackedLogits((scale[0], scale[1]), (row, column), (int(height), int(width)), logits)
    return AcceptedMask(mask, MaskOrigin(origin), MaskScores(*scores), packed, MaskRemark(remark))


_MAX_CHUNKS = 4096
_DAMAGE = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    OverflowError,
    RuntimeError,
    OSError,
    MemoryError,
    zlib.error,
)
_COLUMNS = (
    *("frame", "origin", "scores", "box", "bits", "bits_end"),
    *("logits_scale", "logits_window", "logits", "logits_end"),
)


def _attribute(group: zarr.Group, name: str) -> Any:
    return group.attrs[name]


def _column(group: zarr.Group, name: str, folder: Path) -> NDArray[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array) or array.nchunks > _MAX_CHUNKS:
        raise ValueError(f"{name} is not what was written")
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    check_bytes(name, array.shape, array.nbytes, held, ratio=1000)
    return np.asarray(array[...])


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, min(side, 1 << 22)) for side in shape)


def _concatenate(name: str, parts: list[bytes]) -> dict[str, NDArray[Any]]:
    data = np.frombuffer(b"".join(parts), np.uint8)
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return {name: data, f"{name}_end": ends}


def _split(columns: Mapping[str, NDArray[Any]], name: str) -> list[bytes]:
    data, ends = columns[name].tobytes(), columns[f"{name}_end"].tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends)]
