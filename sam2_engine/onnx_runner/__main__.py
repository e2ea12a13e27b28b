"""Command line of the runner: one object on an image, or through a folder of frames."""

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ExportedModel, ImageSegmenter, VideoTracker
from .files import FrameFolder, check_output, read_image, write_mask, write_masks

_STOPPED = 130
"""The shell's status of a command that Ctrl-C ended."""


def main() -> int:
    """Segment, write masks, and say what was done."""
    options = _parser().parse_args()
    prompt: dict[str, Any] = {"box": _parsed_box(options.box), **_parsed_clicks(options.point or [])}
    if not options.input.exists():
        raise ValueError(f"There is no image or folder {options.input}.")
    frames = FrameFolder(options.input) if options.input.is_dir() else None
    names = () if frames is None else frames.mask_names
    check_output(options.output, options.input, overwrite=options.overwrite, names=names)
    model = ExportedModel(options.model)
    if frames is not None:
        print(f"{options.output}: {write_masks(_tracked(model, frames, prompt), options.output)} masks")
        return 0
    masks, predicted = ImageSegmenter(model, read_image(options.input)).predict(**prompt)
    write_mask(masks[predicted.iou.argmax()], options.output)
    print(f"{options.output}: predicted IoU {predicted.iou.max():.2f}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="onnx_runner", description=__doc__)
    parser.add_argument("model", type=Path, help="folder that `sam2 export-model` wrote")
    parser.add_argument("input", type=Path, help="image, or a folder of frames to track through")
    parser.add_argument("--point", action="append", metavar="X,Y[,-]", help="click; - is outside")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG, or a folder of them")
    parser.add_argument("--overwrite", action="store_true", help="replace masks that are there")
    return parser


def _tracked(
    model: ExportedModel, frames: FrameFolder, prompt: dict[str, Any]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Track an object from its prompt on the first frame; yield its masks and their names."""
    tracker = VideoTracker(model, frames)
    tracker.add_prompt(0, 1, **prompt)
    for frame, logits in tracker.propagate():
        yield frames.mask_names[frame], tracker.masks(frame, logits)[1]


def _parsed_clicks(given: list[str]) -> dict[str, Any]:
    points, labels = [], []
    for one in given:
        x, y, *rest = *one.split(","), "", ""
        sign = [part for part in rest if part]
        if sign not in ([], ["+"], ["-"]):
            raise ValueError(f"--point {one} is not X,Y, nor X,Y,- for a click outside of the object.")
        points.append(_numbers(f"--point {one}", [x, y]))
        labels.append(int(sign != ["-"]))
    return {"points": points or None, "labels": labels or None}


def _parsed_box(given: str | None) -> list[float] | None:
    return None if given is None else _numbers(f"--box {given}", given.split(","))


def _numbers(option: str, parts: list[str]) -> list[float]:
    try:
        return [float(part) for part in parts]
    except ValueError:
        raise ValueError(f"{option} is not made of numbers with commas between them.") from None


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(_STOPPED)
