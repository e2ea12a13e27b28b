"""How nano is made: ``python -m sam2_engine.training.train_nano --data FOLDER --run FOLDER``."""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sam2_engine.checkpoints import load_model, save_model
from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.batches import Curriculum, Lesson, read_folders
from sam2_engine.training.first_weights import quieten_features, untaught_nano
from sam2_engine.training.labelled_images import LabelledImage
from sam2_engine.training.losses import LossWeights
from sam2_engine.training.trainer import Schedule, Trainer
from sam2_engine.training.validation import one_click_iou

__all__ = ["STAGES", "main"]


@dataclass(frozen=True)
class Stage:
    """Lessons taken in turn, and their schedule."""

    lessons: tuple[Lesson, ...]
    schedule: Schedule


STAGES = {
    "dense": Stage((Lesson(256, 12, 1, 0, 0.35),), Schedule(450, 2e-3)),
    "clicks": Stage(
        (Lesson(256, 12, 1, 6, 0.35, corrections=0),),
        Schedule(400, 1.5e-3, final=0.3, weights=LossWeights(focal=0.0, balanced=1.0)),
    ),
    "clips": Stage(
        (
            Lesson(256, 5, 3, 3, 0.8),
            Lesson(256, 12, 1, 5, 0.35),
            Lesson(256, 4, 4, 3, 0.8),
            Lesson(512, 3, 1, 8, 0.25),
        ),
        Schedule(
            400, 1.2e-3, final=0.2, dense_weight=0.3, weights=LossWeights(focal_alpha=0.5, balanced=0.5)
        ),
    ),
    "full-size": Stage(
        (
            Lesson(512, 3, 1, 8, 0.5),
            Lesson(256, 5, 3, 3, 0.8),
            Lesson(512, 3, 1, 8, 0.3),
            Lesson(512, 1, 4, 4, 0.8),
            Lesson(256, 2, 7, 3, 0.8),
        ),
        Schedule(
            2300, 1e-3, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
    "microscopy": Stage(
        (
            Lesson(256, 12, 1, 6, 0.2),
            Lesson(256, 12, 1, 6, 0.2),
            Lesson(512, 3, 1, 8, 0.2),
            Lesson(256, 12, 1, 6, 0.2, corrections=0),
            Lesson(256, 5, 3, 3, 0.7),
            Lesson(512, 1, 4, 4, 0.8),
        ),
        Schedule(
            2100, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
    "wide": Stage(
        (
            Lesson(128, 48, 1, 5, 0.3, corrections=1, wide=True),
            Lesson(256, 5, 3, 4, 0.5, wide=True),
            Lesson(512, 3, 1, 16, 0.2, corrections=1, wide=True),
            Lesson(128, 8, 8, 3, 0.6, wide=True),
            Lesson(256, 12, 1, 14, 0.25, corrections=0, wide=True),
            Lesson(512, 1, 4, 5, 0.6, wide=True),
        ),
        Schedule(
            3000, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
}
"""Taught in this order; each starts from the averaged weights of the one before."""


def _check_is_there(path: Path, hint: str) -> None:
    if not path.exists():
        raise InputError(f"There is no {path}: {hint}.")


def _trainer(stage: str, pictures: list[list[LabelledImage]], options: argparse.Namespace) -> Trainer:
    """Prepare one stage: continued from its checkpoint, else from given weights or the stage before."""
    plan, number, run = STAGES[stage], list(STAGES).index(stage), options.run
    learned = [[picture for picture in folder if not picture.kept] for folder in pictures]
    lessons = [replace(one, batch_size=one.batch_size * options.batch) for one in plan.lessons]
    curriculum = Curriculum(learned, lessons, options.seed + number)
    schedule = plan.schedule if options.steps is None else replace(plan.schedule, steps=options.steps)
    trainer = Trainer(untaught_nano(options.seed), curriculum, schedule, run / stage, options.device)
    if trainer.step:
        return trainer
    if options.weights is not None:
        trainer.start_from(load_model(options.weights, device="cpu", dtype=torch.float32).state_dict())
    elif number:
        checkpoint = run / list(STAGES)[number - 1] / "checkpoint.pt"
        _check_is_there(checkpoint, "run the stage before, or give --from")
        before = torch.load(checkpoint, map_location=options.device, weights_only=True)
        trainer.start_from(before["averaged"], before["head"])
        if stage == "clicks":
            quieten_features(trainer.model, trainer.head)
    return trainer


def _teach(stage: str, options: argparse.Namespace) -> Sam2:
    """Run (or continue) one stage, print its validation, and return the averaged model."""
    pictures = read_folders(options.data)
    trainer = _trainer(stage, pictures, options)
    trainer.run(options.workers, seconds=options.seconds)
    nano = trainer.averaged
    for folder, path in zip(pictures, sorted(p for p in options.data.iterdir() if p.is_dir()), strict=True):
        iou = one_click_iou(nano, [picture for picture in folder if picture.kept])
        print(f"{stage}: one click on the pictures kept aside in {path.name}: IoU {iou:.3f}", flush=True)
    return nano


def main() -> None:
    """Teach nano; every stage, or one, continued from its checkpoint if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of folders with images/ and labels/")
    parser.add_argument("--run", type=Path, default=Path("runs/nano"), help="where checkpoints and logs go")
    parser.add_argument("--stage", choices=list(STAGES), help="this stage alone (default: all)")
    parser.add_argument(
        "--from",
        dest="weights",
        type=Path,
        help="start --stage from these weights, not from the stage before",
    )
    parser.add_argument("--output", type=Path, help="write the weights here after the last stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=1, help="times as many samples per step, for a GPU")
    parser.add_argument("--steps", type=int, help="steps of a stage, instead of the recipe's")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop a stage after this time, with a checkpoint"
    )
    options = parser.parse_args()
    if options.weights and not options.stage:
        parser.error("--from needs --stage: the first stages start from nothing")
    torch.set_num_threads(options.threads)
    try:
        _check_is_there(options.data, "--data names the folder of labelled pictures")
        for stage in [options.stage] if options.stage else STAGES:
            nano = _teach(stage, options)
    except InputError as error:
        parser.error(str(error))
    if options.output:
        save_model(nano, options.output, dtype=torch.float16)


if __name__ == "__main__":
    main()
