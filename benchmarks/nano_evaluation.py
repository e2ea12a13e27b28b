"""Evaluation of a model on data that nano was not trained on: from a first mask, from one click, and speed.

    python benchmarks/nano_evaluation.py --data FOLDER [--model nano] [--only PART] [--write FILE]

FOLDER holds ``pumavos_chair/{JPEGImages,Annotations}``, ``usiigaci_T98G`` (``img``, ``id_masks``,
``human_gt_t000_instances_ids.png``), ``ct_lesion/*.npz`` (imgs, gts), ``c2c12_laptrack/data_small.npz``
(images, labels) and ``train/{dsb2018,usiigaci_stills}/{images,labels}/NNN.png``. ``--model nano@384`` is nano
with an input of 384 pixels. Prints tables; ``--write`` puts them between the two marks of a Markdown file and
leaves the rest of it alone.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sam2_engine import VideoSession, open_frames
from sam2_engine.evaluation import LabeledSequence, read_sequence
from sam2_engine.evaluation.click_baselines import CLICK_BASELINES, segment_by_baseline
from sam2_engine.evaluation.image_protocol import objects_by_frame, segment_images
from sam2_engine.evaluation.labeled_sequence import MasksByObject, pack_labels, unpacked
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.evaluation.scores import MaskScore, mean_over_objects, score_masks
from sam2_engine.evaluation.tracking_baselines import copy_first_mask, propagate_by_flow
from sam2_engine.evaluation.video_protocol import first_frames, frames_after, track_objects
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.synthetic.scenes import random_scene
from sam2_engine.training.nano.labeled_images import LabeledImage, read_folder
from sam2_plugins.runtime.model_store import ModelStore

SMALLEST = 20
"""Objects of fewer pixels are left out, as in training."""
SCENES = 10
SCENE_SEED = 2**31
"""Scenes of [SCENE_SEED, n]; those that nano is trained on have seeds of four small numbers."""
OBJECTS_PER_SCENE = 4
OBJECTS_PER_IMAGE = 24
MARKS = ("<!-- measured -->", "<!-- end of measured -->")

Table = Iterator[str]


def in_memory(name: str, frames: NDArray[np.generic], labels: NDArray[np.integer]) -> LabeledSequence:
    """Make a sequence of (T, H, W[, 3]) frames and (T, H, W) labels."""
    ground_truth: MasksByObject = {}
    for frame, image in enumerate(labels):
        pack_labels(image, frame, ground_truth)
    axes = "TYX" if frames.ndim == 3 else "TYXS"
    return LabeledSequence(name, open_frames(frames, axes=axes), ground_truth, tuple(range(len(labels))))


# ---------------------------------------------------------------------- from the first mask


def track(
    model: Sam2,
    sequences: list[LabeledSequence],
    starts: list[dict[int, int]],
    frames: list[dict[int, list[int]]],
    bidirectional: bool = False,
) -> list[tuple[MaskScore, ...]]:
    """Return the scores of the model, of copying, and of optical flow."""
    methods: list[Callable[[LabeledSequence, dict[int, int]], MasksByObject]] = [
        lambda sequence, begin: track_objects(
            model, sequence, "mask", starts=begin, bidirectional=bidirectional
        ),
        copy_first_mask,
        lambda sequence, begin: propagate_by_flow(sequence, begin, bidirectional=bidirectional),
    ]
    scores = []
    for method in methods:
        method_scores: tuple[MaskScore, ...] = ()
        for number, (sequence, begin, chosen) in enumerate(zip(sequences, starts, frames, strict=True)):
            method_scores += score_masks(sequence, method(sequence, begin), chosen, number)
        scores.append(method_scores)
    return scores


def row(name: str, scores: list[tuple[MaskScore, ...]], wanted: str) -> str:
    means = [[mean_over_objects(each, value) for each in scores] for value in (_j, _f)]
    j, f = means
    objects = len({(score.sequence, score.object_id) for score in scores[0]})
    cells = [f"{value:.3f}" for value in (*j, j[0] - j[2], *((a + b) / 2 for a, b in zip(j, f)))]
    return f"| {name} | {objects} | {' | '.join(cells)} | {wanted} |"


def _j(score: MaskScore) -> float:
    return score.j


def _f(score: MaskScore) -> float:
    return score.f


def tracking(model: Sam2, data: Path) -> Table:
    yield "## Tracked from the ground truth mask of one frame"
    yield ""
    heads = ("J", "copied: J", "DIS flow: J", "J above flow", "J&F", "copied: J&F", "DIS flow: J&F")
    yield f"| set | objects | {' | '.join(heads)} | wanted |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    chair = read_sequence(data / "pumavos_chair" / "JPEGImages", data / "pumavos_chair" / "Annotations")
    cells = read_sequence(data / "usiigaci_T98G" / "img", data / "usiigaci_T98G" / "id_masks")
    for sequence in (chair, cells):
        start = {i: frame for i, frame in first_frames(sequence).items() if frame == 0}
        scores = track(model, [sequence], [start], [frames_after(sequence, start, skip_last=False)])
        name = "pumavos_chair" if sequence is chair else "usiigaci_T98G"
        yield row(f"{name}, frame 0, {len(sequence.frames) - 1} frames on", scores, "J 0.05 above flow")
    yield from lesion(model, data)
    sequences = list(unseen_scenes())
    starts = [dict.fromkeys(sorted(s.ground_truth)[:OBJECTS_PER_SCENE], 0) for s in sequences]
    frames = [frames_after(s, begin, skip_last=False) for s, begin in zip(sequences, starts)]
    scores = track(model, sequences, starts, frames)
    yield row(f"{SCENES} unseen synthetic scenes, 7 frames on", scores, "J 0.05 above flow, J&F 0.80")


def lesion(model: Sam2, data: Path) -> Table:
    """Track the lesion from its largest slice both ways; slices without it apart."""
    (path,) = sorted((data / "ct_lesion").glob("*.npz"))
    with np.load(path) as stack:
        sequence = in_memory("CT lesion", stack["imgs"], (stack["gts"] > 0).astype(np.uint8))
    areas = {frame: int(mask.crop().sum()) for frame, mask in sequence.ground_truth[1].items()}
    start = max(areas, key=lambda frame: areas[frame])
    visible = [frame for frame in areas if frame != start]
    scores = track(model, [sequence], [{1: start}], [{1: visible}], bidirectional=True)
    yield row(f"CT lesion, slice {start}, both ways, {len(visible)} slices", scores, "J 0.05 above flow")
    empty = [frame for frame in range(len(sequence.frames)) if frame not in areas]
    masks = track(model, [sequence], [{1: start}], [{1: empty}], bidirectional=True)
    empty_masks = [sum(score.j == 1 for score in each) for each in masks]
    yield (
        f"| CT lesion, its {len(empty)} slices without a lesion: left empty by | 1 | "
        f"{empty_masks[0]} | {empty_masks[1]} | {empty_masks[2]} | | | | | |"
    )


def unseen_scenes() -> Iterator[LabeledSequence]:
    """Yield synthetic scenes of 8 frames of 512 x 512 pixels; objects of the first frame, large enough."""
    for number in range(SCENES):
        clip = random_scene([SCENE_SEED, number], num_frames=8, size=512)
        frames = (np.clip(clip.frames, 0, 1) * 255).round().astype(np.uint8)
        values, areas = np.unique(clip.labels[0], return_counts=True)
        ids = [v for v, area in zip(values, areas, strict=True) if v and area >= SMALLEST]
        yield in_memory(f"scene {number}", frames, np.where(np.isin(clip.labels, ids), clip.labels, 0))


# ---------------------------------------------------------------------- from one click


def ious(sequence: LabeledSequence, masks: MasksByObject) -> list[float]:
    """Return the IoU of every mask that is large enough."""
    return [
        mask_iou(unpacked(masks, i, frame, sequence.frames.shape), sequence.mask(i, frame))
        for frame, ids in objects_by_frame(sequence, SMALLEST).items()
        for i in ids
    ]


def clicking(model: Sam2, data: Path) -> Table:
    yield "## One click at the object's center, the model choosing its mask: mean IoU over objects"
    yield ""
    yield f"| set | objects | model | {' | '.join(CLICK_BASELINES)} | wanted |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    with np.load(data / "c2c12_laptrack" / "data_small.npz") as stack:
        c2c12 = in_memory("c2c12_laptrack, 10 frames", stack["images"], stack["labels"])
    folder = data / "usiigaci_T98G"
    t98g = read_sequence(folder / "img" / "t000.tif", folder / "human_gt_t000_instances_ids.png")
    totals = []
    for name, sequence in (("c2c12_laptrack, 10 frames", c2c12), ("usiigaci_T98G, frame 0, by hand", t98g)):
        by_method = [ious(sequence, segment_images(model, sequence, "1-click", min_area=SMALLEST))]
        by_method += [
            ious(sequence, segment_by_baseline(sequence, method, min_area=SMALLEST))
            for method in CLICK_BASELINES
        ]
        totals.append([float(np.mean(each)) for each in by_method])
        yield f"| {name} | {len(by_method[0])} | {' | '.join(f'{mean:.3f}' for mean in totals[-1])} | 0.65 |"
    means = np.mean(totals, axis=0)
    yield f"| mean of both sets | | {' | '.join(f'{mean:.3f}' for mean in means)} | 0.65 |"


def validation_images(model: Sam2, data: Path) -> Table:
    yield "## The labeled validation images (`n % 10 == 3`), one click: mean IoU over objects"
    yield ""
    yield "| set | images | objects | model | wanted |"
    yield "| --- | --- | --- | --- | --- |"
    for folder, name, wanted in (("dsb2018", "nuclei", 0.80), ("usiigaci_stills", "cells", 0.65)):
        images = [image for image in read_folder(data / "train" / folder) if image.for_validation]
        ious_by_appearance: dict[str, list[list[float]]] = {}
        for image in images:
            ious_by_appearance.setdefault(appearance_of(image), []).append(one_click(model, image))
        yield validation_row(f"{name} ({folder})", list(chain(*ious_by_appearance.values())), f"{wanted:.2f}")
        for appearance, each in sorted(ious_by_appearance.items()) if len(ious_by_appearance) > 1 else ():
            yield validation_row(f"{name}, {appearance}", each, "")


def one_click(model: Sam2, image: LabeledImage) -> list[float]:
    """Return the IoU of at most ``OBJECTS_PER_IMAGE`` objects, evenly chosen."""
    values, areas = np.unique(image.labels[image.labels > 0], return_counts=True)
    ids = values[areas >= SMALLEST]
    ids = ids[:: max(1, -(-len(ids) // OBJECTS_PER_IMAGE))]
    pixels = image.pixels[..., 0] if image.pixels.shape[-1] == 1 else image.pixels
    labels = np.where(np.isin(image.labels, ids), image.labels, 0)
    sequence = in_memory(image.name, pixels[None], labels[None])
    return ious(sequence, segment_images(model, sequence, "1-click", min_area=SMALLEST))


def appearance_of(image: LabeledImage) -> str:
    colored, bright = image.appearance
    return "in color" if colored else "gray and bright" if bright else "gray and dark"


def validation_row(name: str, images: list[list[float]], wanted: str) -> str:
    objects = list(chain(*images))
    return f"| {name} | {len(images)} | {len(objects)} | {np.mean(objects):.3f} | {wanted} |"


# ---------------------------------------------------------------------- speed


def speed(model: Sam2, data: Path) -> Table:
    yield "## Frames a second, one object, two threads"
    yield ""
    yield "| video | frames | frames/s | wanted |"
    yield "| --- | --- | --- | --- |"
    folder = data / "pumavos_chair"
    sequence = read_sequence(folder / "JPEGImages", folder / "Annotations")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    session = VideoSession(model, sequence.frames)
    session.add_mask(0, 1, sequence.mask(1, 0))
    started, frames = 0.0, 0
    for result in session.propagate():
        if result.frame == 0:
            started = time.perf_counter()
            continue
        frames += result.masks.shape[0]
    taken = time.perf_counter() - started
    torch.set_num_threads(before)
    yield f"| pumavos_chair, 720 x 480, reading included | {frames} | {frames / taken:.1f} | 10 |"


PARTS = {"tracking": tracking, "clicking": clicking, "validation": validation_images, "speed": speed}


def write(path: Path, text: str) -> None:
    """Replace what lies between the marks."""
    content = path.read_text(encoding="utf-8")
    if any(content.count(mark) != 1 for mark in MARKS):
        raise SystemExit(f"{path} needs one line {MARKS[0]} and one line {MARKS[1]} to write between.")
    head, _, rest = content.partition(MARKS[0])
    tail = rest.partition(MARKS[1])[2]
    aside = path.with_suffix(".new")
    aside.write_text(f"{head}{MARKS[0]}\n{text}\n{MARKS[1]}{tail}", encoding="utf-8")
    aside.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--only", choices=PARTS, action="append", help="Repeatable; by default all parts.")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args()
    model = ModelStore("cpu").get(options.model)
    started, lines = time.monotonic(), []
    for part in options.only or PARTS:
        for line in chain(PARTS[part](model, options.data), [""]):
            print(line, flush=True)
            lines.append(line)
    taken = f"{date.today()}, `{Path(options.model).name}`, {str(model.compute_dtype).split('.')[-1]}, "
    taken += (
        f"{torch.get_num_threads()} threads unless stated, {os.cpu_count()} cores ({platform.machine()}), "
    )
    taken += f"load {os.getloadavg()[0]:.1f}; {time.monotonic() - started:.0f} s in all."
    print(taken)
    if options.write is not None:
        write(options.write, "\n".join([taken, "", *lines]))


if __name__ == "__main__":
    main()
