"""Stores of zarr that refuse what is no file, and chunks that are cut off."""

import stat
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import BloscCodec
from zarr.storage import LocalStore, StorePath, WrapperStore

from sam2_engine.frames.chunks.inflating import with_bounded_codecs

__all__ = ["open_node", "with_checked_chunks"]

_BLOSC_HEADER, _BLOSC_LENGTH = 16, slice(12, 16)
"""Bytes of a chunk of Blosc (format 2) before its content, and of those its length, lowest first."""


def open_node(path: Path) -> Any:
    """Open a zarr array or group on disk for reading; of a folder, only files are read."""
    return zarr.open(_FilesOnly(LocalStore(path, read_only=True)) if path.is_dir() else path, mode="r")


def with_checked_chunks(array: Any) -> Any:
    """Return a zarr array whose chunks are refused if they are no files, cut off, or too long.

    Blosc copies what it could not compress, and goes on in the memory behind a chunk that is too short. All
    other codecs notice.
    """
    metadata, store = array.metadata, array.store
    if not isinstance(store, _FilesOnly):
        store = _FilesOnly(store)
    if _is_of_blosc(metadata):
        store = _WholeChunks(store)
    where = StorePath(store, array.path)
    return zarr.Array(zarr.AsyncArray(metadata=with_bounded_codecs(metadata), store_path=where))


def _is_of_blosc(metadata: Any) -> bool:
    """Whether what lies in the store was written by Blosc, after all other codecs."""
    if metadata.zarr_format == 2:
        return getattr(metadata.compressor, "codec_id", "") == "blosc"
    return isinstance(metadata.codecs[-1], BloscCodec)


class _FilesOnly(WrapperStore[Any]):  # type: ignore[misc]
    """A store that does not wait for a pipe or a device."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what is stored under a key.

        Raises
        ------
        ValueError
            If it lies in a folder, and is no file.
        """
        if isinstance(self._store, LocalStore) and _is_special(Path(self._store.root) / key):
            raise ValueError(f"{key} in it is a pipe or a device, not a file")
        return await super().get(key, prototype, byte_range)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:  # the store says what is wrong, or that nothing is there
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


class _WholeChunks(WrapperStore[Any]):  # type: ignore[misc]
    """A store that knows how long a chunk of Blosc has to be."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what is stored under a key.

        Raises
        ------
        ValueError
            If it is a chunk that is cut off.
        """
        content = await super().get(key, prototype, byte_range)
        name = key.rpartition("/")[2]
        if content is None or byte_range is not None or name.startswith(".") or name == "zarr.json":
            return content
        there, length = len(content), _BLOSC_HEADER
        if there >= length:
            length = int.from_bytes(content[:length].to_bytes()[_BLOSC_LENGTH], "little")
        if there < length:
            raise ValueError(f"its chunk {key} is cut off, {there} of {length} bytes are there")
        return content
