"""Readers over open, read, seek and close: threads, descriptors, temporary files and memory do not grow."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from process_usage import Usage, growth, tidy_usage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from sam2_engine.frames import open_frames

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

STACK = np.random.default_rng(0).integers(0, 255, (12, 40, 48)).astype(np.uint8)


def _tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", STACK, compression="zlib", metadata={"axes": "TYX"})
    return folder / "a.tif"


def _images(folder: Path, suffix: str) -> Path:
    for t, plane in enumerate(STACK):
        Image.fromarray(plane).save(folder / f"{t:03}.{suffix}")
    return folder


def _animation(folder: Path, suffix: str) -> Path:
    first, *rest = map(Image.fromarray, STACK)
    first.save(folder / f"a.{suffix}", save_all=True, append_images=rest, duration=40)
    return folder / f"a.{suffix}"


def _video(folder: Path, codec: str = "mpeg4", suffix: str = "mp4", frames: int = 12) -> Path:
    path = folder / f"a.{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=24)
        stream.height, stream.width, stream.pix_fmt = 40, 48, "yuv420p"
        for t in range(frames):
            rgb = np.repeat(STACK[t % len(STACK), ..., None], 3, axis=-1)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        output.mux(stream.encode())
    return path


def _zarr(folder: Path) -> Path:
    array = zarr.create_array(folder / "a.zarr", shape=STACK.shape, chunks=(1, 40, 48), dtype="uint8")
    array[...] = STACK
    return folder / "a.zarr"


def _dicom(folder: Path) -> Path:
    for t, plane in enumerate(STACK):
        made = Dataset()
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, generate_uid()
        made.SeriesInstanceUID, made.Modality, made.InstanceNumber = "1.2.3", "CT", t + 1
        made.Rows, made.Columns = plane.shape
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated = made.BitsStored = 8
        made.HighBit, made.PixelRepresentation = 7, 0
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, t], [1, 0, 0, 0, 1, 0]
        made.PixelData = plane.tobytes()
        made.save_as(folder / f"{t}.dcm", enforce_file_format=True)
    return folder


def _nifti(folder: Path) -> Path:
    nibabel.save(nibabel.Nifti1Image(STACK.T.copy(), np.eye(4)), folder / "a.nii.gz")
    return folder / "a.nii.gz"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "array": lambda folder: STACK,
    "TIFF": _tiff,
    "PNG files": partial(_images, suffix="png"),
    "JPEG files": partial(_images, suffix="jpg"),
    "TIFF files": partial(_images, suffix="tif"),
    "GIF": partial(_animation, suffix="gif"),
    "WebP": partial(_animation, suffix="webp"),
    "APNG": partial(_animation, suffix="png"),
    "MP4": _video,
    "AVI": partial(_video, suffix="avi"),
    "Matroska": partial(_video, codec="libx264", suffix="mkv"),
    "zarr": _zarr,
    "DICOM": _dicom,
    "NIfTI": _nifti,
}


def _open_read_seek_close(source: Any) -> None:
    with open_frames(source) as frames:
        for frame in [*range(len(frames)), len(frames) - 1, 0, len(frames) // 2]:
            frames[frame]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files while a test runs."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.filterwarnings("ignore:'pixel_array'")
@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_opened_and_closed_leaves_nothing(kind: str, tmp_path: Path, temporary: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    source = SOURCES[kind](files)
    assert growth(lambda: _open_read_seek_close(source), lambda: tidy_usage(temporary)) == []


@pytest.mark.parametrize("kind", SOURCES)
def test_threads_that_end_leave_nothing_open(kind: str, tmp_path: Path, temporary: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    with open_frames(SOURCES[kind](files)) as frames:

        def read_in_a_thread() -> None:
            thread = threading.Thread(target=lambda: [frames[t] for t in (0, len(frames) - 1, 1)])
            thread.start()
            thread.join()

        assert growth(read_in_a_thread, lambda: tidy_usage(temporary)) == []


def test_a_long_video_needs_no_more_threads_and_memory_than_a_short_one(
    tmp_path: Path, temporary: Path
) -> None:
    with open_frames(_video(tmp_path, frames=800)) as frames:
        frames[2]
        before = tidy_usage(temporary)
        for frame in frames:
            assert frame.any()
        after = tidy_usage(temporary)
        assert (after.threads, after.descriptors) == (before.threads, before.descriptors)
        assert after.memory - before.memory < 40 << 20  # what is cached of frames used last


LEAKS: dict[str, Callable[[list[Any]], object]] = {
    "threads": lambda held: held.append(_waiting_thread()),
    "descriptors": lambda held: held.append(os.open(os.devnull, os.O_RDONLY)),
    "files": lambda held: os.close(tempfile.mkstemp()[0]),
    "memory": lambda held: held.append(bytearray(b"x" * 100_000)),
}


def _waiting_thread() -> threading.Event:
    end = threading.Event()
    threading.Thread(target=end.wait, daemon=True).start()
    return end


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_found(name: str, temporary: Path) -> None:
    held: list[Any] = []
    try:
        (found,) = growth(lambda: LEAKS[name](held), lambda: tidy_usage(temporary))
    finally:
        for one in held:
            if isinstance(one, threading.Event):
                one.set()
            elif isinstance(one, int):
                os.close(one)
    assert found.startswith(name)


def test_what_is_measured(temporary: Path) -> None:
    (temporary / "one").touch()
    usage = Usage.of(temporary)
    assert usage.files == 1
    assert usage.threads >= 1
    assert usage.descriptors >= 3
    assert usage.memory > 1 << 20
