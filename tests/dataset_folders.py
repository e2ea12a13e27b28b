"""Small data sets of every format, with exact masks: squares that move."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.masks import encode_rle

SHAPE = (48, 64)


def label_frame(t: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """Objects 1 and 2 at time ``t``; they overlap with themselves from frame to frame."""
    labels = np.zeros(shape, np.uint8)
    labels[4:20, 4 + 2 * t : 20 + 2 * t] = 1
    labels[28:44, 30 - t : 46 - t] = 2
    return labels


def frame(t: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    noise = np.random.default_rng(t).integers(0, 40, shape)
    return (noise + np.array([30, 200, 130])[label_frame(t, shape)]).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def davis(root: Path, names: tuple[str, ...] = ("cows", "dogs"), frames: int = 6) -> Path:
    for name in names:
        for t in range(frames):
            save(root / "JPEGImages" / "480p" / name / f"{t:05}.jpg", frame(t))
            save(root / "Annotations" / "480p" / name / f"{t:05}.png", label_frame(t))
    return root


def plain(root: Path, frames: int = 6) -> Path:
    """One folder of frames and one of masks."""
    for t in range(frames):
        save(root / "images" / f"{t:03}.png", frame(t))
        save(root / "labels" / f"{t:03}.png", label_frame(t))
    return root


def images(root: Path, count: int = 5) -> Path:
    """Images of different sizes."""
    for i in range(count):
        shape = (48 + 2 * i, 64)
        save(root / "images" / f"{i:03}.png", frame(i, shape))
        save(root / "labels" / f"{i:03}.png", label_frame(i, shape))
    return root


def cell_tracking(root: Path, frames: int = 5) -> Path:
    """Gold masks on frames 1 and 3 only, with other numbers than the tracks; silver ones on all but 4."""
    for t in range(frames):
        labels = label_frame(t).astype(np.uint16)
        save(root / "01" / f"t{t:03}.tif", frame(t).astype(np.uint16) * 100)
        markers = np.zeros_like(labels)
        for track in (1, 2):
            y, x = np.argwhere(labels == track).mean(0).astype(int)
            markers[y - 2 : y + 3, x - 2 : x + 3] = track
        save(root / "01_GT" / "TRA" / f"man_track{t:03}.tif", markers)
        if t in (1, 3):
            swapped = np.array([0, 2, 1], np.uint16)[labels]
            save(root / "01_GT" / "SEG" / f"man_seg{t:03}.tif", swapped)
        if t != 4:
            silver = labels.copy()
            silver[:, :2] = 0
            silver[labels == 2] = 0 if t == 2 else 2
            save(root / "01_ST" / "SEG" / f"man_seg{t:03}.tif", silver)
    return root


def compressed(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's compressed run lengths, written from their description, apart from the decoder."""
    counts = encode_rle(mask)["counts"]
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = not (value == 0 and not bits & 16) and not (value == -1 and bits & 16)
            text += chr(48 + bits + (32 if more else 0))
    return {"size": list(mask.shape), "counts": text}


def sa_v(root: Path, frames: int = 17) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with av.open(str(root / "sav_000001.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=24)
        stream.height, stream.width = SHAPE
        stream.pix_fmt = "yuv420p"
        for t in range(frames):
            pixels = np.repeat(frame(t)[..., None], 3, axis=-1)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    masklets = [[compressed(label_frame(t) == i) for i in (1, 2)] for t in range(0, frames, 4)]
    content = {"video_id": "sav_000001", "video_frame_count": float(frames), "masklet": masklets}
    (root / "sav_000001_manual.json").write_text(json.dumps(content))
    return root


def sa_1b(root: Path, count: int = 3) -> Path:
    for i in range(count):
        save(root / f"sa_{i}.jpg", frame(i))
        masks = [{"id": 7 + j, "segmentation": compressed(label_frame(i) == j)} for j in (1, 2)]
        (root / f"sa_{i}.json").write_text(
            json.dumps({"image": {"image_id": i}, "annotations": masks}), encoding="utf-8-sig"
        )
    return root


def stack(root: Path, frames: int = 6) -> Path:
    """A 16-bit stack; the labels' last frame is not drawn yet."""
    root.mkdir(parents=True, exist_ok=True)
    pixels = np.stack([frame(t).astype(np.uint16) * 50 for t in range(frames)])
    labels = np.stack([label_frame(t) for t in range(frames)]).astype(np.uint16)
    labels[-1] = 0
    tifffile.imwrite(root / "cells.tif", pixels, metadata={"axes": "TYX"})
    tifffile.imwrite(root / "cells_labels.tif", labels, metadata={"axes": "TYX"})
    return root
