"""Objects from 2 to 90 % of the image: IoU by a click, a box and a mask, with and without the wider view.

    python benchmarks/nano_sizes.py [--model nano] [--images 3] [--write FILE]

Ellipses and, where one does not fit, rectangles: plain, textured, and cut out of one photograph of
scikit-image over another. Each is clicked or boxed on a single image, and tracked through five frames in
which it moves (mean IoU over these, the first left out). Also the time of a click on an encoded image, and of
tracking.
``--write`` puts the tables between the two marks of a Markdown file.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize

from sam2_engine import FeatureCache, open_frames
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.prompts import Prompt
from sam2_engine.video.open_session import open_video_session
from sam2_plugins.runtime.model_store import ModelStore

SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
KINDS = ("plain", "textured", "photograph")
SHAPE = (300, 400)
FRAMES, STEP = 6, 3
PHOTOGRAPHS = (data.astronaut, data.coffee, data.chelsea, data.rocket)
MARKS = ("<!-- measured sizes -->", "<!-- end of measured sizes -->")

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Scores = dict[str, list[float]]


def object_mask(share: float) -> Mask:
    """Return an object in the middle that covers a part of the image."""
    y, x = (np.arange(length) / length - 0.5 for length in SHAPE)
    if share > 0.75:
        side = np.sqrt(share) / 2
        inside = (np.abs(y)[:, None] < side) & (np.abs(x)[None] < side)
    else:
        inside = np.hypot(y[:, None], x[None]) < np.sqrt(share / np.pi)
    return np.asarray(inside, np.bool_)


def draw(kind: str, mask: Mask, rng: np.random.Generator) -> Pixels:
    if kind == "photograph":
        behind, before = (
            resize(PHOTOGRAPHS[i](), SHAPE, anti_aliasing=True) * 255
            for i in rng.permutation(len(PHOTOGRAPHS))[:2]
        )
        return np.asarray(np.where(mask[..., None], before, behind), np.uint8)
    image = np.where(mask[..., None], (190.0, 150.0, 110.0), 90.0)
    if kind == "textured":
        noise = gaussian_filter(rng.normal(0, 1, SHAPE), SHAPE[0] / 60)
        image += (noise / noise.std())[..., None] * 12
    return np.asarray(np.clip(image + rng.normal(0, 6, image.shape), 0, 255), np.uint8)


def prompts(mask: Mask) -> dict[str, Prompt]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (columns[0], rows[0], columns[-1], rows[-1])
    center = (SHAPE[1] / 2, SHAPE[0] / 2)
    return {
        "click": Prompt.of(SHAPE, points=center),
        "box": Prompt.of(SHAPE, box=box),
        "mask": Prompt.of(SHAPE, mask=mask),
    }


def score(model: Sam2, image: Pixels, mask: Mask, cache: FeatureCache) -> dict[str, float]:
    """Return the IoU by each prompt on the image, and of what is tracked from it."""
    ious = {}
    clip = open_frames(np.stack([np.roll(image, STEP * t, axis=1) for t in range(FRAMES)]), axes="TYXS")
    for name, prompt in prompts(mask).items():
        if name != "mask":
            still = open_video_session(model, open_frames(image[None], axes="TYXS"), cache=cache)
            ious[name] = mask_iou(still.add_prompt(0, 1, prompt).masks[0], mask)
        video = open_video_session(model, clip, cache=cache)
        video.add_prompt(0, 1, prompt)
        later = [result for result in video.propagate() if result.frame > 0]
        moved = [np.roll(mask, STEP * result.frame, axis=1) for result in later]
        ious[f"tracked from {name}"] = float(
            np.mean([mask_iou(result.masks[0], there) for result, there in zip(later, moved, strict=True)])
        )
    return ious


def both(model: Sam2, image: Pixels, mask: Mask) -> dict[str, tuple[float, float]]:
    """Return each IoU without the wider view and with it."""
    published, cache, runs = model.config, FeatureCache(2**30), []
    for view in (1.0, published.wide_view):
        model.config = replace(published, wide_view=view)
        runs.append(score(model, image, mask, cache))
    model.config = published
    return {name: (runs[0][name], runs[1][name]) for name in runs[0]}


def sizes(model: Sam2, images: int) -> Iterator[str]:
    columns = ("click", "box", "tracked from click", "tracked from box", "tracked from mask")
    yield f"| object | part of the image | {' | '.join(columns)} |"
    yield f"| --- | --- |{' --- |' * len(columns)}"
    for kind in KINDS:
        for share in SHARES:
            mask, found = object_mask(share), []
            for seed in range(images if kind == "photograph" else 1):
                rng = np.random.default_rng(seed)
                found.append(both(model, draw(kind, mask, rng), mask))
            means = [np.mean([one[name] for one in found], axis=0) for name in columns]
            cells = " | ".join(f"{before:.2f} → {after:.2f}" for before, after in means)
            yield f"| {kind} | {share:.0%} | {cells} |"


def speed(model: Sam2, repeats: int = 15) -> Iterator[str]:
    """Time what has an ordinary size, which must cost what it did."""
    yield "| an object of 5 % of the image | without | with the wider view |"
    yield "| --- | --- | --- |"
    mask = object_mask(0.05)
    image = draw("plain", mask, np.random.default_rng(0))
    click, published = prompts(mask)["click"], model.config
    taken: dict[str, list[list[float]]] = {"click": [[], []], "frame": [[], []]}
    for _ in range(repeats):
        for run, view in enumerate((1.0, published.wide_view)):
            model.config = replace(published, wide_view=view)
            session = open_video_session(model, open_frames(image[None], axes="TYXS"))
            session.encode(0)
            started = time.perf_counter()
            session.add_prompt(0, 1, click)
            taken["click"][run].append(time.perf_counter() - started)
            clip = np.stack([np.roll(image, STEP * t, axis=1) for t in range(3)])
            video = open_video_session(model, open_frames(clip, axes="TYXS"))
            video.add_prompt(0, 1, click)
            started = time.perf_counter()
            list(video.propagate())
            taken["frame"][run].append((time.perf_counter() - started) / 2)
    model.config = published
    for name, label in (("click", "click on an encoded image"), ("frame", "frame tracked")):
        before, after = (np.median(times) * 1000 for times in taken[name])
        yield f"| {label} | {before:.0f} ms | {after:.0f} ms |"


def write(path: Path, text: str) -> None:
    """Replace what lies between the marks."""
    content = path.read_text(encoding="utf-8")
    head, _, rest = content.partition(MARKS[0])
    tail = rest.partition(MARKS[1])[2]
    path.write_text(f"{head}{MARKS[0]}\n{text}\n{MARKS[1]}{tail}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--images", type=int, default=3, help="photographs per size")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    model = ModelStore("auto").get(options.model)
    lines = []
    for table in (sizes(model, options.images), speed(model)):
        for line in table:
            print(line, flush=True)
            lines.append(line)
        lines.append("")
    if options.write is not None:
        write(options.write, "\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
