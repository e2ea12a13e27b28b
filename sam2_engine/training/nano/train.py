"""How nano is made: ``python -m sam2_engine.training.nano.train --data FOLDER --run FOLDER``."""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.losses import LossWeights
from sam2_engine.training.nano.curriculum import BatchConfig, Curriculum, read_folders
from sam2_engine.training.nano.initialization import initialize_nano, rescale_features
from sam2_engine.training.nano.labeled_images import LabeledImage
from sam2_engine.training.nano.trainer import Schedule, Trainer
from sam2_engine.training.nano.validation import one_click_iou
from sam2_engine.weights.loading import load_model, save_model

__all__ = ["STAGES", "main"]


@dataclass(frozen=True)
class Stage:
    """Lessons taken in turn, their schedule, and how much of the weights it started from stays.

    What a stage leaves is the mean of what it learned and, with the weight ``kept``, of where it started:
    two runs with their own batches err differently, and the mean of their weights follows better than
    either (Wortsman et al. 2022, "Model soups").
    """

    batch_configs: tuple[BatchConfig, ...]
    schedule: Schedule
    kept: float = 0.0


_WIDE = Stage(
    (
        BatchConfig(128, 48, 1, 5, 0.3, corrections=1, wide=True),
        BatchConfig(256, 5, 3, 4, 0.5, wide=True),
        BatchConfig(512, 3, 1, 16, 0.2, corrections=1, wide=True),
        BatchConfig(128, 8, 8, 3, 0.6, wide=True),
        BatchConfig(256, 12, 1, 14, 0.25, corrections=0, wide=True),
        BatchConfig(512, 1, 4, 5, 0.6, wide=True),
    ),
    Schedule(2000, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
)

_ONE_MASK = Stage(
    (
        BatchConfig(128, 48, 1, 5, 0.3, corrections=1, wide=True),
        BatchConfig(256, 5, 3, 4, 0.5, wide=True),
        BatchConfig(256, 12, 1, 14, 0.2, corrections=0, wide=True),
        BatchConfig(384, 1, 5, 5, 0.5, wide=True, whole=True),
        BatchConfig(512, 3, 1, 14, 0.2, corrections=1, wide=True),
        BatchConfig(128, 8, 8, 3, 0.6, wide=True),
        BatchConfig(256, 12, 1, 14, 0.2, corrections=0, wide=True),
        BatchConfig(512, 1, 4, 5, 0.5, wide=True),
        BatchConfig(512, 3, 1, 8, 1.0),
    ),
    Schedule(900, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
    kept=0.5,
)

_STILLS = Stage(
    (
        BatchConfig(256, 12, 1, 14, 0.5, corrections=0, wide=True),
        BatchConfig(256, 5, 3, 4, 0.5, wide=True),
        BatchConfig(512, 3, 1, 14, 0.2, corrections=1, wide=True),
        BatchConfig(256, 12, 1, 14, 0.2, corrections=0, wide=True),
        BatchConfig(128, 8, 8, 3, 0.6, wide=True),
        BatchConfig(256, 12, 1, 14, 0.3, corrections=1, wide=True),
        BatchConfig(512, 1, 4, 5, 0.5, wide=True),
        BatchConfig(512, 3, 1, 14, 0.2, corrections=0, wide=True),
    ),
    Schedule(900, 6e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
    kept=0.5,
)

_SETTLE = replace(
    _STILLS, schedule=replace(_STILLS.schedule, steps=850, learning_rate=2e-4, final=0.05), kept=1 / 3
)
"""The same lessons in small steps: what is left to gain is lost in the noise of small batches."""

_STAINED = replace(_STILLS, schedule=replace(_STILLS.schedule, learning_rate=3e-4, final=0.05))
"""Once more, now with stained tissue among the scenes, and more of it among the labeled pictures."""

_TWO_SIZES = Stage(
    (
        BatchConfig(192, 20, 1, 14, 0.5, corrections=0, wide=True),
        BatchConfig(384, 5, 1, 14, 0.2, corrections=1, wide=True, whole=True),
        BatchConfig(512, 1, 4, 5, 0.5, wide=True),
        BatchConfig(192, 20, 1, 14, 0.2, corrections=1, wide=True),
        BatchConfig(128, 8, 8, 3, 0.6, wide=True),
        BatchConfig(512, 3, 1, 14, 0.2, corrections=0, wide=True),
        BatchConfig(384, 1, 5, 5, 0.5, wide=True, whole=True),
        BatchConfig(192, 7, 4, 4, 0.5, wide=True),
    ),
    Schedule(600, 4e-4, final=0.05, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
    kept=0.5,
)
"""For windows of 12 tokens, and for an input of 384 pixels as well, followed at nearly twice the speed."""

STAGES = {
    "dense": Stage((BatchConfig(256, 12, 1, 0, 0.35),), Schedule(450, 2e-3)),
    "clicks": Stage(
        (BatchConfig(256, 12, 1, 6, 0.35, corrections=0),),
        Schedule(400, 1.5e-3, final=0.3, weights=LossWeights(focal=0.0, balanced=1.0)),
    ),
    "clips": Stage(
        (
            BatchConfig(256, 5, 3, 3, 0.8),
            BatchConfig(256, 12, 1, 5, 0.35),
            BatchConfig(256, 4, 4, 3, 0.8),
            BatchConfig(512, 3, 1, 8, 0.25),
        ),
        Schedule(
            400, 1.2e-3, final=0.2, dense_weight=0.3, weights=LossWeights(focal_alpha=0.5, balanced=0.5)
        ),
    ),
    "full-size": Stage(
        (
            BatchConfig(512, 3, 1, 8, 0.5),
            BatchConfig(256, 5, 3, 3, 0.8),
            BatchConfig(512, 3, 1, 8, 0.3),
            BatchConfig(512, 1, 4, 4, 0.8),
            BatchConfig(256, 2, 7, 3, 0.8),
        ),
        Schedule(
            2300, 1e-3, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
    "microscopy": Stage(
        (
            BatchConfig(256, 12, 1, 6, 0.2),
            BatchConfig(256, 12, 1, 6, 0.2),
            BatchConfig(512, 3, 1, 8, 0.2),
            BatchConfig(256, 12, 1, 6, 0.2, corrections=0),
            BatchConfig(256, 5, 3, 3, 0.7),
            BatchConfig(512, 1, 4, 4, 0.8),
        ),
        Schedule(
            2100, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
    "wide": _WIDE,
    "wide-again": replace(_WIDE, kept=0.5),
    "one-mask": _ONE_MASK,
    "stills": _STILLS,
    "settle": _SETTLE,
    "stained": _STAINED,
    "two-sizes": _TWO_SIZES,
}
"""Taught in this order; each starts from what the one before left."""


def _check_is_there(path: Path, hint: str) -> None:
    if not path.exists():
        raise InputError(f"There is no {path}: {hint}.")


def _result(run: Path, stage: str) -> Path:
    """Return where a stage leaves its weights."""
    return run / stage / "nano.safetensors"


def _start(stage: str, options: argparse.Namespace) -> Path | None:
    """Return the weights that a stage starts from: given ones, or what the stage before left."""
    number = list(STAGES).index(stage)
    if options.weights is not None or not number:
        given: Path | None = options.weights
        return given
    before = _result(options.run, list(STAGES)[number - 1])
    _check_is_there(before, "run the stage before, or give --from")
    return before


def _trainer(
    stage: str, pictures: list[list[LabeledImage]], start: Path | None, options: argparse.Namespace
) -> Trainer:
    """Prepare one stage, continued from its checkpoint if there is one."""
    plan, number = STAGES[stage], list(STAGES).index(stage)
    learned = [[picture for picture in folder if not picture.kept] for folder in pictures]
    batch_configs = [replace(one, batch_size=one.batch_size * options.batch) for one in plan.batch_configs]
    curriculum = Curriculum(learned, batch_configs, options.seed + number)
    schedule = plan.schedule if options.steps is None else replace(plan.schedule, steps=options.steps)
    trainer = Trainer(
        initialize_nano(options.seed), curriculum, schedule, options.run / stage, options.device
    )
    if trainer.step or start is None:
        return trainer
    head = None
    if options.weights is None:
        checkpoint = start.with_name("checkpoint.pt")
        head = torch.load(checkpoint, map_location=options.device, weights_only=True)["head"]
    trainer.start_from(_weights(start), head)
    if stage == "clicks" and head is not None:
        rescale_features(trainer.model, trainer.head)
    return trainer


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path, device="cpu", dtype=torch.float32).state_dict()


def _train(stage: str, options: argparse.Namespace) -> Sam2:
    """Run (or continue) one stage, print its validation, and return and write what it leaves."""
    pictures, start = read_folders(options.data), _start(stage, options)
    trainer = _trainer(stage, pictures, start, options)
    trainer.run(options.workers, seconds=options.seconds)
    nano = trainer.averaged
    if start is not None and STAGES[stage].kept:
        started = _weights(start)
        for name, value in nano.state_dict().items():
            value.lerp_(started[name].to(value), STAGES[stage].kept)
    save_model(nano, _result(options.run, stage))
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
        _check_is_there(options.data, "--data names the folder of labeled pictures")
        for stage in [options.stage] if options.stage else STAGES:
            nano = _train(stage, options)
    except InputError as error:
        parser.error(str(error))
    if options.output:
        save_model(nano, options.output, dtype=torch.float16)


if __name__ == "__main__":
    main()
