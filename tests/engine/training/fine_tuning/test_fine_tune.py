"""Fine-tuning on tiny videos: exact resume, several processes, what is trained, and the messages."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
from dataset_folders import images, plain

from sam2_engine.datasets import AnnotatedData, find_dataset
from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning import run as run_module
from sam2_engine.training.fine_tuning.config import TrainingConfig, usual_steps
from sam2_engine.training.fine_tuning.distributed import ProcessGroup, join_process_group
from sam2_engine.training.fine_tuning.interactive_training import PromptConfig
from sam2_engine.training.fine_tuning.run import Outcome, fine_tune
from sam2_engine.training.fine_tuning.run_folder import RunFolder
from sam2_engine.training.fine_tuning.run_log import read_losses
from sam2_engine.training.fine_tuning.sampling import ClipSampler, train_validation_split
from sam2_engine.training.fine_tuning.trainer import FineTuner
from sam2_engine.weights.loading import load_model

SHORT = TrainingConfig(
    steps=6,
    batch_size=2,
    clip_length=3,
    clip_objects=2,
    image_objects=2,
    save_every=2,
    image_every=100,
    learning_rate=1e-3,
    prompts=PromptConfig(corrections=1),
)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnnotatedData]:
    with find_dataset(plain(tmp_path_factory.mktemp("video"), frames=5)) as data:
        yield data


@pytest.fixture
def config(small_checkpoint: Path) -> TrainingConfig:
    return replace(SHORT, model=str(small_checkpoint))


def _tuner(config: TrainingConfig, data: AnnotatedData, group: ProcessGroup | None = None) -> FineTuner:
    training, _ = train_validation_split(data.videos)
    sampler = ClipSampler(data.videos, training, config)
    return FineTuner(load_model(config.model, "cpu"), sampler, config, group)


def _same(one: Path, other: Path) -> bool:
    models = [load_model(path, "cpu").state_dict() for path in (one, other)]
    return all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"train_image_encoder": False, "checkpointing": False},
        {"train_image_encoder": True, "checkpointing": True},
        {"features_on_disk": True, "checkpointing": False},
        {"lora": 2, "checkpointing": True},
    ],
)
def test_a_stopped_run_continues_with_the_same_losses(
    settings: dict[str, Any], config: TrainingConfig, video: AnnotatedData, tmp_path: Path
) -> None:
    config = replace(config, **settings)
    whole = fine_tune(config, video, tmp_path / "whole")
    stops = iter([False, False, False, True])
    stopped = fine_tune(config, video, tmp_path / "halves", should_stop=lambda: next(stops))
    assert (stopped.finished, stopped.steps) == (False, 3)
    resumed = fine_tune(config, video, tmp_path / "halves")
    assert resumed.finished
    assert read_losses(tmp_path / "halves") == read_losses(tmp_path / "whole")
    assert [step for step, _ in read_losses(tmp_path / "whole")] == [1, 2, 3, 4, 5, 6]
    assert whole.weights is not None
    assert resumed.weights is not None
    assert _same(whole.weights, resumed.weights)
    assert resumed.before == whole.before
    assert resumed.after == whole.after


class _KilledError(Exception):
    pass


def test_a_killed_run_repeats_what_came_after_its_checkpoint(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path
) -> None:
    fine_tune(config, video, tmp_path / "whole")

    def die(done: int, total: int | None) -> None:
        if done == 5:
            raise _KilledError

    with pytest.raises(_KilledError):
        fine_tune(config, video, tmp_path / "killed", progress=die)
    assert len(read_losses(tmp_path / "killed")) == 5  # the checkpoint is of step 4
    fine_tune(config, video, tmp_path / "killed")
    assert read_losses(tmp_path / "killed") == read_losses(tmp_path / "whole")


def test_a_full_disk_leaves_the_last_checkpoint(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, []

    def full(state: Any, file: IO[bytes]) -> None:
        calls.append(file)
        if len(calls) == 2:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"No space left.*continues from the last one"):
        fine_tune(config, video, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
    assert not list(tmp_path.glob(".checkpoint-*"))
    assert fine_tune(config, video, tmp_path).finished


def test_what_a_run_writes_is_foreseen_before_its_first_step(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, output = tmp_path / "run", tmp_path / "mine.safetensors"
    sentence = r"run/checkpoint\.pt and .*/mine\.safetensors will take .* MB, but only .* MB are free there"

    def tried(free: int) -> tuple[int, str]:
        """Return how many steps were taken, and what was said."""
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
        steps: list[int] = []
        try:
            fine_tune(
                config,
                video,
                run,
                output,
                progress=lambda done, total: steps.append(done),
                should_stop=lambda: len(steps) == 2,
            )
        except InputError as error:
            return len(steps), str(error)
        return len(steps), ""

    tuner = _tuner(config, video)
    weights = sum(4 * parameter.numel() for parameter in tuner.model.parameters())
    taken, said = tried(2 * tuner.state_bytes + weights - 1)
    assert taken == 0
    assert re.search(sentence, said)
    assert tried(2 * tuner.state_bytes + weights) == (2, "")
    assert (run / "checkpoint.pt").stat().st_size == pytest.approx(tuner.state_bytes, rel=0.1)
    assert tried(tuner.state_bytes + weights - 1)[0] == 0
    assert tried(tuner.state_bytes + weights) == (2, "")  # beside the checkpoint that is there


def test_a_folder_of_the_weights_that_is_missing_is_told_before_the_first_step(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"mine\.safetensors cannot be written: .*/none: No such file"):
        fine_tune(config, video, tmp_path, tmp_path / "none" / "mine.safetensors")
    assert not (tmp_path / "log.csv").exists()


def test_a_run_is_not_continued_with_other_settings(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path
) -> None:
    fine_tune(config, video, tmp_path, should_stop=lambda: True)
    with pytest.raises(InputError, match=r"learning_rate = 0\.001, not 0\.002"):
        fine_tune(replace(config, learning_rate=2e-3), video, tmp_path)


def _changed(outcome: Outcome, before: Path) -> dict[str, bool]:
    assert outcome.weights is not None
    old, new = (load_model(path, "cpu").state_dict() for path in (before, outcome.weights))
    return {name: not torch.equal(old[name], new[name]) for name in old}


def test_the_image_encoder_is_frozen_and_the_rest_is_trained(
    config: TrainingConfig, video: AnnotatedData, small_checkpoint: Path, tmp_path: Path
) -> None:
    changed = _changed(fine_tune(config, video, tmp_path), small_checkpoint)
    frozen = ("image_encoder.", "sam_mask_decoder.conv_s")
    assert not any(changed[name] for name in changed if name.startswith(frozen))
    for part in ("sam_mask_decoder.transformer.", "memory_attention.", "memory_encoder.", "obj_ptr_proj."):
        assert any(changed[name] for name in changed if name.startswith(part)), part


def test_images_leave_memory_as_it_was(
    config: TrainingConfig, small_checkpoint: Path, tmp_path: Path
) -> None:
    with find_dataset(images(tmp_path / "set", 3)) as data:
        config = replace(config, train_image_encoder=True, steps=1)
        changed = _changed(fine_tune(config, data, tmp_path / "run"), small_checkpoint)
    assert not any(changed[name] for name in changed if name.startswith(("memory_", "obj_ptr")))
    assert any(changed[name] for name in changed if name.startswith("image_encoder."))


def test_every_view_of_a_frame_is_encoded_once(
    config: TrainingConfig, video: AnnotatedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Any] = []
    encode: Callable[..., Any] = Sam2.encode_image
    monkeypatch.setattr(Sam2, "encode_image", lambda *args: encoded.append(1) or encode(*args))
    tuner = _tuner(replace(config, views=1, steps=8), video)
    for samples in tuner.samples():
        tuner.train_step(samples)
    assert len(encoded) == 4  # the fifth frame is for validation


def test_training_lowers_the_loss(config: TrainingConfig, video: AnnotatedData) -> None:
    tuner = _tuner(replace(config, steps=24, batch_size=1, clip_share=0.0, views=1), video)
    losses = [tuner.train_step(samples)["loss"] for samples in tuner.samples()]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_saving_memory_changes_no_gradient(config: TrainingConfig, video: AnnotatedData) -> None:
    gradients = []
    for saving in (False, True):
        tuner = _tuner(replace(config, train_image_encoder=True, clip_share=1.0, checkpointing=saving), video)
        tuner.accumulate(next(tuner.samples()))
        gradients.append([p.grad for p in tuner.trainable_parameters.values()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def _one_of_two(rank: int, config: TrainingConfig, folder: Path, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    group = join_process_group("cpu")
    with find_dataset(folder / "set") as data:
        tuner = _tuner(config, data, group)
        losses = tuner.accumulate(tuner.loader.load(0))
    gradients_of_rank = {name: parameter.grad for name, parameter in tuner.trainable_parameters.items()}
    torch.save((losses, gradients_of_rank), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(
    config: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(config, batch_size=3, clip_share=1.0)
    with find_dataset(plain(tmp_path / "set", frames=5)) as data:
        alone = _tuner(config, data)
        losses = alone.accumulate(alone.loader.load(0))
    port = 20000 + os.getpid() % 20000
    multiprocessing.spawn(_one_of_two, (config, tmp_path, port), nprocs=2)
    for rank in (0, 1):
        other_losses, gradients = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert other_losses == pytest.approx(losses, rel=1e-5)
        for name, parameter in alone.trainable_parameters.items():
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)
    assert any(parameter.grad.abs().max() > 1e-3 for parameter in alone.trainable_parameters.values())


def test_what_a_run_writes(config: TrainingConfig, video: AnnotatedData, tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = fine_tune(replace(config, image_every=3), video, tmp_path, say=lines.append)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "step_000003.png",
        "step_000006.png",
    ]
    assert list((tmp_path / "tensorboard").iterdir())
    assert "4 frames for training, 1 held out for validation" in " ".join(lines)
    assert outcome.improvement.startswith("Gain on 1 held-out frame: IoU after one click ")
    assert "J when tracked from a mask" in outcome.improvement


def test_without_tensorboard_a_hint(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    lines: list[str] = []
    assert fine_tune(replace(config, steps=1), video, tmp_path, say=lines.append).finished
    assert any("pip install" in line for line in lines)


def test_a_single_frame_is_trained_on_without_validation(config: TrainingConfig, tmp_path: Path) -> None:
    with find_dataset(plain(tmp_path / "set", frames=1)) as data:
        outcome = fine_tune(replace(config, steps=1), data, tmp_path / "run")
    assert outcome.improvement == "Gain: not measured, because there is no frame to hold out."


def _gradient(tuner: FineTuner) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in tuner.trainable_parameters.values() if p.grad is not None])


def _float16(config: TrainingConfig, data: AnnotatedData) -> FineTuner:
    training, _ = train_validation_split(data.videos)
    model = load_model(config.model, "cpu", dtype="float16")
    return FineTuner(model, ClipSampler(data.videos, training, config), config)


def test_in_float16_losses_are_scaled_up_so_that_no_gradient_vanishes(
    config: TrainingConfig, video: AnnotatedData
) -> None:
    tuner, usual = _float16(config, video), _tuner(config, video)
    for one in (tuner, usual):
        one.accumulate(next(one.samples()))
    ratio = (_gradient(tuner).norm() / _gradient(usual).norm()).item()
    assert ratio == pytest.approx(tuner.scaler.get_scale(), rel=0.01)
    tuner.scaler.unscale_(tuner.optimizer)
    torch.testing.assert_close(_gradient(tuner), _gradient(usual), atol=0.02, rtol=0.05)


def test_in_float16_a_step_that_overflows_is_left_out_and_the_next_one_is_scaled_less(
    config: TrainingConfig, video: AnnotatedData
) -> None:
    tuner = _float16(config, video)
    samples = next(tuner.samples())
    tuner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [parameter.clone() for parameter in tuner.trainable_parameters.values()]
    tuner.train_step(samples)
    assert all(map(torch.equal, before, tuner.trainable_parameters.values()))
    assert tuner.scaler.get_scale() == 2.0**39
    again = _float16(config, video)
    again.resume(tuner.state())
    assert again.scaler.get_scale() == 2.0**39
    with torch.no_grad():  # what no scale can help
        tuner.model.sam_mask_decoder.iou_token.weight.fill_(float("nan"))
    tuner.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    with pytest.raises(InputError, match="gradient of step 2 is not finite"):
        tuner.train_step(samples)


# ---------------------------------------------------------------------- how long it takes


def test_steps_fit_the_data_unless_they_are_given(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path
) -> None:
    fitting = replace(config, steps=None)
    stopped = fine_tune(fitting, video, tmp_path, should_stop=lambda: True)
    assert not stopped.finished
    assert json.loads((tmp_path / "settings.json").read_text())["steps"] == usual_steps(4) == 100
    assert [usual_steps(frames, batch) for frames, batch in ((35, 2), (35, 1), (400, 2))] == [350, 700, 1000]


def test_a_script_is_told_on_standard_error(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine_tune(replace(config, steps=1), video, tmp_path)
    assert "4 frames for training, 1 held out" in capsys.readouterr().err


def test_a_run_goes_on_to_more_steps(config: TrainingConfig, video: AnnotatedData, tmp_path: Path) -> None:
    first = fine_tune(replace(config, steps=2), video, tmp_path)
    said: list[str] = []
    more = fine_tune(replace(config, steps=4), video, tmp_path, say=said.append)
    assert (first.finished, more.finished, more.steps) == (True, True, 4)
    assert [step for step, _ in read_losses(tmp_path)] == [1, 2, 3, 4]
    assert f"Continuing {tmp_path} after step 2 of 4." in said
    assert fine_tune(replace(config, steps=None), video, tmp_path).steps == 4  # as many as it has
    with pytest.raises(InputError, match=r"has done 4 steps, more than steps=3: give as many or more"):
        fine_tune(replace(config, steps=3), video, tmp_path)


@pytest.mark.parametrize("train_image_encoder", [False, True])
def test_the_time_is_estimated_first_and_changes_nothing(
    train_image_encoder: bool,
    config: TrainingConfig,
    video: AnnotatedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(config, steps=4, train_image_encoder=train_image_encoder)
    fine_tune(config, video, tmp_path / "without")
    monkeypatch.setattr(run_module, "_WORTH_AN_ESTIMATE", 4)
    told: list[str] = []
    fine_tune(
        config,
        video,
        tmp_path / "with",
        say=told.append,
        progress=lambda done, total: told.append(f"step {done}"),
        measuring=lambda done, total: told.append(f"measured {done} of {total}"),
    )
    estimate = next(i for i, line in enumerate(told) if re.fullmatch(r"4 steps: about \d+ s\.", line))
    assert told.index("measured 0 of 2") < told.index("measured 2 of 2") < estimate < told.index("step 1")
    assert told[-1] == "measured 2 of 2"
    assert read_losses(tmp_path / "with") == read_losses(tmp_path / "without")


def test_the_first_checkpoint_comes_early_and_others_where_steps_take_long(
    config: TrainingConfig, video: AnnotatedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, steps=8, save_every=50)
    saved: list[int] = []
    monkeypatch.setattr(RunFolder, "save", lambda _, state: saved.append(state["step"]))
    fine_tune(config, video, tmp_path / "one")
    assert saved == [5, 8]
    saved.clear()
    monkeypatch.setattr(run_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    fine_tune(config, video, tmp_path / "other")
    assert saved == [1, 2, 3, 4, 5, 6, 7, 8]
