"""Chunks of zarr inflated with a bound: a few bytes of a damaged store would fill the memory otherwise."""

import asyncio
import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numcodecs.abc
import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BytesCodec, ShardingCodec

__all__ = ["with_bounded_codecs"]

_OF_BLOSC, _OF_LZ4 = slice(4, 8), slice(0, 4)
_DECLARED = {"blosc": _OF_BLOSC, "lz4": _OF_LZ4}
"""Where a chunk says how long its content is, lowest byte first; these codecs make no more than that."""
_STREAMED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "gzip": lambda config: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "zlib": lambda config: zlib.decompressobj(),
    "bz2": lambda config: bz2.BZ2Decompressor(),
    "lzma": lambda config: lzma.LZMADecompressor(config.get("format") or 1, filters=config.get("filters")),
}
_ZSTD = "zstd"
_ITEM_OF_OTHERS, _OVERHEAD = 32, 1024
"""Bytes of an item and of a chunk that other codecs may have made before: filters, an index of a shard."""


def with_bounded_codecs(metadata: Any) -> Any:
    """Return the metadata of an array with codecs that refuse a chunk longer than what they were given."""
    if metadata.zarr_format == 3:
        return replace(metadata, codecs=_bounded(metadata.codecs))
    filters = tuple(metadata.filters or ())
    limit = _limit(metadata.chunks, metadata.dtype, plain=not filters)
    chain = [_bounded_of_format_2(codec, limit) for codec in (*filters, metadata.compressor)]
    return replace(metadata, filters=chain[:-1] or None, compressor=chain[-1])


def _bounded(codecs: Sequence[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    for number, codec in enumerate(codecs):
        if isinstance(codec, ShardingCodec):
            found.append(replace(codec, codecs=_bounded(codec.codecs)))
        elif isinstance(codec, BytesBytesCodec) and _is_known(name := _name(codec)):
            plain = isinstance(codecs[number - 1], BytesCodec)
            found.append(_BoundedCodec(codec, name, plain))
        else:
            found.append(codec)
    return tuple(found)


def _bounded_of_format_2(codec: Any, limit: int) -> Any:
    known = _is_known(getattr(codec, "codec_id", ""))
    return _BoundedCompressor(codec, limit) if known else codec


def _name(codec: Any) -> str:
    return str(codec.to_dict().get("name", "")).removeprefix("numcodecs.")


def _is_known(name: str) -> bool:
    return name in _DECLARED or name in _STREAMED or name == _ZSTD


def _limit(shape: Sequence[int], dtype: Any, *, plain: bool) -> int:
    """Return how many bytes a codec was given at most for a chunk."""
    # Only since zarr 3.1 are types more than those of numpy.
    native = dtype.to_native_dtype() if hasattr(dtype, "to_native_dtype") else np.dtype(dtype)
    size, items = int(native.itemsize), math.prod(shape)
    return size * items if plain else max(size, _ITEM_OF_OTHERS) * items + _OVERHEAD


@dataclass(frozen=True)
class _BoundedCodec(BytesBytesCodec):  # type: ignore[misc]
    """A codec of format 3 within a bound."""

    codec: Any
    name: str
    plain: bool
    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """Return what the codec is in the metadata."""
        return dict(self.codec.to_dict())

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return how long a chunk is, if that is known."""
        length: int = self.codec.compute_encoded_size(input_byte_length, chunk_spec)
        return length

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        limit = _limit(chunk_spec.shape, chunk_spec.dtype, plain=self.plain)
        config = self.codec.to_dict().get("configuration", {})
        content = await asyncio.to_thread(_inflate, self.name, config, chunk_bytes.to_bytes(), limit)
        if content is None:
            return await self.codec._decode_single(chunk_bytes, chunk_spec)
        return chunk_spec.prototype.buffer.from_bytes(content)


class _BoundedCompressor(numcodecs.abc.Codec):  # type: ignore[misc]
    """A codec of format 2 within a bound."""

    codec_id = ""  # zarr looks for it in the class

    def __init__(self, codec: Any, limit: int) -> None:
        self.codec_id = codec.codec_id
        self._codec, self._limit = codec, limit

    def get_config(self) -> dict[str, Any]:
        return dict(self._codec.get_config())

    def encode(self, buf: Any) -> Any:
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        content = _inflate(self.codec_id, self.get_config(), memoryview(buf).tobytes(), self._limit)
        return self._codec.decode(buf, out) if content is None else content


def _inflate(name: str, config: Mapping[str, Any], data: bytes, limit: int) -> bytes | None:
    """Return the content of a chunk; None if the codec itself keeps the bound."""
    if name == _ZSTD:
        return _inflated_by_zstd(data, limit)
    if name in _STREAMED:
        return _streamed(name, config, data, limit)
    if int.from_bytes(data[_DECLARED[name]], "little") > limit:
        raise _too_long(limit)
    return None


def _streamed(name: str, config: Mapping[str, Any], data: bytes, limit: int) -> bytes:
    parts, room = [], limit + 1
    while data:
        stream = _STREAMED[name](config)
        parts.append(stream.decompress(data, room))
        room -= len(parts[-1])
        if room < 1:
            raise _too_long(limit)
        if not stream.eof:
            raise ValueError("a chunk is cut off")
        # Several streams one after the other are one content, except of zlib; gzip may end with zeros.
        data = b"" if name == "zlib" else stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _inflated_by_zstd(data: bytes, limit: int) -> bytes:
    try:
        return bytes(imagecodecs.zstd_decode(data, out=limit + 1))
    except imagecodecs.ZstdError as error:
        if "too small" in str(error):
            raise _too_long(limit) from error
        raise ValueError(f"a chunk is damaged ({error})") from error


def _too_long(limit: int) -> ValueError:
    return ValueError(f"a chunk is damaged: it inflates to more than the {limit} bytes that it has")
