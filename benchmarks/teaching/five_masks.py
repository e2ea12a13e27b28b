"""Gain by five masks of one image, by what is trained: frozen image encoder, or low-rank adapters.

    python benchmarks/teaching/five_masks.py FOLDER [--steps 60] [--masks 5] [--only KIND]

FOLDER holds ``usiigaci_T98G``, ``c2c12_laptrack`` and ``train/dsb2018``; nano saw none of the pictures that
are used here. Each picture is a task of its own: nano is taught five of its objects, drawn by chance, and
scored by one click on each of the others, before and after, and on the objects of another picture of the set.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.datasets import AnnotatedVideo, find_dataset
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.training.fine_tuning.augmentation import AugmentationConfig
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.interactive_training import PromptConfig
from sam2_engine.training.fine_tuning.low_rank import merge_adapters
from sam2_engine.training.fine_tuning.sampling import ClipSampler
from sam2_engine.training.fine_tuning.trainer import FineTuner
from sam2_engine.training.fine_tuning.validation import click_objects
from sam2_engine.weights.loading import load_model

KINDS = {
    "frozen encoder": {},
    "frozen encoder, 3e-5": {"learning_rate": 3e-5},
    "LoRA 4, decoder": {"lora": 4, "lora_blocks": "decoder"},
    "LoRA 4, trunk and decoder": {"lora": 4},
}
QUICK = {
    "batch_size": 1,
    "prompts": PromptConfig(corrections=2),
    "augmentation": AugmentationConfig(flip=0.5),
}
MOST_SCORED = 40


@dataclass(frozen=True)
class Picture:
    """A picture, its labels, and another picture of the same kind."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    other: tuple[NDArray[np.uint8], NDArray[np.uint16]]


def pictures(folder: Path) -> Iterator[Picture]:
    """Yield those of three sets."""
    usiigaci = folder / "usiigaci_T98G"
    stack = [tifffile.imread(path) for path in sorted((usiigaci / "img").glob("*.tif"))]
    truth = np.asarray(Image.open(usiigaci / "human_gt_t000_instances_ids.png")).astype(np.uint16)
    corners = [(slice(y, y + 512), slice(x, x + 512)) for y in (0, 510) for x in (0, 512)]
    parts = [(stack[0][corner], truth[corner]) for corner in corners]
    for number in (0, 1):
        yield Picture(f"phase contrast {number}", *parts[number], parts[number + 1])
    with np.load(folder / "c2c12_laptrack" / "data_small.npz") as cells:
        frames, labels = cells["images"], cells["labels"]
    for number in (0, 5):
        yield Picture(
            f"C2C12 {number}", frames[number], labels[number], (frames[number + 4], labels[number + 4])
        )
    nuclei = folder / "train" / "dsb2018"
    names = [path.name for path in sorted((nuclei / "images").glob("*3.png"))]  # kept aside from teaching
    read = [[np.asarray(Image.open(nuclei / part / n)) for part in ("images", "labels")] for n in names]
    many = [(pixels, labels) for pixels, labels in read if len(np.unique(labels)) > 16]
    for number in (0, 3, 6):
        yield Picture(f"nuclei {number}", *many[number], many[number + 1])


def as_video(folder: Path, pixels: NDArray[np.uint8], labels: NDArray[np.uint16]) -> AnnotatedVideo:
    for part, array in (("images", pixels), ("labels", labels.astype(np.uint16))):
        (folder / part).mkdir(parents=True)
        tifffile.imwrite(folder / part / "0.tif", array)
    return find_dataset(folder, as_video=False).videos[0]


def score(model: object, video: AnnotatedVideo, without: set[int]) -> float:
    clicked = click_objects(model, video, 0, MOST_SCORED + len(without))
    ious = [
        mask_iou(logits > 0, truth)
        for object_id, truth, logits in zip(clicked.ids, clicked.ground_truth, clicked.logits, strict=True)
        if object_id not in without
    ]
    return float(np.mean(ious))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--masks", type=int, default=5)
    parser.add_argument("--image-size", type=int, help="side of nano's input; by default its own, 512")
    parser.add_argument("--pictures", nargs="*", default=[""], help="only those with this in their name")
    parser.add_argument("--only", choices=KINDS)
    arguments = parser.parse_args()
    print("| picture | trained | before | after | other picture before | after | CPU s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    gains: dict[str, list[tuple[float, float]]] = {}
    chosen = [one for one in pictures(arguments.folder) if any(w in one.name for w in arguments.pictures)]
    for picture in chosen:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            whole = as_video(folder / "whole", picture.pixels, picture.labels)
            other = as_video(folder / "other", *picture.other)
            sizes = {i: int((picture.labels == i).sum()) for i in whole.visible[0]}
            large = sorted(i for i, size in sizes.items() if size >= 40)
            taught = np.random.default_rng(0).permutation(large)[: arguments.masks]
            some = np.where(np.isin(picture.labels, taught), picture.labels, 0)
            few = as_video(folder / "few", picture.pixels, some)
            for kind, settings in KINDS.items():
                if arguments.only in (None, kind):
                    config = TrainingConfig(
                        steps=arguments.steps, image_size=arguments.image_size, **QUICK, **settings
                    )
                    row = teach(config, few, whole, other, {int(i) for i in taught})
                    gains.setdefault(kind, []).append((row[1] - row[0], row[3] - row[2]))
                    print(
                        f"| {picture.name} | {kind} | " + " | ".join(f"{v:.3f}" for v in row) + " |",
                        flush=True,
                    )
    for kind, both in gains.items():
        here, there = np.mean(both, 0)
        worse = sum(one < 0 for one, _ in both)
        print(f"{kind}: {here:+.3f} here (worse in {worse} of {len(both)}), {there:+.3f} on another picture")


def teach(
    config: TrainingConfig,
    few: AnnotatedVideo,
    whole: AnnotatedVideo,
    other: AnnotatedVideo,
    taught: set[int],
) -> tuple[float, float, float, float, float]:
    """Return the scores before and after, here and on another picture, and the seconds."""
    model = load_model("nano", "cpu", "float32", config.image_size)
    model.eval()
    here, there = score(model, whole, taught), score(model, other, set())
    began = time.process_time()
    tuner = FineTuner(model, ClipSampler([few], [[0]], config), config)
    for samples in tuner.samples():
        tuner.train_step(samples)
    merge_adapters(model)
    seconds = time.process_time() - began
    model.eval()
    return here, score(model, whole, taught), there, score(model, other, set()), seconds


if __name__ == "__main__":
    main()
