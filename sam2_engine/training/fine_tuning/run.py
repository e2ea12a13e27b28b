"""Adapt a model to somebody's own pictures: the whole run, from a folder of annotations to a weights file."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import torch

from sam2_engine.datasets import AnnotatedData, AnnotatedVideo
from sam2_engine.datasets.tiled_video import in_tiles
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import weights_fingerprint
from sam2_engine.malloc_trim import release_freed_memory
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import to_rgb
from sam2_engine.tiles import is_large
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.distributed import ProcessGroup
from sam2_engine.training.fine_tuning.run_folder import RunFolder
from sam2_engine.training.fine_tuning.run_log import RunLog, save_comparison
from sam2_engine.training.fine_tuning.sampling import ClipSampler, held_out_split
from sam2_engine.training.fine_tuning.trainer import FineTuner
from sam2_engine.training.fine_tuning.validation import Score, improvement, measure, one_click_masks
from sam2_engine.weights.loading import load_model, save_model
from sam2_engine.wording import counted

__all__ = ["Outcome", "fine_tune"]

_PICTURED = 24


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes
    ----------
    steps
        Steps that are done.
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

    @property
    def improvement(self) -> str:
        """One line for people."""
        return "Stopped before the end." if self.after is None else improvement(self.before, self.after)


def fine_tune(
    config: TrainingConfig,
    data: AnnotatedData,
    run: Path,
    output: Path | None = None,
    *,
    group: ProcessGroup | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Fine-tune a model, or go on with a run that was stopped.

    Parameters
    ----------
    config, data
        How, and from what.
    run
        Folder for checkpoint, log and pictures; a run found there is continued.
    output
        Where the weights go; by default ``model.safetensors`` in ``run``.
    group
        The processes that share the work.
    say, progress, should_stop
        Called with lines for people, with steps done and in all, and before every step.

    Raises
    ------
    InputError
        If the model or the data cannot be used, the folder holds another run, or a file cannot be
        written; the last checkpoint is kept.
    """
    group = group or ProcessGroup()
    say = say if group.is_main_process else lambda line: None
    model = load_model(config.model, group.device, config.dtype, config.image_size)
    whole = _Split(data.videos, *held_out_split(data.videos))
    split = whole.in_tiles(model.image_size)
    sampler = ClipSampler(split.videos, split.learned, config)
    if not sampler.pictures:
        raise InputError(
            "No object is on a frame that may be learned: all are on the held-out ones; add frames."
        )
    folder = RunFolder(run)
    if group.is_main_process:
        same = {"data": replace(data, videos=split.videos).fingerprint, "weights": weights_fingerprint(model)}
        folder.claim({**config.to_dict(), **same})
    features = run / "features" if config.features_on_disk else None
    tuner = FineTuner(model, sampler, config, group, features)
    if (state := folder.load()) is not None:
        tuner.resume(state)
        say(f"Continuing {run} after step {tuner.step}.")
    _announce(tuner, whole, split, say)
    course = _Course(tuner, folder, split)
    before = course.score("before") if group.is_main_process else Score(None, None, 0, 0)
    release_freed_memory()
    group.wait()
    finished = course.run(say, progress, should_stop)
    if not finished or not group.is_main_process:
        return Outcome(tuner.step, finished, before)
    after = course.score("after")
    target = output or run / "model.safetensors"
    save_model(model, target)
    return Outcome(tuner.step, True, before, after, target)


@dataclass(frozen=True)
class _Split:
    """Videos, and which frames of each are learned, and held out to measure by."""

    videos: tuple[AnnotatedVideo, ...]
    learned: list[list[int]]
    held: list[list[int]]

    def in_tiles(self, side: int) -> "_Split":
        """Return the tiles of large planes instead of them; a held-out frame is held out in all its tiles."""
        parts = [in_tiles(video, side) for video in self.videos]
        origins = [v for v, part in enumerate(parts) for _ in part]
        learned, held = ([frames[v] for v in origins] for frames in (self.learned, self.held))
        return _Split(tuple(chain.from_iterable(parts)), learned, held)


def _announce(tuner: FineTuner, whole: _Split, split: _Split, say: Callable[[str], None]) -> None:
    config, model = tuner.config, tuner.model
    count = sum(parameter.numel() for parameter in tuner.trainable_parameters.values())
    part = "all of it" if config.train_image_encoder else "the image encoder stays as it is"
    say(f"Learning {count / 1e6:.1f} M parameters of {model.config.name} on {model.device} ({part}).")
    say(
        f"{sum(len(frames) for frames in whole.learned)} frames are learned, "
        f"{sum(len(frames) for frames in whole.held)} are held out to measure by."
    )
    if large := sum(is_large(video.shape, model.image_size) for video in whole.videos):
        _announce_tiles(large, split, model.image_size, say)
    if config.train_image_encoder or config.features_on_disk:
        return
    width = 2 if model.compute_dtype != torch.float32 else 4
    one = model.config.hidden_dim * model.grid**2 * (1 + 16 / 8 + 4 / 4) * width
    need = one * sum(len(frames) for frames in split.learned) * config.views
    if need > config.feature_bytes:
        say(
            f"Encoded, all frames take {need / 1e9:.1f} GB, more than the {config.feature_bytes / 1e9:.1f} "
            "GB kept in memory: some are encoded more than once (features_on_disk keeps them all)."
        )


def _announce_tiles(large: int, split: _Split, side: int, say: Callable[[str], None]) -> None:
    parts = [video for video in split.videos if video.whole is not None]
    tiles = [video for video in parts if max(video.shape) <= side]
    larger = "; objects larger than a tile on the whole plane" if len(tiles) < len(parts) else ""
    say(
        f"{large} large {'pictures or videos are' if large > 1 else 'picture or video is'} learned in "
        f"{counted(len(tiles), 'tile')} of {side} x {side} pixels{larger}."
    )


class _Course:
    """The steps of one run, with what is written on the way."""

    def __init__(self, tuner: FineTuner, folder: RunFolder, split: _Split) -> None:
        self.tuner = tuner
        self.folder = folder
        self.videos, self.learned, self.held = split.videos, split.learned, split.held

    @property
    def model(self) -> Sam2:
        return self.tuner.model

    def score(self, when: str) -> Score:
        """Measure on held-out frames, or return what was measured at the same point before."""
        known = self.folder.read("held_out.json") or {}
        if when in known and (when == "before" or known.get("steps") == self.tuner.step):
            return Score(**known[when])
        if when == "before" and self.tuner.step:
            raise InputError(f"{self.folder.path} lacks held_out.json; give another folder for the run.")
        score = measure(self.model, self.videos, self.learned, self.held)
        self.folder.write("held_out.json", {**known, when: asdict(score), "steps": self.tuner.step})
        return score

    def run(
        self,
        say: Callable[[str], None],
        progress: Callable[[int, int | None], None],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Take the steps that are left; False if it was stopped before the last one."""
        tuner, config, group = self.tuner, self.tuner.config, self.tuner.group
        log = RunLog(self.folder.path, tuner.step) if group.is_main_process else None
        if log is not None and log.hint:
            say(log.hint)
        try:
            for samples in tuner.samples():
                if self._all_stop(should_stop()):
                    self._save()
                    return False
                begun = time.monotonic()
                losses = tuner.train_step(samples)
                if log is not None:
                    log.write(tuner.step, {**losses, "seconds": time.monotonic() - begun})
                    progress(tuner.step, config.steps)
                last = tuner.step == config.steps
                if last or tuner.step % config.save_every == 0:
                    self._save()
                if group.is_main_process and (last or tuner.step % config.image_every == 0):
                    self._picture()
        finally:
            if log is not None:
                log.close()
        return True

    def _all_stop(self, wish: bool) -> bool:
        group = self.tuner.group
        if group.size == 1:
            return wish
        return bool(group.all_reduce(torch.tensor(float(wish), device=self.model.device)) > 0)

    def _save(self) -> None:
        if self.tuner.group.is_main_process:
            self.folder.save(self.tuner.state())

    def _picture(self) -> None:
        """Write predictions beside the truth, of the first held-out frame (or the first frame of all)."""
        places = [(v, f) for v, frames in enumerate(self.held) for f in frames if self.videos[v].visible[f]]
        places += [
            (v, f) for v, frames in enumerate(self.learned) for f in frames if self.videos[v].visible[f]
        ]
        number, frame = places[0]
        video = self.videos[number]
        self.model.eval()
        _, truth, found = one_click_masks(self.model, video, frame, _PICTURED)
        name = f"step_{self.tuner.step:06d}.png"
        save_comparison(
            self.folder.path / "pictures" / name, to_rgb(video.frames[frame], video.window), truth, found
        )
