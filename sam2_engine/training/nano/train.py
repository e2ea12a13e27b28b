"""Command that trains nano: ``python -m sam2_engine.training.nano.train --data FOLDER --run FOLDER``."""

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
    """Kinds of batches, taken in turn; their schedule; and the share of the initial weights in the result.

    A stage's result is the mean of the trained weights and, with the weight ``initial_share``, of those it
    started from: two runs with their own batches err differently, and the mean of their weights tracks
    better than either (Wortsman et al. 2022, "Model soups").
    """

    batch_configs: tuple[BatchConfig, ...]
    schedule: Schedule
    initial_share: float = 0.0


_WIDE = Stage(
    (
        BatchConfig(size=128, batch_size=48, max_objects=5, synthetic=0.3, corrections=1, all_styles=True),
        BatchConfig(size=256, batch_size=5, num_frames=3, max_objects=4, synthetic=0.5, all_styles=True),
        BatchConfig(size=512, batch_size=3, max_objects=16, synthetic=0.2, corrections=1, all_styles=True),
        BatchConfig(size=128, batch_size=8, num_frames=8, max_objects=3, synthetic=0.6, all_styles=True),
        BatchConfig(size=256, batch_size=12, max_objects=14, synthetic=0.25, corrections=0, all_styles=True),
        BatchConfig(size=512, batch_size=1, num_frames=4, max_objects=5, synthetic=0.6, all_styles=True),
    ),
    Schedule(2000, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
)

_ONE_MASK = Stage(
    (
        BatchConfig(size=128, batch_size=48, max_objects=5, synthetic=0.3, corrections=1, all_styles=True),
        BatchConfig(size=256, batch_size=5, num_frames=3, max_objects=4, synthetic=0.5, all_styles=True),
        BatchConfig(size=256, batch_size=12, max_objects=14, synthetic=0.2, corrections=0, all_styles=True),
        BatchConfig(
            size=384,
            batch_size=1,
            num_frames=5,
            max_objects=5,
            synthetic=0.5,
            all_styles=True,
            full_input=True,
        ),
        BatchConfig(size=512, batch_size=3, max_objects=14, synthetic=0.2, corrections=1, all_styles=True),
        BatchConfig(size=128, batch_size=8, num_frames=8, max_objects=3, synthetic=0.6, all_styles=True),
        BatchConfig(size=256, batch_size=12, max_objects=14, synthetic=0.2, corrections=0, all_styles=True),
        BatchConfig(size=512, batch_size=1, num_frames=4, max_objects=5, synthetic=0.5, all_styles=True),
        BatchConfig(size=512, batch_size=3, max_objects=8, synthetic=1.0),
    ),
    Schedule(900, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
    initial_share=0.5,
)

_IMAGES = Stage(
    (
        BatchConfig(size=256, batch_size=12, max_objects=14, synthetic=0.5, corrections=0, all_styles=True),
        BatchConfig(size=256, batch_size=5, num_frames=3, max_objects=4, synthetic=0.5, all_styles=True),
        BatchConfig(size=512, batch_size=3, max_objects=14, synthetic=0.2, corrections=1, all_styles=True),
        BatchConfig(size=256, batch_size=12, max_objects=14, synthetic=0.2, corrections=0, all_styles=True),
        BatchConfig(size=128, batch_size=8, num_frames=8, max_objects=3, synthetic=0.6, all_styles=True),
        BatchConfig(size=256, batch_size=12, max_objects=14, synthetic=0.3, corrections=1, all_styles=True),
        BatchConfig(size=512, batch_size=1, num_frames=4, max_objects=5, synthetic=0.5, all_styles=True),
        BatchConfig(size=512, batch_size=3, max_objects=14, synthetic=0.2, corrections=0, all_styles=True),
    ),
    Schedule(900, 6e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
    initial_share=0.5,
)

_SETTLE = replace(
    _IMAGES,
    schedule=replace(_IMAGES.schedule, steps=850, learning_rate=2e-4, final=0.05),
    initial_share=1 / 3,
)
"""The same batches at a small learning rate: what is left to gain is lost in the noise of small batches."""

_STAINED = replace(_IMAGES, schedule=replace(_IMAGES.schedule, learning_rate=3e-4, final=0.05))
"""Once more, now with stained tissue among the scenes, and more of it among the labeled images."""

_TWO_SIZES = Stage(
    (
        BatchConfig(size=192, batch_size=20, max_objects=14, synthetic=0.5, corrections=0, all_styles=True),
        BatchConfig(
            size=384,
            batch_size=5,
            max_objects=14,
            synthetic=0.2,
            corrections=1,
            all_styles=True,
            full_input=True,
        ),
        BatchConfig(size=512, batch_size=1, num_frames=4, max_objects=5, synthetic=0.5, all_styles=True),
        BatchConfig(size=192, batch_size=20, max_objects=14, synthetic=0.2, corrections=1, all_styles=True),
        BatchConfig(size=128, batch_size=8, num_frames=8, max_objects=3, synthetic=0.6, all_styles=True),
        BatchConfig(size=512, batch_size=3, max_objects=14, synthetic=0.2, corrections=0, all_styles=True),
        BatchConfig(
            size=384,
            batch_size=1,
            num_frames=5,
            max_objects=5,
            synthetic=0.5,
            all_styles=True,
            full_input=True,
        ),
        BatchConfig(size=192, batch_size=7, num_frames=4, max_objects=4, synthetic=0.5, all_styles=True),
    ),
    Schedule(600, 4e-4, final=0.05, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)),
    initial_share=0.5,
)
"""For windows of 12 tokens, and for an input of 384 pixels as well: tracking is then nearly twice as fast."""

STAGES = {
    "dense": Stage(
        (BatchConfig(size=256, batch_size=12, max_objects=0, synthetic=0.35),), Schedule(450, 2e-3)
    ),
    "clicks": Stage(
        (BatchConfig(size=256, batch_size=12, max_objects=6, synthetic=0.35, corrections=0),),
        Schedule(400, 1.5e-3, final=0.3, weights=LossWeights(focal=0.0, balanced=1.0)),
    ),
    "clips": Stage(
        (
            BatchConfig(size=256, batch_size=5, num_frames=3, max_objects=3, synthetic=0.8),
            BatchConfig(size=256, batch_size=12, max_objects=5, synthetic=0.35),
            BatchConfig(size=256, batch_size=4, num_frames=4, max_objects=3, synthetic=0.8),
            BatchConfig(size=512, batch_size=3, max_objects=8, synthetic=0.25),
        ),
        Schedule(
            400, 1.2e-3, final=0.2, dense_weight=0.3, weights=LossWeights(focal_alpha=0.5, balanced=0.5)
        ),
    ),
    "full-size": Stage(
        (
            BatchConfig(size=512, batch_size=3, max_objects=8, synthetic=0.5),
            BatchConfig(size=256, batch_size=5, num_frames=3, max_objects=3, synthetic=0.8),
            BatchConfig(size=512, batch_size=3, max_objects=8, synthetic=0.3),
            BatchConfig(size=512, batch_size=1, num_frames=4, max_objects=4, synthetic=0.8),
            BatchConfig(size=256, batch_size=2, num_frames=7, max_objects=3, synthetic=0.8),
        ),
        Schedule(
            2300, 1e-3, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
    "microscopy": Stage(
        (
            BatchConfig(size=256, batch_size=12, max_objects=6, synthetic=0.2),
            BatchConfig(size=256, batch_size=12, max_objects=6, synthetic=0.2),
            BatchConfig(size=512, batch_size=3, max_objects=8, synthetic=0.2),
            BatchConfig(size=256, batch_size=12, max_objects=6, synthetic=0.2, corrections=0),
            BatchConfig(size=256, batch_size=5, num_frames=3, max_objects=3, synthetic=0.7),
            BatchConfig(size=512, batch_size=1, num_frames=4, max_objects=4, synthetic=0.8),
        ),
        Schedule(
            2100, 8e-4, final=0.03, dense_weight=0.2, weights=LossWeights(focal_alpha=0.5, balanced=0.25)
        ),
    ),
    "wide": _WIDE,
    "wide-again": replace(_WIDE, initial_share=0.5),
    "one-mask": _ONE_MASK,
    "stills": _IMAGES,
    "settle": _SETTLE,
    "stained": _STAINED,
    "two-sizes": _TWO_SIZES,
}
"""Trained in this order; each starts from the result of the one before."""


def _check_exists(path: Path, hint: str) -> None:
    if not path.exists():
        raise InputError(f"There is no {path}: {hint}.")


def _weights_path(run: Path, stage: str) -> Path:
    """Return where a stage writes its weights."""
    return run / stage / "nano.safetensors"


def _initial_weights(stage: str, options: argparse.Namespace) -> Path | None:
    """Return the weights that a stage starts from: ``--from``, or those of the stage before."""
    number = list(STAGES).index(stage)
    if options.weights is not None or not number:
        weights: Path | None = options.weights
        return weights
    previous = _weights_path(options.run, list(STAGES)[number - 1])
    _check_exists(previous, "run the stage before, or give --from")
    return previous


def _make_trainer(
    stage: str, folders: list[list[LabeledImage]], start: Path | None, options: argparse.Namespace
) -> Trainer:
    """Prepare one stage, continued from its checkpoint if there is one."""
    number, schedule = list(STAGES).index(stage), STAGES[stage].schedule
    training = [[image for image in folder if not image.for_validation] for folder in folders]
    batch_configs = [
        replace(config, batch_size=config.batch_size * options.batch)
        for config in STAGES[stage].batch_configs
    ]
    curriculum = Curriculum(training, batch_configs, options.seed + number)
    schedule = schedule if options.steps is None else replace(schedule, steps=options.steps)
    trainer = Trainer(
        initialize_nano(options.seed), curriculum, schedule, options.run / stage, options.device
    )
    if trainer.step or start is None:
        return trainer
    head = None
    if options.weights is None:
        checkpoint = start.with_name("checkpoint.pt")
        head = torch.load(checkpoint, map_location=options.device, weights_only=True)["head"]
    trainer.start_from(_load_state(start), head)
    if stage == "clicks" and head is not None:
        rescale_features(trainer.model, trainer.head)
    return trainer


def _load_state(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path, device="cpu", dtype=torch.float32).state_dict()


def _train(stage: str, options: argparse.Namespace) -> Sam2:
    """Run (or continue) one stage, print its validation, and return and write its model."""
    folders, start = read_folders(options.data), _initial_weights(stage, options)
    trainer = _make_trainer(stage, folders, start, options)
    trainer.run(options.workers, seconds=options.seconds)
    nano = trainer.averaged
    if start is not None and STAGES[stage].initial_share:
        initial = _load_state(start)
        for name, value in nano.state_dict().items():
            value.lerp_(initial[name].to(value), STAGES[stage].initial_share)
    save_model(nano, _weights_path(options.run, stage))
    for folder, path in zip(folders, sorted(p for p in options.data.iterdir() if p.is_dir()), strict=True):
        iou = one_click_iou(nano, [image for image in folder if image.for_validation])
        print(f"{stage}: one click on the validation images in {path.name}: IoU {iou:.3f}", flush=True)
    return nano


def main() -> None:
    """Train nano: every stage, or one, continued from its checkpoint if there is one."""
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
    parser.add_argument("--steps", type=int, help="steps of a stage, instead of the stage's own")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop a stage after this time, with a checkpoint"
    )
    options = parser.parse_args()
    if options.weights and not options.stage:
        parser.error("--from needs --stage: the first stage starts from random weights")
    torch.set_num_threads(options.threads)
    try:
        _check_exists(options.data, "--data names the folder of labeled images")
        for stage in [options.stage] if options.stage else STAGES:
            nano = _train(stage, options)
    except InputError as error:
        parser.error(str(error))
    if options.output:
        save_model(nano, options.output, dtype=torch.float16)


if __name__ == "__main__":
    main()
