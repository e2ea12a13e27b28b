"""Training for hours instead of steps: who gets which part, and an end that time decides."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.nano import precision, trainer
from sam2_engine.training.nano.curriculum import BatchConfig, Curriculum
from sam2_engine.training.nano.stages import HOURS, STAGES, planned
from sam2_engine.training.nano.trainer import Schedule, Trainer

TINY = ModelConfig(
    name="tiny-test",
    embed_dim=16,
    num_heads=1,
    stages=(1, 1, 1, 1),
    global_attention_blocks=(2,),
    image_size=64,
    hidden_dim=64,
    memory_attention_layers=1,
    memory_attention_ffn=32,
    drop_path=0.0,
)
CONFIG = BatchConfig(size=64, batch_size=1, max_objects=1, synthetic=1.0, corrections=0)


class Clock:
    """Every look at it is a minute later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 60.0
        return self.now


def _trainer(folder: Path, hours: float) -> Trainer:
    torch.manual_seed(0)
    curriculum = Curriculum([], (CONFIG,), seed=1)
    return Trainer(Sam2(TINY), curriculum, Schedule(2, 1e-3, warmup=1), folder, hours=hours)


def test_hours_are_shared_out_from_nothing() -> None:
    parts = planned(None, from_weights=False, hours=10.0)
    assert [part.stage for part in parts] == list(HOURS)
    assert [part.after for part in parts] == [None, *list(HOURS)[:-1]]
    assert sum(part.hours or 0.0 for part in parts) == pytest.approx(10.0)
    assert set(HOURS) <= set(STAGES)
    assert [(p.stage, p.hours) for p in planned(None, from_weights=True, hours=2.0)] == [("solids", 2.0)]
    assert [p.hours for p in planned(None, from_weights=False, hours=None)] == [None] * len(STAGES)
    assert planned("clicks", from_weights=False, hours=1.0)[0].after == "dense"


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_hours_that_are_no_time(hours: float) -> None:
    with pytest.raises(InputError, match="--hours is how long to train"):
        planned(None, from_weights=False, hours=hours)


def test_time_ends_a_run_also_over_continuations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.time, "monotonic", Clock())
    first = _trainer(tmp_path, hours=1.0)
    first.run(workers=0, seconds=600.0)
    assert 0 < first.spent < 3600.0
    assert not first.finished()
    rate = first._rate()
    assert first.step > first.schedule.steps, "the schedule's steps do not count"
    second = _trainer(tmp_path, hours=1.0)
    assert (second.step, second.spent) == (first.step, first.spent)
    second.run(workers=0)
    assert second.finished()
    assert (tmp_path / "log.csv").read_text().splitlines()[-1].startswith(f"{second.step},"), (
        "the last steps too"
    )
    assert second._rate() == pytest.approx(1e-3 * second.schedule.final)
    assert second._rate() < rate
    third = _trainer(tmp_path, hours=1.0)
    third.run(workers=0)
    assert third.step == second.step, "nothing is left to do"


def test_the_rate_falls_with_steps_as_before_and_with_time_where_that_is_given() -> None:
    schedule = Schedule(100, 1e-3, warmup=10, final=0.1)
    assert schedule.rate(99) == schedule.rate(99, 89 / 90)
    assert schedule.rate(10**6, 1.0) == pytest.approx(1e-4)
    assert replace(schedule, steps=1).rate(50, 0.0) == pytest.approx(1e-3)
    assert schedule.rate(4, 0.9) == schedule.rate(4)


@pytest.mark.parametrize(
    ("gain", "dtype"), [(0.0, torch.float32), (0.3, torch.float32), (2.0, torch.bfloat16)]
)
def test_a_processor_trains_in_what_it_measures_to_be_faster(
    gain: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bfloat16_gain", lambda threads: gain)
    assert precision.training_dtype(torch.device("cpu")) == dtype
