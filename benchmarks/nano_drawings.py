"""Coins by one click, drawn shapes by a click or a box, and a drawn video tracked from boxes: one table.

    python benchmarks/nano_drawings.py [--drawings FOLDER] [--model nano]

The folder of drawings holds ``shapes.png`` and ``moving.mp4``; without it only the coins, a photograph
that comes with scikit-image, are segmented. ``nano_evaluation.py`` compares nano with its goals.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from nano_evaluation import in_memory, ious
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label
from skimage import data as skimage_data
from skimage.draw import polygon
from skimage.filters import threshold_otsu
from skimage.morphology import closing, footprint_rectangle

from sam2_engine import VideoSession
from sam2_engine.evaluation import mask_iou
from sam2_engine.evaluation.image_protocol import segment_images
from sam2_engine.evaluation.simulated_user import tight_box
from sam2_engine.frames.image_files import read_image
from sam2_engine.modeling.sam2 import Sam2
from sam2_plugins.runtime.model_store import ModelStore


def coins() -> tuple[NDArray, list[NDArray]]:
    """Return the photograph of coins, and the coins by threshold (scikit-image's own example)."""
    image = skimage_data.coins()
    mask = binary_fill_holes(closing(image > threshold_otsu(image), footprint_rectangle((5, 5))))
    regions, count = label(mask)
    masks = [regions == value for value in range(1, count + 1)]
    return image, [one for one in masks if 600 < one.sum() < 8000 and not _touches_border(one)]


def _touches_border(mask: NDArray) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def drawn_shapes() -> Iterator[tuple[str, NDArray]]:
    """Yield the shapes of ``shapes.png``, 640 x 480."""
    y, x = np.mgrid[:480, :640]
    yield "ellipse", ((x - 160) / 80) ** 2 + ((y - 180) / 80) ** 2 <= 1
    yield "rectangle", (x >= 360) & (x <= 560) & (y >= 180) & (y <= 400)
    triangle = np.zeros((480, 640), bool)
    triangle[polygon([60, 20, 120], [300, 380, 420])] = True
    yield "triangle", triangle


def scores(model: Sam2, image: NDArray, masks: list[NDArray]) -> tuple[list[float], list[float]]:
    """Return the IoU of each mask from one click at its center, and from its box."""
    labels = sum(number * mask.astype(np.uint8) for number, mask in enumerate(masks, 1))
    sequence = in_memory("image", image[None], labels[None])
    clicked, boxed = (ious(sequence, segment_images(model, sequence, how)) for how in ("1-click", "box"))
    return clicked, boxed


def track_drawing(model: Sam2, path: Path) -> float:
    """Mean IoU of the boxes of disc and rectangle in ``moving.mp4``, each tracked from its first box."""
    session = VideoSession(model, path)
    session.add_box(0, 1, (20, 60, 70, 110))
    session.add_box(0, 2, (220, 20, 270, 60))
    scores = []
    for result in session.propagate():
        t = result.frame
        boxes = ((20 + 6 * t, 60, 70 + 6 * t, 110), (220, 20 + 4 * t, 270, 60 + 4 * t))
        for mask, (x0, y0, x1, y1) in zip(result.masks, boxes, strict=True):
            expected, filled = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
            expected[y0 : y1 + 1, x0 : x1 + 1] = True
            if mask.any():
                left, top, right, bottom = tight_box(mask)
                filled[top : bottom + 1, left : right + 1] = True
            scores.append(mask_iou(filled, expected))
    return float(np.mean(scores))


def table(model: Sam2, drawings: Path | None) -> Iterator[str]:
    yield "| image | objects | one click | box |"
    yield "| --- | --- | --- | --- |"
    image, masks = coins()
    clicked, boxed = map(np.mean, scores(model, image, masks))
    yield f"| coins | {len(masks)} | {clicked:.3f} | {boxed:.3f} |"
    if drawings is None:
        return
    names, shapes = zip(*drawn_shapes())
    by_prompt = scores(model, read_image(drawings / "shapes.png"), list(shapes))
    for name, clicked, boxed in zip(names, *by_prompt):
        yield f"| shapes.png: {name} | 1 | {clicked:.3f} | {boxed:.3f} |"
    yield f"| moving.mp4, IoU of the boxes | 2 | | {track_drawing(model, drawings / 'moving.mp4'):.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    for row in table(ModelStore("cpu").get(options.model), options.drawings):
        print(row, flush=True)


if __name__ == "__main__":
    main()
