"""Files of the names that the pages use, small."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from sam2_engine import open_frames
from sam2_engine.synthetic import moving_cells
from sam2_plugins import AnnotationSession, ModelStore, SessionFolder

WEIGHTS = Path(__file__).parents[2] / "sam2_engine/weights/nano.safetensors"


def write_sample_files(folder: Path) -> None:
    """Write them all; a page finds them in its working folder."""
    frames, labels = moving_cells(num_frames=4, size=200)
    labels[labels > 3] = 0  # few objects are quick
    _images(folder, frames, labels)
    _stacks(folder, frames, labels)
    _data_sets(folder, frames, labels)
    _video(folder / "video.mp4")
    _session(folder / "cells.sam2", folder / "cells.tif", labels)
    shutil.copytree(folder / "cells.sam2", folder / "work.sam2")
    (folder / "sessions").mkdir()
    _session(folder / "sessions/day1.sam2", folder / "stacks/day1.tif", labels)
    shutil.copy(WEIGHTS, folder / "cells.safetensors")
    prompts = [
        {"frame": 0, "object_id": 1, "points": [[120, 80], [150, 80]], "labels": [1, 0]},
        {"frame": 0, "object_id": 2, "box": [200, 40, 260, 95]},
    ]
    (folder / "prompts.json").write_text(json.dumps(prompts))
    (folder / "clicks").mkdir()
    for name in ("clicks.json", "clicks/day1.json", "clicks/day2.json"):
        (folder / name).write_text(json.dumps(prompts[:1]))


def _images(folder: Path, frames: NDArray[np.uint16], labels: NDArray[np.uint16]) -> None:
    for name in ("cell.tif", "frame.tif"):
        tifffile.imwrite(folder / name, frames[0])
    Image.fromarray(data.coins()).save(folder / "coins.png")
    tifffile.imwrite(folder / "labels_of_frame_0.tif", labels[0])
    (folder / "plate").mkdir()
    for name in ("a1.tif", "a2.tif"):
        tifffile.imwrite(folder / "plate" / name, frames[0, :96, :96])


def _stacks(folder: Path, frames: NDArray[np.uint16], labels: NDArray[np.uint16]) -> None:
    tifffile.imwrite(folder / "cells.tif", frames, metadata={"axes": "TYX"}, imagej=True)
    tifffile.imwrite(folder / "stardist.tif", labels, photometric="minisblack")
    slices = np.repeat(frames[:1], 42, axis=0)
    tifffile.imwrite(folder / "volume.tif", slices, metadata={"axes": "ZYX"}, imagej=True)
    tifffile.imwrite(folder / "slice_40.tif", labels[0] * (labels[0] == 1))
    for place in ("stacks", "seeds"):
        (folder / place).mkdir()
    for name in ("day1.tif", "day2.tif"):
        tifffile.imwrite(folder / "stacks" / name, frames, metadata={"axes": "TYX"}, imagej=True)
        tifffile.imwrite(folder / "seeds" / name, labels[0])


def _data_sets(folder: Path, frames: NDArray[np.uint16], labels: NDArray[np.uint16]) -> None:
    """Write a folder for training, and frames and masks beside each other."""
    pairs = [(f"{name}/images", f"{name}/labels") for name in ("FOLDER", "data")]
    for images, masks in (*pairs, ("frames", "masks"), ("FRAMES", "MASKS")):
        for place, planes in ((images, frames), (masks, labels)):
            (folder / place).mkdir(parents=True)
            for number, plane in enumerate(planes):
                tifffile.imwrite(folder / place / f"{number:03}.tif", plane)


def _video(path: Path) -> None:
    y, x = np.ogrid[:120, :280]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 280, 120, "yuv420p"
        for time in range(4):
            gray = np.uint8(40 + 160 * (np.hypot(x - 120 - time, y - 80) < 20))
            frame = av.VideoFrame.from_ndarray(np.dstack([gray] * 3), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _session(path: Path, stack: Path, labels: NDArray[np.uint16]) -> None:
    with open_frames(stack) as frames:
        session = AnnotationSession(frames, ModelStore(), "nano@128")
        folder = SessionFolder.create(path, session, source=stack)
        for object_id in np.unique(labels[0])[1:]:
            session.add_mask(0, session.add_object(f"cell {object_id}"), labels[0] == object_id)
        for _ in session.propagate():
            pass
        folder.close()
