"""Draws nano_cases.png: nano's best and worst cases on images that it was not trained on.

Run as ``python docs/images/nano_cases.py [--model nano] [FILE]``; it takes about a minute. One-click masks on
scikit-image's coins and on synthetic scenes, one per style; and objects of synthetic videos, tracked from
their ground truth masks on the first frame. An image or a video gives at most one case to a row.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.segmentation import find_boundaries

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from nano_drawings import coins
from nano_evaluation import SCENE_SEED, SMALLEST, in_memory

from sam2_engine import load_model
from sam2_engine.evaluation import LabeledSequence
from sam2_engine.evaluation.image_protocol import objects_by_frame, segment_images
from sam2_engine.evaluation.labeled_sequence import MasksByObject, unpacked
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.evaluation.video_protocol import track_objects
from sam2_engine.masks import mask_center
from sam2_engine.synthetic.scenes import WIDE_IMAGE_WEIGHTS, random_scene

COLUMNS, SIDE, GAP, HEADING, CAPTION = 6, 156, 4, 20, 16
FIRST_SCENE = 100
"""Scenes of [SCENE_SEED, FIRST_SCENE + n]: not for training, nor in the tables of ``nano_evaluation.py``."""
VIDEO_STYLES = ("shapes", "things", "phase_contrast", "dividing_nuclei", "organs", "textured_objects")
FRAMES, OBJECTS_PER_SCENE, OBJECTS_PER_VIDEO = 8, 12, 4
MASK, OUTLINE, CLICK = (255, 120, 0), (0, 230, 255), (255, 255, 255)

Case = tuple[float, int, int]
"""IoU, number of the sequence, id of the object."""


def scenes(styles: Sequence[str], first: int, num_frames: int, most: int) -> Iterator[LabeledSequence]:
    """Yield a scene per style, 512 x 512 pixels, with at most so many objects, evenly chosen."""
    for number, style in enumerate(styles, first):
        clip = random_scene([SCENE_SEED, number], num_frames, 512, style)
        frames = (np.clip(clip.frames, 0, 1) * 255).round().astype(np.uint8)
        sequence = in_memory(style, frames, clip.labels)
        ids = objects_by_frame(sequence, SMALLEST).get(0, [])
        chosen = ids[:: max(1, -(-len(ids) // most))]
        if chosen:
            yield replace(sequence, ground_truth={i: sequence.ground_truth[i] for i in chosen})


def coin_sequence() -> LabeledSequence:
    """Return the photograph of coins with its coins as objects."""
    image, masks = coins()
    labels = sum((mask * number for number, mask in enumerate(masks, 1)), np.zeros(image.shape, np.uint8))
    return in_memory("coins", image[None], labels[None])


def iou(sequence: LabeledSequence, masks: MasksByObject, object_id: int, frame: int) -> float:
    """Return how well one mask fits, 0 to 1."""
    predicted = unpacked(masks, object_id, frame, sequence.frames.shape)
    return mask_iou(predicted, sequence.mask(object_id, frame))


def ranked(cases: Sequence[Case], count: int, worst: bool) -> list[Case]:
    """Return the best or the worst cases, at most one per sequence."""
    chosen: dict[int, Case] = {}
    for case in sorted(cases, reverse=not worst):
        chosen.setdefault(case[1], case)
    return list(chosen.values())[:count]


def tile(
    sequence: LabeledSequence, masks: MasksByObject, object_id: int, frame: int, clicked: bool
) -> Image.Image:
    """Cut out an object with as much again around it: the mask, the ground truth outline, the click."""
    ground_truth = sequence.mask(object_id, frame)
    predicted = unpacked(masks, object_id, frame, ground_truth.shape)
    window = around(ground_truth if ground_truth.any() else predicted)
    image = sequence.frames[frame][window]
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    scale = SIDE / max(rgb.shape[:2])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    pixels = np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    inside, edge = (enlarged(mask[window], size) for mask in (predicted, ground_truth))
    pixels[inside] = (0.55 * pixels[inside] + 0.45 * np.array(MASK)).astype(np.uint8)
    pixels[find_boundaries(edge, mode="inner")] = OUTLINE
    shown = Image.new("RGB", (SIDE, SIDE), "white")
    shown.paste(Image.fromarray(pixels))
    if clicked:
        x, y = mask_center(ground_truth)[0]
        left, top = ((x - window[1].start + 0.5) * scale, (y - window[0].start + 0.5) * scale)
        ImageDraw.Draw(shown).ellipse((left - 3, top - 3, left + 3, top + 3), CLICK, "black")
    return shown


def around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return a square of twice the object's side, as far as the image reaches."""
    if not mask.any():
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side = min(max(48, 2 * max(np.ptp(rows), np.ptp(columns)) + 2), *mask.shape)
    low = [
        int(np.clip((each[0] + each[-1] + 1 - side) // 2, 0, length - side))
        for each, length in zip((rows, columns), mask.shape, strict=True)
    ]
    return slice(low[0], low[0] + side), slice(low[1], low[1] + side)


def enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask at the size (width, height) of its tile."""
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def clicked_rows(model_name: str) -> Iterator[tuple[str, list[tuple[Image.Image, str]]]]:
    """Yield the best and the worst of one click, with titles."""
    model = load_model(model_name, device="cpu")
    styles = tuple(WIDE_IMAGE_WEIGHTS)
    sequences = [coin_sequence(), *scenes(styles, FIRST_SCENE, 1, OBJECTS_PER_SCENE)]
    masks = [segment_images(model, sequence, "1-click", min_area=SMALLEST) for sequence in sequences]
    cases = [(iou(s, masks[n], i, 0), n, i) for n, s in enumerate(sequences) for i in masks[n]]
    mean = np.mean([case[0] for case in cases])
    for worst in (False, True):
        chosen = ranked(cases, COLUMNS, worst)
        about = f"One click, {len(cases)} objects, mean IoU {mean:.2f}: the {'worst' if worst else 'best'}"
        yield (
            about,
            [
                (tile(sequences[n], masks[n], i, 0, clicked=True), f"{sequences[n].name}: IoU {score:.2f}")
                for score, n, i in chosen
            ],
        )


def tracked_rows(model_name: str) -> Iterator[tuple[str, list[tuple[Image.Image, str]]]]:
    """Yield the best and the worst of what was tracked, the first and the last frame of each."""
    model = load_model(model_name, device="cpu")
    sequences = list(scenes(VIDEO_STYLES, FIRST_SCENE + 50, FRAMES, OBJECTS_PER_VIDEO))
    masks = [track_objects(model, s, "mask", starts=dict.fromkeys(s.ground_truth, 0)) for s in sequences]
    later = range(1, FRAMES)
    cases = [
        (float(np.mean([iou(s, masks[n], i, frame) for frame in later])), n, i)
        for n, s in enumerate(sequences)
        for i in s.ground_truth
    ]
    mean = np.mean([case[0] for case in cases])
    for worst in (False, True):
        row = []
        for score, n, i in ranked(cases, COLUMNS // 2, worst):
            s = sequences[n]
            last = "frame" if s.mask(i, FRAMES - 1).any() else "gone on frame"
            row.append((tile(s, masks[n], i, 0, clicked=False), f"{s.name}: its first mask"))
            last = f"{last} {FRAMES - 1}; J of all {score:.2f}"
            row.append((tile(s, masks[n], i, FRAMES - 1, clicked=False), last))
        about = (
            f"Tracked {FRAMES - 1} frames from the ground truth mask, {len(cases)} objects, mean J {mean:.2f}"
        )
        yield f"{about}: the {'worst' if worst else 'best'}", row


def main() -> None:
    """Draw the sheet: a row for each kind of case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).with_name("nano_cases.png"))
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    rows = [*clicked_rows(options.model), *tracked_rows(options.model)]
    height = HEADING + SIDE + CAPTION + GAP
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP), len(rows) * height), "white")
    write = ImageDraw.Draw(sheet)
    for number, (title, tiles) in enumerate(rows):
        top = number * height
        write.text((2, top + 4), title, "black")
        for column, (image, caption) in enumerate(tiles):
            left = column * (SIDE + GAP)
            sheet.paste(image, (left, top + HEADING))
            write.text((left + 2, top + HEADING + SIDE + 2), caption, "black")
    palette = sheet.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(options.file, optimize=True)


if __name__ == "__main__":
    main()
