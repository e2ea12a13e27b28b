"""Chunks of zarr: their size when inflated, what lies in their place, and which are not written."""

import gzip
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames

STACK = np.random.default_rng(0).integers(0, 9, (4, 24, 36)).astype(np.uint16)
BOMB = 1 << 26
FORMAT_2 = {
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    "blosc": numcodecs.Blosc(),
}
FORMAT_3: dict[str, Any] = {
    "gzip": zarr.codecs.GzipCodec(),
    "zstd": zarr.codecs.ZstdCodec(),
    "blosc": zarr.codecs.BloscCodec(),
    "zlib": {"name": "numcodecs.zlib", "configuration": {"level": 1}},
}
CASES = [(2, name) for name in FORMAT_2] + [(3, name) for name in FORMAT_3]


def written(path: Path, zarr_format: int, codec: str, **options: Any) -> Path:
    compressor = (FORMAT_2 if zarr_format == 2 else FORMAT_3)[codec]
    zarr.create_array(path, data=STACK, zarr_format=zarr_format, compressors=compressor, **options)
    return path


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize(("zarr_format", "codec"), CASES)
def test_a_chunk_is_not_inflated_beyond_its_size(zarr_format: int, codec: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", zarr_format, codec, chunks=(1, 24, 36))
    key = "2.0.0" if zarr_format == 2 else "c/2/0/0"
    (path / key).write_bytes(FORMAT_2[codec].encode(bytes(BOMB)))
    with open_frames(path) as frames:
        np.testing.assert_array_equal(frames[3], STACK[3])
        tracemalloc.start()
        with pytest.raises(InputError, match="inflates to more than the 1728 bytes"):
            frames[2]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < BOMB / 4


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_shards(codec: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", 3, codec, chunks=(1, 24, 36), shards=(2, 24, 36))
    bomb = FORMAT_2[codec].encode(bytes(BOMB))
    with open_frames(path) as frames:
        np.testing.assert_array_equal(frames[3], STACK[3])
        shard = path / "c/1/0/0"
        index = np.array([[0, len(bomb)], [2**64 - 1, 2**64 - 1]], "<u8").tobytes()
        checksum = numcodecs.CRC32C().encode(index)
        shard.write_bytes(bomb + bytes(checksum))
        with pytest.raises(InputError, match="inflates to more than the 1728 bytes"):
            frames[2]


def test_filters_and_several_streams(tmp_path: Path) -> None:
    """What a filter makes longer than the pixels is no damage, nor a chunk of several streams."""
    path = tmp_path / "a.zarr"
    filters = [numcodecs.FixedScaleOffset(0, 1, "<u2", "<f8")]
    zarr.create_array(
        path, data=STACK, chunks=(1, 24, 36), zarr_format=2, filters=filters, compressors=numcodecs.GZip()
    )
    content = gzip.decompress((path / "2.0.0").read_bytes())
    (path / "2.0.0").write_bytes(gzip.compress(content[:99]) + gzip.compress(content[99:]) + b"\0\0")
    with open_frames(path) as frames:
        np.testing.assert_array_equal(frames[2], STACK[2])


def test_a_chunk_of_zlib_that_is_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", 2, "zlib", chunks=(1, 24, 36))
    (path / "2.0.0").write_bytes(zlib.compress(bytes(1728))[:-5])
    with open_frames(path) as frames, pytest.raises(InputError, match="a chunk is cut off"):
        frames[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes among the files here")
@pytest.mark.parametrize(("zarr_format", "key"), [(2, "2.0.0"), (3, "c/2/0/0")])
@pytest.mark.parametrize("codec", ["zstd", "blosc"])
def test_a_pipe_in_the_place_of_a_chunk(zarr_format: int, key: str, codec: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", zarr_format, codec, chunks=(1, 24, 36))
    (path / key).unlink()
    os.mkfifo(path / key)
    with open_frames(path) as frames, pytest.raises(InputError, match=f"{key} in it is a pipe"):
        frames[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes among the files here")
def test_a_pipe_in_the_place_of_metadata(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", 2, "zstd", chunks=(1, 24, 36))
    (path / ".zattrs").unlink()
    os.mkfifo(path / ".zattrs")
    with pytest.raises(InputError, match=r"\.zattrs in it is a pipe"):
        open_frames(path)


LAYOUTS: list[dict[str, Any]] = [
    {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    {"zarr_format": 3},
    {"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}},
    {"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    {"zarr_format": 3, "shards": (2, 24, 36)},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("opened", [False, True])
def test_frames_at_the_end_that_were_never_written(
    layout: dict[str, Any], opened: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    array = zarr.create_array(
        path, shape=(10, 24, 36), dtype="u2", chunks=(1, 12, 36), fill_value=7, **layout
    )
    source = array if opened else path
    array[2:6] = 1
    with open_frames(source) as frames:
        assert (
            "frames 6 to 9 have no chunk (never written, or only with the fill value)" in frames.description
        )
        assert "and are read as the fill value 7" in frames.description
        assert (frames[9] == 7).all()
    array[8, 12:] = 1
    last = "frame 9 has no chunk" in open_frames(source).description
    assert last == ("shards" not in layout)
    array[9, 12:] = 1
    assert "no chunk" not in open_frames(source).description


def test_frames_along_the_last_axis_that_were_never_written(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(24, 36, 5), dtype="u1", chunks=(12, 12, 1))
    assert "frames 0 to 4 have no chunk" in open_frames(tmp_path / "a.zarr", axes="YXT").description
    array[20, 20, 2] = 1
    assert "frames 3 to 4 have no chunk" in open_frames(tmp_path / "a.zarr", axes="YXT").description


def test_of_a_store_of_too_many_chunks_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sam2_engine.frames.chunks.written._MAX_LISTED", 3)
    array = zarr.create_array(tmp_path / "a.zarr", shape=(10, 24, 36), dtype="u1", chunks=(1, 24, 36))
    array[:5] = 1
    assert "no chunk" not in open_frames(tmp_path / "a.zarr").description
