"""Closing files that other threads read: each frame is read whole, or refused in a sentence."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import nibabel
import numpy as np
import pytest
import tifffile

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.video_frames import VideoFrames

LENGTH = 8
PIXELS = np.arange(LENGTH * 32 * 32, dtype=np.uint8).reshape(LENGTH, 32, 32)

# In a process of its own: closed twice at a time, a video has ended the process.
SCRIPT = """
import sys, threading
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
sys.setswitchinterval(1e-6)  # threads take turns wherever they can
other = []
for turn in range(40):
    frames = open_frames(sys.argv[1])
    begun = threading.Barrier(4)
    def read():
        begun.wait()
        try:
            for number in (0, 5, 2, 7) * 2:
                frames[number]
        except InputError:
            pass
        except BaseException as error:
            other.append(repr(error))
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    while any(thread.is_alive() for thread in threads):
        frames.close()
    for thread in threads:
        thread.join()
sys.exit("\\n".join(other) or None)
"""


def write_video(path: Path) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for plane in PIXELS:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.stack([plane] * 3, -1))))
        container.mux(stream.encode())


def write_volume(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(PIXELS, np.eye(4)), path)


WRITERS = {
    "video.mp4": write_video,
    "stack.tif": lambda path: tifffile.imwrite(path, PIXELS, photometric="minisblack"),
    "volume.nii.gz": write_volume,
}


@pytest.mark.parametrize("name", ["stack.tif", "volume.nii.gz"])
def test_a_closed_file_is_not_called_damaged(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    frames = open_frames(tmp_path / name)
    frames.close()
    with pytest.raises(InputError, match=f"^{name} has been closed: open it again.$"):
        frames[3]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_may_be_closed_while_other_threads_read(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / name)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.fixture
def frequent_turns() -> Iterator[None]:
    """Let threads take turns wherever they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("frequent_turns")
def test_a_video_may_be_closed_while_threads_begin_to_read(tmp_path: Path) -> None:
    """Each of them adds a decoder to those that are closed."""
    write_video(tmp_path / "video.mp4")
    frames = open_frames(tmp_path / "video.mp4")
    assert isinstance(frames, VideoFrames)
    for _ in range(60):
        begun = threading.Barrier(9)
        threads = [threading.Thread(target=_begin, args=(frames, begun)) for _ in range(8)]
        for thread in threads:
            thread.start()
        begun.wait()
        while any(thread.is_alive() for thread in threads):
            frames.close()


def _begin(frames: VideoFrames, begun: threading.Barrier) -> None:
    begun.wait()
    assert frames.decoder
