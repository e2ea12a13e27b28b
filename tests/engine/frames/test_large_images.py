"""Plain scans of many pixels: no library's limit against attacks stands in their way."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from labelstudio_backend.export.annotated_tasks import _bitmask
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames, tiff_frames

PIXELS = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond twice this many pixels Pillow calls an image an attack, as one of 13,500 x 13,500 otherwise."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif", "jp2", "tif", "ppm", "tga"])
def test_a_plain_image_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan.{suffix}"
    Image.fromarray(PIXELS).save(path)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    for source in (path, tmp_path):
        with open_frames(source, single=source == path) as frames:
            assert frames[0].shape == PIXELS.shape


def test_a_tiff_that_only_pillow_reads(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    Image.fromarray(PIXELS).convert("YCbCr").save(path, compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        assert tiff_frames._by_pillow(tiff.pages[0]).shape == PIXELS.shape


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_a_bitmask_of_an_export(tmp_path: Path) -> None:
    mask: Any = PIXELS[..., 0] > 90
    url = _data_url(Image.fromarray(np.dstack([PIXELS, mask * 255]).astype(np.uint8)))
    np.testing.assert_array_equal(_bitmask(url, mask.shape), mask)
    with pytest.raises(InputError, match=r"is \(64, 48\), but its image \(4, 3\)"):
        _bitmask(url, (3, 4))
    with pytest.raises(InputError, match="not an image"):
        _bitmask("data:image/png;base64,AAAA", (3, 4))
