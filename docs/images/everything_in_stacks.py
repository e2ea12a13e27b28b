"""Draws the pictures of everything: an animation per style of synthetic scenes, and three frames of some.

Run as ``python docs/images/everything_in_stacks.py FOLDER [--out FOLDER]``. In the first FOLDER are a stack
and its session per style; what is missing is written, and tracked by ``sam2 track --everything``, a minute
each. Each track has a number and a color; white lines join mothers and daughters.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "everything"))
from by_command import SCENES, tracked
from quality import tracks_of
from stacks import Stack

from sam2_engine.evaluation.lineage_scores import LabeledTracks

STILL = ("nuclei", "phase_contrast")
SHOWN = 3
ZOOM, GAP, MILLISECONDS = 2.0, 4, 600

Color = tuple[int, int, int]
Place = tuple[float, float]


def color_of(number: int) -> Color:
    """Return a light color of an id, neighbors far from one another on the wheel."""
    hue = int(number * 0.618034 % 1 * 255)
    pixel: Any = Image.new("HSV", (1, 1), (hue, 150, 255)).convert("RGB").getpixel((0, 0))
    return tuple(pixel)


def centers(labels: NDArray[np.integer[Any]]) -> dict[int, Place]:
    """Return the middle (x, y) of each object on a frame, in the picture's pixels."""
    places = {int(label): np.nonzero(labels == label) for label in np.unique(labels[labels > 0])}
    return {label: (float(x.mean()) * ZOOM, float(y.mean()) * ZOOM) for label, (y, x) in places.items()}


def drawn(stack: Stack, tracks: LabeledTracks) -> Iterator[Image.Image]:
    """Yield each frame with outlines, numbers and new divisions."""
    font = ImageFont.load_default(12)
    before: dict[int, Place] = {}
    for image, labels in zip(stack.frames, tracks.labels, strict=True):
        rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
        size = round(rgb.shape[1] * ZOOM), round(rgb.shape[0] * ZOOM)
        pixels = np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
        large = np.array(Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
        edge = find_boundaries(large, mode="inner")
        colors = np.array([color_of(number) for number in range(int(large.max()) + 1)], np.uint8)
        pixels[edge] = colors[large[edge]]
        picture = Image.fromarray(pixels)
        draw, here = ImageDraw.Draw(picture), centers(labels)
        for child, mother in tracks.parents.items():
            if child in here and child not in before and mother in before:
                draw.line([before[mother], here[child]], "white", 2)
        for number, place in here.items():
            draw.text(place, str(number), color_of(number), font, "mm", stroke_width=1, stroke_fill="black")
        before = here
        yield picture


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("everything"))
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    options = parser.parse_args()
    for name in options.scenes:
        with tracked(name, options.folder) as (stack, session):
            pictures = list(drawn(stack, tracks_of(session)))
        first, *others = pictures
        path = options.out / f"{name}.webp"
        first.save(
            path, save_all=True, append_images=others, duration=MILLISECONDS, loop=0, quality=60, method=6
        )
        print(path, path.stat().st_size // 1000, "kB")
        if name in STILL:
            sheet = Image.new("RGB", (SHOWN * (first.width + GAP) - GAP, first.height), "white")
            for column, frame in enumerate(np.linspace(0, len(pictures) - 1, SHOWN).astype(int)):
                sheet.paste(pictures[frame], (column * (first.width + GAP), 0))
            palette = sheet.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            palette.save(path.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
