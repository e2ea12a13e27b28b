"""Frames of a zarr array on disk that have no chunk, as an acquisition that stopped early leaves them."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore, WrapperStore

from sam2_engine.frames.axes import AxisPlan

__all__ = ["unwritten_frames"]

_MAX_LISTED = 1 << 16
"""So many entries of folders are listed at most; of larger stores nothing is said."""


def unwritten_frames(array: Any, plan: AxisPlan) -> str:
    """Say which frames at the end have no chunk and are read as the fill value; empty if none, or unknown.

    Zarr may leave out chunks that hold nothing else, so such frames are described, not refused.
    """
    folder = _folder(array)
    if plan.axis not in plan.axes or folder is None:
        return ""
    axis = plan.axes.index(plan.axis)
    first_key = array.metadata.encode_chunk_key((0,) * array.ndim)
    positions = list(islice(_positions(folder, first_key, array.ndim, axis), _MAX_LISTED + 1))
    if len(positions) > _MAX_LISTED:
        return ""
    first, count = (max(positions, default=-1) + 1) * (array.shards or array.chunks)[axis], array.shape[axis]
    if first >= count:
        return ""
    frames = f"frame {first} has" if first == count - 1 else f"frames {first} to {count - 1} have"
    return (
        f"{frames} no chunk (never written, or only with the fill value) "
        f"and {'is' if first == count - 1 else 'are'} read as the fill value {array.fill_value}"
    )


def _folder(array: Any) -> Path | None:
    """Return the folder of an array on disk, whose chunks are listed quickly."""
    store = array.store
    while isinstance(store, WrapperStore):
        store = store._store
    return Path(store.root) / array.path if isinstance(store, LocalStore) else None


def _positions(folder: Path, first_key: str, ndim: int, axis: int) -> Iterator[int]:
    """Yield something for each entry that is listed: where on the axis a chunk lies, or -1.

    The first key is that of a chunk: ``0.0.0``, ``0/0/0`` or ``c/0/0/0``.
    """
    separator = "/" if "/" in first_key else "."
    place = axis + len(first_key.split(separator)) - ndim
    folders = [folder]
    for depth in range(place + 1 if separator == "/" else 1):
        inside = []
        for one in folders:
            with os.scandir(one) as entries:
                for entry in entries:
                    parts = [*[""] * depth, entry.name] if separator == "/" else entry.name.split(".")
                    is_part = len(parts) > place and parts[place].isdecimal()
                    yield int(parts[place]) if is_part else -1
                    if entry.is_dir():
                        inside.append(Path(entry.path))
        folders = inside
