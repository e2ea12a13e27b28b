"""Objects found without a prompt: how many are right, at the seams of a large plane too, and following many.

    python benchmarks/automatic.py --data FOLDER [--model nano] [--threads 1] [--only PART] [--write FILE]

FOLDER holds ``train/{dsb2018,usiigaci_stills}/{images,labels}/NNN.png``; only the pictures kept aside from
teaching are looked at (number % 10 == 3). Prints tables; ``--write`` puts each part into a Markdown file,
between its own two marks, and leaves the rest of it alone.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.segmentation import watershed

from sam2_engine.tiles import TileGrid
from sam2_engine.training.nano.labeled_images import LabeledImage, read_folder
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, FoundObject, find_objects

SMALLEST = 20
"""Objects of fewer pixels are left out, as when teaching."""
SETS = (("dsb2018", "nuclei", 4), ("usiigaci_stills", "phase contrast cells", 1))
"""Folder, name, and that every n-th of its pictures is looked at."""
MATCH = 0.5
MOSAIC = 4096
RADII = (30, 56)
FRAMES = 3
PLANES = ((1024, 128), (2048, 512), (4096, 60), (8192, 8192))
"""Sides of planes, and how many discs are on them."""

Table = Iterator[str]
Boxed = list[tuple[tuple[slice, slice], NDArray[np.bool_]]]
"""Masks as their box and the pixels in it."""


def search(store: ModelStore, model: str, image: NDArray[Any], settings: AutomaticSettings) -> Boxed:
    steps = find_objects.steps(store, model, image, None, settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[FoundObject] = end.value
            return [(one.mask.box, one.mask.crop()) for one in found]


def otsu_watershed(image: NDArray[Any]) -> Boxed:
    """Split what Otsu's threshold calls foreground, its rarer side, at the necks of the distance map."""
    gray = gaussian(image.mean(-1) if image.ndim == 3 else image, 1, preserve_range=True)
    bright = gray > threshold_otsu(gray)
    foreground = bright if bright.mean() <= 0.5 else ~bright
    depth = gaussian(ndimage.distance_transform_edt(foreground), 1)
    peaks = np.zeros(depth.shape, int)
    places = peak_local_max(depth, min_distance=5, labels=foreground.astype(int))
    peaks[tuple(places.T)] = np.arange(1, len(places) + 1)
    labels = watershed(-depth, peaks, mask=foreground)
    return [
        (box, labels[box] == value)
        for value, box in enumerate(ndimage.find_objects(labels), 1)
        if box is not None
    ]


def matches(found: Boxed, labels: NDArray[np.integer[Any]]) -> tuple[int, int, int]:
    """Return how many masks are right, how many there are, and how many objects."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    right, counted = 0, 0
    for box, mask in found:
        if mask.sum() < SMALLEST:
            continue
        counted += 1
        shared = np.bincount(labels[box][mask], minlength=len(areas)) * (areas >= SMALLEST)
        value = int(shared.argmax())
        right += bool(shared[value] / (mask.sum() + areas[value] - shared[value]) > MATCH)
    return right, counted, int((areas >= SMALLEST).sum())


def f1(counts: list[tuple[int, int, int]]) -> float:
    right, found, there = np.sum(counts, axis=0)
    return float(2 * right / (found + there))


def pictures(store: ModelStore, model: str, data: Path) -> Table:
    yield "| set | pictures | objects | model: found | F1 | Otsu + watershed: found | F1 | s a picture |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for folder, name, every in SETS:
        labeled = read_folder(data / "train" / folder)
        kept: list[LabeledImage] = [one for one in labeled if one.for_validation][::every]
        ours, theirs = [], []
        begun = time.perf_counter()
        for one in kept:
            found = search(store, model, one.pixels, AutomaticSettings())
            ours.append(matches(found, one.labels))
        seconds = (time.perf_counter() - begun) / len(kept)
        theirs = [matches(otsu_watershed(one.pixels), one.labels) for one in kept]
        yield (
            f"| {name} ({folder}) | {len(kept)} | {sum(c[2] for c in ours)} "
            f"| {sum(c[1] for c in ours)} | {f1(ours):.3f} "
            f"| {sum(c[1] for c in theirs)} | {f1(theirs):.3f} | {seconds:.0f} |"
        )


def discs(
    side: int, tries: int, radii: tuple[int, int], gap: int, most: int = 10**9
) -> tuple[NDArray[np.uint8], NDArray[np.int32], list[tuple[int, int, int]]]:
    """Draw blurred discs in noise, apart from each other: the plane, its labels, and x, y and radius."""
    random = np.random.default_rng(11)
    labels = np.zeros((side, side), np.int32)
    rows, columns = np.ogrid[:side, :side]
    boxes: list[tuple[int, int, int]] = []
    for _ in range(tries):
        radius = int(random.integers(*radii))
        x, y = random.integers(radius + 4, side - radius - 4, 2).tolist()
        reach = radius + gap
        around = (slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1))
        if len(boxes) < most and not labels[around].any():
            boxes.append((x, y, radius))
            window = (slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1))
            disc = (rows[window[0]] - y) ** 2 + (columns[:, window[1]] - x) ** 2 <= radius**2
            labels[window][disc] = len(boxes)
    image = gaussian(np.where(labels > 0, 170, 50).astype(np.float32), 2)
    image += random.normal(0, 8, labels.shape).astype(np.float32)
    return image.clip(0, 255).astype(np.uint8), labels, boxes


def planes(store: ModelStore, model: str, data: Path) -> Table:
    """Search planes of discs at the usual settings, many discs and few: 8,192 pixels take minutes."""
    yield "| plane | tiles | objects | found | F1 | processor seconds | seconds |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    size = store.get(model).image_size
    for side, count in PLANES:
        image, labels, boxes = discs(side, 40 * count, (8, 40), gap=5, most=count)
        begun, worked = time.perf_counter(), time.process_time()
        found = search(store, model, image, AutomaticSettings(max_objects=100_000))
        seconds, work = time.perf_counter() - begun, time.process_time() - worked
        tiles = len(TileGrid(labels.shape, size, size // 4).tiles)
        counts = f1([matches(found, labels)])
        yield (
            f"| {side} x {side} | {tiles} | {len(boxes)} | {len(found)} "
            f"| {counts:.3f} | {work:.0f} | {seconds:.0f} |"
        )


def mosaic(store: ModelStore, model: str, data: Path) -> Table:
    """Look at a plane of blurred discs of which every number says where it is."""
    image, labels, boxes = discs(MOSAIC, 4000, RADII, gap=14)
    begun = time.perf_counter()
    settings = AutomaticSettings(points_per_side=8, max_objects=10_000)
    found = search(store, model, image, settings)
    seconds = time.perf_counter() - begun
    side = store.get(model).image_size
    tiles = TileGrid(labels.shape, side, side // 4).tiles
    edges = np.unique([edge for tile in tiles for edge in tile])
    best = np.zeros(len(boxes))
    for box, mask in found:
        shared = np.bincount(labels[box][mask], minlength=len(boxes) + 1)[1:]
        areas = np.array([np.pi * radius**2 for _, _, radius in boxes])
        best = np.maximum(best, shared / (mask.sum() + areas - shared))
    seam = np.array([bool((np.abs(edges[:, None] - (x, y)) < r).any()) for x, y, r in boxes])
    yield "| plane | tiles | objects | found | F1 | IoU at seams (objects) | inside (objects) | minutes |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield (
        f"| {MOSAIC} x {MOSAIC}, 8 bit | {len(tiles)} | {len(boxes)} | {len(found)} "
        f"| {f1([matches(found, labels)]):.3f} | {best[seam].mean():.3f} ({seam.sum()}) "
        f"| {best[~seam].mean():.3f} ({(~seam).sum()}) | {seconds / 60:.1f} |"
    )


def following(store: ModelStore, model: str, data: Path) -> Table:
    """Follow many discs that move a little."""
    yield "| plane | objects | processor seconds a frame | MB of memories |"
    yield "| --- | --- | --- | --- |"
    for side, count in ((512, 1), (512, 100), (2048, 100)):
        step = side // 10
        places = [(step // 2 + step * (i % 10), step // 2 + step * (i // 10)) for i in range(count)]
        rows, columns = np.ogrid[:side, :side]

        def disc(x: int, y: int, rows: Any = rows, columns: Any = columns, step: int = step) -> Any:
            return (columns - x) ** 2 + (rows - y) ** 2 <= (step // 3) ** 2

        frames = np.full((FRAMES, side, side), 40, np.uint8)
        for t, frame in enumerate(frames):
            for x, y in places:
                frame[disc(x + 2 * t, y)] = 170
        session = AnnotationSession(frames, store, model, axes="TYX", history=None)
        session.import_masks(0, {i: disc(*one) for i, one in enumerate(places, 1)}, as_prompts=True)
        times = [time.process_time() for _ in session.propagate()]
        with session.engine.acquire() as video:
            held = video.num_bytes / 1e6
        tiled = " in tiles" if side > 2 * store.get(model).image_size else ""
        seconds = float(np.median(np.diff(times)))
        yield f"| {side} x {side}{tiled} | {count} | {seconds:.1f} | {held:.0f} |"


PARTS: dict[str, Callable[[ModelStore, str, Path], Table]] = {
    "pictures": pictures,
    "mosaic": mosaic,
    "planes": planes,
    "following": following,
}


def put(path: Path, part: str, lines: list[str]) -> None:
    first, last = f"<!-- {part} -->", f"<!-- end of {part} -->"
    before, rest = path.read_text(encoding="utf-8").split(first)
    _, after = rest.split(last)
    path.write_text("\n".join((before + first, *lines, last)) + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    store = ModelStore(given.device)
    for part, measure in PARTS.items():
        if given.only in (None, part):
            lines = []
            for line in measure(store, given.model, given.data):
                print(line, flush=True)
                lines.append(line)
            if given.write:
                put(given.write, part, lines)


if __name__ == "__main__":
    main()
