"""How well a model does on real pictures that nano was never taught on: one table.

    python benchmarks/nano_real_images.py --data FOLDER [--drawings FOLDER] [--model nano]

FOLDER holds ``c2c12_laptrack/data_small.npz`` (images, labels), ``usiigaci_T98G/img/t000.tif`` with
``human_gt_t000_instances_ids.png``, and ``pumavos_chair/{JPEGImages,Annotations}``. The folder of
drawings holds ``shapes.png`` and ``moving.mp4``. Sets that are not there are left out.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label
from skimage import data as skimage_data
from skimage.draw import polygon
from skimage.filters import threshold_otsu
from skimage.io import imread
from skimage.morphology import closing, footprint_rectangle

from sam2_engine import ImagePredictor, VideoSession, load_model
from sam2_engine.modeling.sam2 import Sam2

SMALLEST = 20


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0


def middle(mask: np.ndarray) -> tuple[int, int]:
    """Return the (x, y) farthest from the mask's border."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), mask.shape)
    return int(x), int(y)


def one_click(model: Sam2, images: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """Mean IoU over the objects of all images, and how many there are; the model chooses its mask."""
    predictor, found = ImagePredictor(model), []
    for image, truth in zip(images, labels, strict=True):
        predictor.set_image(image)
        for value in np.unique(truth[truth > 0]):
            mask = truth == value
            if mask.sum() < SMALLEST:
                continue
            masks, scores, _ = predictor.predict(point_coords=[middle(mask)], point_labels=[1])
            found.append(iou(masks[int(np.argmax(scores))] > 0, mask))
    return float(np.mean(found)), len(found)


def coins() -> tuple[np.ndarray, np.ndarray]:
    """Return the photograph of coins, and the coins found by threshold (scikit-image's own example)."""
    image = skimage_data.coins()
    mask = binary_fill_holes(closing(image > threshold_otsu(image), footprint_rectangle((5, 5))))
    regions, count = label(mask)
    for value in range(1, count + 1):
        if not 600 < (regions == value).sum() < 8000 or _touches_border(regions == value):
            regions[regions == value] = 0
    return image, regions


def _touches_border(mask: np.ndarray) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def follow_chair(model: Sam2, folder: Path) -> tuple[float, float]:
    """J of the chair followed from its first mask, and of copying that mask; first frame not counted."""
    truths = [imread(path) > 0 for path in sorted((folder / "Annotations").glob("*.png"))]
    truths = [truth.any(-1) if truth.ndim == 3 else truth for truth in truths]
    session = VideoSession(model, folder / "JPEGImages")
    session.add_mask(0, 1, truths[0])
    scores = [
        iou(result.masks[0], truths[result.frame]) for result in session.propagate() if result.frame > 0
    ]
    return float(np.mean(scores)), float(np.mean([iou(truths[0], truth) for truth in truths[1:]]))


def drawn_shapes(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the shapes of ``shapes.png``, 640 x 480."""
    y, x = np.mgrid[:480, :640]
    yield "ellipse", ((x - 160) / 80) ** 2 + ((y - 180) / 80) ** 2 <= 1
    yield "rectangle", (x >= 360) & (x <= 560) & (y >= 180) & (y <= 400)
    triangle = np.zeros((480, 640), bool)
    triangle[polygon([60, 20, 120], [300, 380, 420])] = True
    yield "triangle", triangle


def follow_drawing(model: Sam2, path: Path) -> float:
    """Mean IoU of the boxes of disc and rectangle in ``moving.mp4``, each followed from its first box."""
    session = VideoSession(model, path)
    session.add_box(0, 1, (20, 60, 70, 110))
    session.add_box(0, 2, (220, 20, 270, 60))
    scores = []
    for result in session.propagate():
        t = result.frame
        boxes = ((20 + 6 * t, 60, 70 + 6 * t, 110), (220, 20 + 4 * t, 270, 60 + 4 * t))
        for mask, (x0, y0, x1, y1) in zip(result.masks, boxes, strict=True):
            truth = np.zeros(mask.shape, bool)
            truth[y0 : y1 + 1, x0 : x1 + 1] = True
            filled = np.zeros(mask.shape, bool)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if len(rows):
                filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            scores.append(iou(filled, truth))
    return float(np.mean(scores))


def table(model: Sam2, folder: Path, drawings: Path | None) -> Iterator[str]:
    image, regions = coins()
    score, count = one_click(model, image[None], regions[None])
    yield f"| coins, one click | {count} | {score:.3f} | |"
    cells = folder / "c2c12_laptrack" / "data_small.npz"
    if cells.exists():
        stack = np.load(cells)
        score, count = one_click(model, stack["images"], stack["labels"])
        yield f"| c2c12_laptrack, one click | {count} | {score:.3f} | |"
    cells = folder / "usiigaci_T98G"
    if cells.exists():
        image, truth = imread(cells / "img" / "t000.tif"), imread(cells / "human_gt_t000_instances_ids.png")
        score, count = one_click(model, image[None], truth[None])
        yield f"| usiigaci_T98G, one click | {count} | {score:.3f} | |"
    if (folder / "pumavos_chair").exists():
        score, copied = follow_chair(model, folder / "pumavos_chair")
        yield f"| pumavos_chair from its first mask, J | 1 | {score:.3f} | {copied:.3f} |"
    if drawings is not None:
        yield from drawing_rows(model, drawings)


def drawing_rows(model: Sam2, drawings: Path) -> Iterator[str]:
    predictor = ImagePredictor(model)
    predictor.set_image(imread(drawings / "shapes.png")[..., :3])
    for name, truth in drawn_shapes(drawings):
        masks, scores, _ = predictor.predict(point_coords=[middle(truth)], point_labels=[1])
        clicked = iou(masks[int(np.argmax(scores))] > 0, truth)
        rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        box = (columns[0], rows[0], columns[-1], rows[-1])
        masks, _, _ = predictor.predict(box=box, multimask_output=False)
        boxed = iou(masks[0] > 0, truth)
        yield f"| shapes.png: {name}, one click / box | 1 | {clicked:.3f} / {boxed:.3f} | |"
    followed = follow_drawing(model, drawings / "moving.mp4")
    yield f"| moving.mp4 from a box, IoU of the boxes | 2 | {followed:.3f} | |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--drawings", type=Path)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    model = load_model(options.model, device="cpu")
    begun = time.monotonic()
    print("| set | objects | IoU | copying the first mask |\n| --- | --- | --- | --- |")
    for row in table(model, options.data, options.drawings):
        print(row, flush=True)
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
