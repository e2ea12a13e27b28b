"""What a header asks for is looked at before it is allocated; what is large and right is read."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from sam2_engine import limits
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.limits import FrameTooLargeError, available_memory


def with_tag(path: Path, code: int, value: int) -> Path:
    """Give a tag of the first page of a little-endian TIFF another value."""
    content = bytearray(path.read_bytes())
    (page,) = struct.unpack_from("<I", content, 4)
    for at in range(page + 2, page + 2 + 12 * content[page], 12):
        if struct.unpack_from("<H", content, at) == (code,):
            struct.pack_into("<HHII", content, at, code, 4, 1, value)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("codec", [None, "zlib", "lzw", "packbits", "zstd"])
def test_a_tiff_with_more_rows_than_it_can_hold(codec: str | None, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((2000, 32), np.uint8), compression=codec, rowsperstrip=1, byteorder="<"
    )
    with pytest.raises(InputError, match=r"a\.tif is damaged: .* an image of 16700000 x 32"):
        open_frames(with_tag(tmp_path / "a.tif", 257, 16_700_000))


def png(path: Path, width: int, height: int, bits: int = 8, color: int = 2) -> Path:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = (
        chunk(b"IHDR", header)
        + chunk(b"PLTE", bytes(6))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_a_png_of_more_pixels_than_it_can_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png is damaged: .* 20000 x 20000"):
        open_frames(png(tmp_path / "a.png", 20_000, 20_000))


@pytest.mark.parametrize(("bits", "color"), [(1, 0), (2, 3), (8, 3), (8, 2)])
def test_so_are_fewer_pixels_that_deflate_cannot_hold_either(bits: int, color: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png is damaged: .* 4587544 x 32"):
        open_frames(png(tmp_path / "a.png", 32, 4_587_544, bits, color))


def test_so_are_those_of_a_file_that_is_not_compressed(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6 6000 6000 255 " + bytes(1000))
    with pytest.raises(InputError, match=r"a\.ppm is damaged: .* 6000 x 6000"):
        open_frames(tmp_path / "a.ppm")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_blank_scan_is_read_however_small_it_is(
    mode: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_HARMLESS", 0)
    monkeypatch.setattr(limits, "_SMALL", 0)
    options = {"compression": "tiff_deflate"} if suffix == "tif" else {}
    Image.new(mode, (3000, 3000), 1 if mode != "RGB" else "white").save(tmp_path / f"a.{suffix}", **options)
    with open_frames(tmp_path / f"a.{suffix}") as frames:
        assert frames[0].shape[:2] == (3000, 3000)


def test_a_stack_beyond_memory_is_read_frame_by_frame(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "a.zarr", shape=(10**12, 64, 64), chunks=(1, 64, 64), dtype="u2", fill_value=7
    )
    with open_frames(tmp_path / "a.zarr") as frames:
        assert (frames[10**12 - 1] == 7).all()


def test_a_frame_beyond_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(2, 10**7, 10**7), chunks=(1, 10**5, 10**5), dtype="u1")
    with pytest.raises(FrameTooLargeError, match=r"needs 9\.31e\+04 GiB of memory .* GiB are available"):
        open_frames(tmp_path / "a.zarr")


def test_a_frame_in_millions_of_chunks_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(2, 9000, 9000), chunks=(1, 3, 3), dtype="u1")
    with pytest.raises(InputError, match="in 9,000,000 chunks each"):
        open_frames(tmp_path / "a.zarr")


def test_memory_that_runs_out_while_reading_is_said() -> None:
    class Full:
        shape, dtype = (4, 8, 8), np.dtype(np.uint8)

        def __getitem__(self, _: object) -> None:
            raise MemoryError

    with pytest.raises(FrameTooLargeError, match="Frame 2 of the array needs more memory than is available"):
        open_frames(Full(), axes="TYX")[2]


def test_available_memory_is_that_of_this_machine() -> None:
    assert 1 << 20 < available_memory() < 1 << 50
