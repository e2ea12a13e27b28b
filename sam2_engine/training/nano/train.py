"""Command that trains nano: ``python -m sam2_engine.training.nano.train --data FOLDER --run FOLDER``."""

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.nano.curriculum import BatchConfig, Curriculum, folders_of, read_folders
from sam2_engine.training.nano.growth import grow
from sam2_engine.training.nano.initialization import initialize_nano, rescale_features
from sam2_engine.training.nano.labeled_images import LabeledImage
from sam2_engine.training.nano.scene_pool import ScenePool
from sam2_engine.training.nano.stages import HOURS, STAGES, Part, planned
from sam2_engine.training.nano.trainer import Trainer
from sam2_engine.training.nano.validation import one_click_iou
from sam2_engine.weights.loading import load_model, save_model

__all__ = ["main"]


def _check_exists(path: Path, hint: str) -> None:
    if not path.exists():
        raise InputError(f"There is no {path}: {hint}.")


def _weights_path(run: Path, stage: str) -> Path:
    """Return where a stage writes its weights."""
    return run / stage / "nano.safetensors"


def _initial_weights(part: Part, options: argparse.Namespace) -> Path | None:
    """Return the weights that a stage starts from: ``--from``, or those of the stage before."""
    if options.weights is not None or part.after is None:
        weights: Path | None = options.weights
        return weights
    previous = _weights_path(options.run, part.after)
    _check_exists(previous, "run the stage before, or give --from")
    return previous


def _make_trainer(
    part: Part, folders: list[list[LabeledImage]], start: Path | None, options: argparse.Namespace
) -> Trainer:
    """Prepare one stage, continued from its checkpoint if there is one."""
    number, schedule = list(STAGES).index(part.stage), STAGES[part.stage].schedule
    training = [[image for image in folder if not image.for_validation] for folder in folders]
    batch_configs = [
        replace(config, batch_size=config.batch_size * options.batch)
        for config in STAGES[part.stage].batch_configs
    ]
    curriculum = Curriculum(
        training, batch_configs, options.seed + number, _rendered_pool(batch_configs, options)
    )
    schedule = schedule if options.steps is None else replace(schedule, steps=options.steps)
    if options.learning_rate is not None:
        schedule = replace(schedule, learning_rate=options.learning_rate)
    model = initialize_nano(options.seed) if start is None else _load_start(start, options)
    trainer = Trainer(
        model,
        curriculum,
        schedule,
        options.run / part.stage,
        options.device,
        hours=part.hours,
    )
    if trainer.step or start is None:
        return trainer
    head = None
    if options.weights is None:
        checkpoint = start.with_name("checkpoint.pt")
        head = torch.load(checkpoint, map_location=options.device, weights_only=True)["head"]
    trainer.start_from(model.state_dict(), head)
    if part.stage == "clicks" and head is not None:
        rescale_features(trainer.model, trainer.head)
    return trainer


def _rendered_pool(batch_configs: list[BatchConfig], options: argparse.Namespace) -> ScenePool | None:
    """Return the pool of ``--pool`` with every scene that these batches ask for."""
    if options.pool is None:
        return None
    pool = ScenePool(options.pool, options.pool_scenes)
    started = time.monotonic()
    kinds = [config.scene_kind for config in batch_configs if config.synthetic > 0]
    if rendered := pool.render(kinds, options.workers):
        print(f"{rendered} scenes rendered in {time.monotonic() - started:.0f} s", flush=True)
    return pool


def _load_start(path: Path, options: argparse.Namespace) -> Sam2:
    """Load what a stage starts from, grown by ``--grow``; the same whenever it is loaded."""
    model = load_model(path, device="cpu", dtype=torch.float32, trainable=True)
    if model.config.name != "nano":
        raise InputError(f"{path} holds {model.config.name}: this trains nano, so give weights of nano.")
    torch.manual_seed(options.seed)
    return model if options.grow is None else grow(model, options.grow)


def _train(part: Part, options: argparse.Namespace) -> Sam2:
    """Run (or continue) one stage, write its validation, and return and write its model."""
    folders, start = read_folders(options.data), _initial_weights(part, options)
    trainer = _make_trainer(part, folders, start, options)
    trainer.run(options.workers, seconds=options.seconds)
    nano = trainer.averaged
    share = STAGES[part.stage].initial_share
    if options.hours is not None and options.weights is None:
        share = 0.0  # the stage before was too short to be worth a mean with it
    if start is not None and share:
        initial = _load_start(start, options).state_dict()
        for name, value in nano.state_dict().items():
            value.lerp_(initial[name].to(value), share)
    save_model(nano, _weights_path(options.run, part.stage))
    lines = ["set,one-click IoU of the validation images"]
    for folder, path in zip(folders, folders_of(options.data), strict=True):
        iou = one_click_iou(nano, [image for image in folder if image.for_validation])
        print(f"{part.stage}: one click on the validation images in {path.name}: IoU {iou:.3f}", flush=True)
        lines.append(f"{path.name},{iou:.3f}")
    (options.run / part.stage / "validation.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
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
        help="start from these weights, a file or nano (those that ship): --stage, or the last one",
    )
    parser.add_argument(
        "--grow",
        type=int,
        nargs="+",
        metavar="BLOCKS",
        help="with --from: so many more blocks in each stage of the trunk, for example 0 0 2 1",
    )
    parser.add_argument("--output", type=Path, help="write the weights here after the last stage")
    parser.add_argument(
        "--hours",
        type=float,
        help="train for so long, over all continuations, whatever the machine: from nothing by way of "
        f"{', '.join(HOURS)}, or from --from",
    )
    parser.add_argument("--pool", type=Path, help="render scenes once, into this folder, and replay them")
    parser.add_argument("--pool-scenes", type=int, default=300, help="scenes of each kind in the pool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=1, help="times as many samples per step, for a GPU")
    parser.add_argument("--learning-rate", type=float, help="peak, instead of the stage's own")
    parser.add_argument("--steps", type=int, help="steps of a stage, instead of the stage's own")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop a stage after this time, with a checkpoint"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        _check_exists(options.data, "--data names the folder of labeled images")
        if options.pool_scenes < 1:
            raise InputError(
                f"--pool-scenes is how many of each kind to render, 1 or more, not {options.pool_scenes}."
            )
        if options.grow is not None and options.weights is None:
            raise InputError("--grow needs --from: what is trained from nothing has nothing to keep.")
        for part in planned(options.stage, options.weights is not None, options.hours):
            nano = _train(part, options)
    except InputError as error:
        parser.error(str(error))
    if options.output:
        save_model(nano, options.output, dtype=torch.float16)


if __name__ == "__main__":
    main()
