"""Command line of the runner: one object on an image, or through a folder of frames."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import ExportedModel, ImageSegmenter, VideoTracker

_SUFFIXES = (".png", ".jpg", ".jpeg")
_OF_8_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow's modes; others would be cut off at 255."""


class _Frames:
    """Images of a folder, read when they are needed."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        if not self.paths:
            raise ValueError(f"{folder} holds no images ({', '.join(_SUFFIXES)}).")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return _read(self.paths[index])


def _read(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        if image.mode not in _OF_8_BITS or getattr(image, "n_frames", 1) > 1:
            raise ValueError(
                f"{path} is not one image of 8 bits (mode {image.mode}, {getattr(image, 'n_frames', 1)} "
                "frames): scale its gray levels to 0..255 yourself, and save each frame as a PNG."
            )
        return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def _write(mask: NDArray[Any], path: Path) -> None:
    Image.fromarray(np.uint8(255) * mask).save(path)


def main() -> int:
    """Segment, write masks, and say what was done."""
    parser = argparse.ArgumentParser(prog="onnx_runner", description=__doc__)
    parser.add_argument("model", type=Path, help="folder that `sam2 export-model` wrote")
    parser.add_argument("input", type=Path, help="image, or a folder of frames to track through")
    parser.add_argument("--point", action="append", metavar="X,Y[,-]", help="click; - is outside")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG, or a folder of them")
    options = parser.parse_args()
    clicks = [one.split(",") for one in options.point or []]
    prompt: dict[str, Any] = {
        "points": [[float(x), float(y)] for x, y, *_ in clicks] or None,
        "labels": [int("-" not in rest) for _, _, *rest in clicks] or None,
        "box": [float(one) for one in options.box.split(",")] if options.box else None,
    }
    model = ExportedModel(options.model)
    if not options.input.is_dir():
        masks, predicted = ImageSegmenter(model, _read(options.input)).predict(**prompt)
        _write(masks[predicted.iou.argmax()], options.output)
        print(f"{options.output}: predicted IoU {predicted.iou.max():.2f}")
        return 0
    frames = _Frames(options.input)
    tracker = VideoTracker(model, frames)
    tracker.add_prompt(0, 1, **prompt)
    options.output.mkdir(exist_ok=True)
    for frame, logits in tracker.propagate():
        _write(tracker.masks(frame, logits)[1], options.output / f"{frames.paths[frame].stem}.png")
    print(f"{options.output}: {len(frames)} masks")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
