"""Stages of nano's training, and which of them a command runs."""

import math
from dataclasses import dataclass, replace

from sam2_engine.errors import InputError
from sam2_engine.training.losses import LossWeights
from sam2_engine.training.nano.curriculum import BatchConfig
from sam2_engine.training.nano.trainer import Schedule

__all__ = ["HOURS", "STAGES", "Part", "Stage", "planned"]


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

_SOLIDS = replace(
    _TWO_SIZES,
    schedule=replace(_TWO_SIZES.schedule, steps=1500),
)
"""The same once more, now with solid bodies that turn and walk, and with patterns that are computed."""

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
    "solids": _SOLIDS,
}
"""Trained in this order; each starts from the result of the one before."""

HOURS = {"dense": 0.06, "clicks": 0.08, "clips": 0.16, "solids": 0.7}
"""With ``--hours`` and from nothing: these stages alone, and what part of the time each gets.

The stages between were ways of their own to learn what the last one has in its batches.
"""


@dataclass(frozen=True)
class Part:
    """One stage of a command, the stage before it, and how many hours it takes (None: its steps)."""

    stage: str
    after: str | None
    hours: float | None


def planned(stage: str | None, from_weights: bool, hours: float | None) -> list[Part]:
    """Return the stages that a command trains: one, all, those of ``HOURS``, or the last from given weights.

    Raises
    ------
    InputError
        If weights to start from are given for all stages, or the hours are no time.
    """
    if hours is not None and not 0 < hours < math.inf:
        raise InputError(f"--hours is how long to train, more than 0, not {hours}.")
    if stage is None and from_weights and hours is None:
        raise InputError(
            "--from needs --stage or --hours: the first of all stages starts from random weights."
        )
    last = list(STAGES)[-1]
    if stage is None and from_weights:
        stage = last
    if stage is not None:
        number = list(STAGES).index(stage)
        return [Part(stage, list(STAGES)[number - 1] if number else None, hours)]
    names = list(STAGES) if hours is None else list(HOURS)
    shares = [None if hours is None else hours * HOURS[name] for name in names]
    return [Part(*part) for part in zip(names, [None, *names[:-1]], shares, strict=True)]
