"""Fine-tuning run, from annotated data to a weights file."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from sam2_engine.datasets import AnnotatedData, AnnotatedVideo
from sam2_engine.datasets.tiled_video import split_into_tiles
from sam2_engine.disk import check_space_for
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import weights_fingerprint
from sam2_engine.malloc_trim import release_freed_memory
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import to_rgb
from sam2_engine.tiles import is_large
from sam2_engine.training.fine_tuning.config import TrainingConfig, usual_steps
from sam2_engine.training.fine_tuning.distributed import ProcessGroup
from sam2_engine.training.fine_tuning.held_out_objects import holds_out_objects, split_objects
from sam2_engine.training.fine_tuning.low_rank import check_adapters, merge_adapters
from sam2_engine.training.fine_tuning.result import RunResult, make_card
from sam2_engine.training.fine_tuning.run_folder import RunFolder, alone_in
from sam2_engine.training.fine_tuning.run_log import RunLog, save_comparison
from sam2_engine.training.fine_tuning.sampling import ClipSampler, train_validation_split
from sam2_engine.training.fine_tuning.thresholds import with_measured_thresholds
from sam2_engine.training.fine_tuning.trainer import FineTuner
from sam2_engine.training.fine_tuning.validation import Score, improvement, one_click_masks, validate
from sam2_engine.weights.loading import load_model
from sam2_engine.wording import counted, duration_in_words, size_in_words

__all__ = ["Outcome", "fine_tune"]

_OBJECTS_IN_FIGURE = 24
_FIRST_CHECKPOINT = 5
_SECONDS_BETWEEN_CHECKPOINTS = 300
_WORTH_AN_ESTIMATE = 20
"""Fewer steps are taken sooner than it is known how long they take."""


@dataclass(frozen=True)
class Outcome:
    """Result of a run.

    Attributes
    ----------
    steps
        Steps done.
    finished
        Whether these are all; a run that was stopped continues when it is started again.
    before, after
        Scores on held-out frames; ``after`` only when finished.
    weights
        The file that ``load_model`` reads, when finished.
    """

    steps: int
    finished: bool
    before: Score
    after: Score | None = None
    weights: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "steps": self.steps,
            "finished": self.finished,
            "before": self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
            "weights": self.weights,
        }

    @property
    def improvement(self) -> str:
        """One line for users."""
        return "Stopped before the end." if self.after is None else improvement(self.before, self.after)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fine_tune(
    config: TrainingConfig,
    data: AnnotatedData,
    run: Path,
    output: Path | None = None,
    *,
    license: str | None = None,
    group: ProcessGroup | None = None,
    say: Callable[[str], None] = _print,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    measuring: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Fine-tune a model, or continue a run that was stopped.

    Parameters
    ----------
    config, data
        Settings, and what to train on.
    run
        Folder for checkpoint, log and figures; a run found there is continued, also to more steps than it
        was begun for.
    output
        A ``.safetensors`` file for the weights alone, or a folder, which gets their card, too; by default
        the folder ``run``.
    license
        Of the weights, for the card.
    group
        The processes that share the work.
    say
        Called with lines for users, of which one estimates the time before the first step; by default they
        are printed on standard error.
    progress, should_stop
        Called with steps done and in all, and before every step.
    measuring
        Called while the model is scored, before and after, with what is done and in all.

    Raises
    ------
    InputError
        If the model or the data cannot be used, the folder holds another run or one that is under way, or
        a file cannot be written; the last checkpoint stays.
    """
    group = group or ProcessGroup()
    say = say if group.is_main_process else lambda line: None
    # What "auto" takes on a CPU was measured without gradients.
    on_cpu = config.dtype == "auto" and find_device(group.device).type == "cpu"
    model = load_model(config.model, group.device, "float32" if on_cpu else config.dtype, config.image_size)
    _check_shapes(model, data)
    if config.lora:
        check_adapters(model, config.lora, config.lora_blocks)
    alone = alone_in(run) if group.is_main_process else nullcontext()
    with data.seen_by(model.config.intensities) as seen, alone:
        return _fine_tune(
            model, config, seen, run, output, license, group, say, progress, measuring, should_stop
        )


def _check_shapes(model: Sam2, data: AnnotatedData) -> None:
    """Refuse planes that would be squashed for a model that is shown padded ones."""
    if not model.config.keeps_aspect_ratio:
        return
    for video in data.videos:
        if video.shape[0] != video.shape[1]:
            raise InputError(
                f"{video.name} is {video.shape[1]} x {video.shape[0]} pixels, and a model that pads planes "
                "is taught on squares alone: crop the images, or pad them with black on the right or "
                "below."
            )


def _fine_tune(
    model: Sam2,
    config: TrainingConfig,
    data: AnnotatedData,
    run: Path,
    output: Path | None,
    license: str | None,
    group: ProcessGroup,
    say: Callable[[str], None],
    progress: Callable[[int, int | None], None],
    measuring: Callable[[int, int | None], None],
    should_stop: Callable[[], bool],
) -> Outcome:
    whole = _Split.of(data.videos)
    split = whole.in_tiles(model.image_size)
    sampler = ClipSampler(split.videos, split.training, config)
    if not sampler.images:
        raise InputError(
            "No object is on a training frame: all are on frames held out for validation; annotate more."
        )
    folder = RunFolder(run)
    result = RunResult.of(output or run, model, config, license)
    state = folder.load()
    begun = folder.read("settings.json") or {}
    if config.steps is None:
        usual = usual_steps(len(sampler.images), config.batch_size)
        config = replace(config, steps=begun.get("steps", usual))
    if group.is_main_process:
        same = {"data": replace(data, videos=split.videos).fingerprint, "weights": weights_fingerprint(model)}
        folder.claim({**config.to_dict(), **same}, 0 if state is None else state["step"])
    features = run / "features" if config.features_on_disk else None
    tuner = FineTuner(model, sampler, config, group, features)
    if state is not None:
        tuner.resume(state)
        say(f"Continuing {run} after step {tuner.step} of {config.steps}.")
    if group.is_main_process:
        result.make_folder()
        _check_space(tuner, folder, split, result)
    _describe(tuner, whole, split, say)
    if config.lora and not result.as_adapter:
        say(f"The whole model will be written, no adapter: {config.model} is none that others have by name.")
    loop = _TrainingLoop(tuner, folder, split, measuring)
    before = loop.score("before") if group.is_main_process else Score(None, None, 0, 0)
    release_freed_memory()
    group.barrier()
    if config.total_steps - tuner.step >= _WORTH_AN_ESTIMATE and not should_stop():
        about = duration_in_words(tuner.rehearse() + loop.seconds_of_scoring)
        say(f"{counted(config.total_steps - tuner.step, 'step')}: about {about}.")
    finished = loop.run(say, progress, should_stop)
    if not finished or not group.is_main_process:
        return Outcome(tuner.step, finished, before)
    after = _write(result, loop, replace(data, videos=whole.videos), whole, before)
    return Outcome(tuner.step, True, before, after, result.weights)


def _write(
    result: RunResult, loop: "_TrainingLoop", data: AnnotatedData, whole: "_Split", before: Score
) -> Score:
    """Write the weights that a run ends with, and their card; return their score."""
    model, split = loop.model, loop.split
    adapters = merge_adapters(model)
    after = loop.score("after")
    model.config = with_measured_thresholds(model, split.videos, split.validation)
    result.save(model, adapters)
    result.save_card(make_card(result, model, loop.tuner.config, data, whole.training, (before, after)))
    return after


def _check_space(tuner: FineTuner, folder: RunFolder, split: "_Split", result: RunResult) -> None:
    """Raise before the first step if what the run writes will not fit beside what is there.

    A checkpoint stays until the next one is complete.
    """
    steps, few = tuner.config.total_steps, min(_FIRST_CHECKPOINT, tuner.config.save_every)
    checkpoints = 1 if folder.checkpoint.exists() or steps <= few else 2
    parameters = tuner.trainable_parameters.values() if result.as_adapter else tuner.model.parameters()
    weights = sum(parameter.numel() for parameter in parameters) * torch.float32.itemsize
    state = checkpoints * tuner.state_bytes if tuner.step < steps else 0
    files = {folder.checkpoint: state, result.weights: weights}
    if tuner.config.features_on_disk and not tuner.config.changes_encoder:
        features = folder.path / "features"
        there = sum(file.stat().st_size for file in features.glob("*"))
        files[features] = max(_feature_bytes(tuner, split) - there, 0)
    check_space_for(files)


def _feature_bytes(tuner: FineTuner, split: "_Split") -> int:
    """Return how much all training frames take when they are encoded."""
    model = tuner.model
    width = 2 if model.compute_dtype != torch.float32 else 4
    one = model.config.hidden_dim * model.grid**2 * (1 + 16 / 8 + 4 / 4) * width
    return int(one) * sum(len(frames) for frames in split.training) * tuner.config.views


@dataclass(frozen=True)
class _Split:
    """Videos, and the frames of each for training and for validation."""

    videos: tuple[AnnotatedVideo, ...]
    training: list[list[int]]
    validation: list[list[int]]
    by_objects: bool = False

    @classmethod
    def of(cls, videos: tuple[AnnotatedVideo, ...]) -> "_Split":
        """Hold out frames, or, of an image alone or two with few objects, objects."""
        if holds_out_objects(videos):
            return cls(*split_objects(videos), by_objects=True)
        return cls(videos, *train_validation_split(videos))

    def counts(self, frames_of: list[list[int]]) -> str:
        """Return how much one half of it is: frames, or objects."""
        if not self.by_objects:
            return counted(sum(map(len, frames_of)), "frame")
        visible = (video.visible[f] for video, frames in zip(self.videos, frames_of) for f in frames)
        return counted(sum(map(len, visible)), "object")

    def in_tiles(self, side: int) -> "_Split":
        """Split large planes into tiles; a validation frame is one in all its tiles."""
        parts = [split_into_tiles(video, side) for video in self.videos]
        origins = [v for v, part in enumerate(parts) for _ in part]
        training, validation = ([frames[v] for v in origins] for frames in (self.training, self.validation))
        return _Split(tuple(chain.from_iterable(parts)), training, validation, self.by_objects)


def _describe(tuner: FineTuner, whole: _Split, split: _Split, say: Callable[[str], None]) -> None:
    config, model = tuner.config, tuner.model
    count = sum(parameter.numel() for parameter in tuner.trainable_parameters.values())
    part = "all of it" if config.train_image_encoder else "the image encoder is frozen"
    part = f"adapters on {config.lora_blocks}" if config.lora else part
    say(f"Training {count / 1e6:.1f} M parameters of {model.config.name} on {model.device} ({part}).")
    held_out = whole.counts(whole.validation).split()[0]
    say(f"{whole.counts(whole.training)} for training, {held_out} held out for validation.")
    if large := sum(is_large(video.shape, model.image_size) for video in whole.videos):
        _describe_tiles(large, split, model.image_size, say)
    if config.changes_encoder or config.features_on_disk:
        return
    need = _feature_bytes(tuner, split)
    if need > config.feature_bytes:
        say(
            f"Encoded, all frames take {size_in_words(need)}, more than the "
            f"{size_in_words(config.feature_bytes)} cached in memory: some are encoded more than once "
            "(features_on_disk caches them all)."
        )


def _describe_tiles(large: int, split: _Split, side: int, say: Callable[[str], None]) -> None:
    parts = [video for video in split.videos if video.whole is not None]
    tiles = [video for video in parts if max(video.shape) <= side]
    larger = "; objects larger than a tile on the whole plane" if len(tiles) < len(parts) else ""
    say(
        f"{large} large {'images or videos are' if large > 1 else 'image or video is'} split into "
        f"{counted(len(tiles), 'tile')} of {side} x {side} pixels{larger}."
    )


class _TrainingLoop:
    """Steps of one run, with checkpoints, log and figures."""

    def __init__(
        self,
        tuner: FineTuner,
        folder: RunFolder,
        split: _Split,
        measuring: Callable[[int, int | None], None],
    ) -> None:
        self.tuner = tuner
        self.folder = folder
        self.split = split
        self.measuring = measuring
        self.seconds_of_scoring = 0.0
        self._saved = time.monotonic()

    @property
    def model(self) -> Sam2:
        return self.tuner.model

    def score(self, when: str) -> Score:
        """Validate, or return the score that was measured at the same point before."""
        known = self.folder.read("held_out.json") or {}
        if when in known and (when == "before" or known.get("steps") == self.tuner.step):
            return Score.from_dict(known[when])
        if when == "before" and self.tuner.step:
            raise InputError(f"{self.folder.path} lacks held_out.json; give another folder for the run.")
        started, split = time.monotonic(), self.split
        halves = split.training, split.validation
        score = validate(self.model, split.videos, *halves, self.measuring, by_objects=split.by_objects)
        self.seconds_of_scoring = time.monotonic() - started
        self.folder.write("held_out.json", {**known, when: score.to_dict(), "steps": self.tuner.step})
        return score

    def run(
        self,
        say: Callable[[str], None],
        progress: Callable[[int, int | None], None],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Take the remaining steps; False if stopped before the last one."""
        tuner, config, group = self.tuner, self.tuner.config, self.tuner.group
        log = RunLog(self.folder.path, tuner.step) if group.is_main_process else None
        if log is not None and log.hint:
            say(log.hint)
        try:
            for samples in tuner.samples():
                if self._any_stops(should_stop()):
                    self._save_checkpoint()
                    return False
                started = time.monotonic()
                losses = tuner.train_step(samples)
                if log is not None:
                    log.write(tuner.step, {**losses, "seconds": time.monotonic() - started})
                    progress(tuner.step, config.steps)
                last = tuner.step == config.steps
                if last or self._is_due():
                    self._save_checkpoint()
                if group.is_main_process and (last or tuner.step % config.image_every == 0):
                    self._save_figure()
        finally:
            if log is not None:
                log.close()
        return True

    def _any_stops(self, stop: bool) -> bool:
        group = self.tuner.group
        if group.size == 1:
            return stop
        return bool(group.all_reduce(torch.tensor(int(stop), device=self.model.device)) > 0)

    def _is_due(self) -> bool:
        """Whether to save: early once, each so many steps, and where these take long more often."""
        step, every = self.tuner.step, self.tuner.config.save_every
        late = time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS
        return step == min(_FIRST_CHECKPOINT, every) or step % every == 0 or late

    def _save_checkpoint(self) -> None:
        if self.tuner.group.is_main_process:
            self.folder.save(self.tuner.state())
        self._saved = time.monotonic()

    def _save_figure(self) -> None:
        """Write predictions beside the ground truth, of the first validation frame, else training frame."""
        split = self.split
        candidates = [
            (video, frame)
            for frames_of in (split.validation, split.training)
            for video, frames in zip(split.videos, frames_of, strict=True)
            for frame in frames
            if video.visible[frame]
        ]
        video, frame = candidates[0]
        self.model.eval()
        _, ground_truth, predicted = one_click_masks(self.model, video, frame, _OBJECTS_IN_FIGURE)
        name = f"step_{self.tuner.step:06d}.png"
        rgb = to_rgb(video.frames[frame], video.window)
        save_comparison(self.folder.path / "pictures" / name, rgb, ground_truth, predicted)
