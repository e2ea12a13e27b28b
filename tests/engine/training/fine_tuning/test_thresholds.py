"""Thresholds of automatic masks are measured on held-out objects and written into the model's file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_folders import plain
from numpy.typing import NDArray

from sam2_engine import AutomaticMaskGenerator, load_model
from sam2_engine.datasets import AnnotatedVideo, find_dataset
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning import thresholds
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.run import fine_tune
from sam2_engine.training.fine_tuning.thresholds import fitting_thresholds, with_measured_thresholds
from sam2_engine.training.fine_tuning.validation import ClickedObjects

NANO = VARIANTS["nano"]


def test_nine_of_ten_right_masks_pass() -> None:
    predicted_iou, stability = np.linspace(0.3, 0.7, 101), np.linspace(0.6, 0.8, 101)
    fitted = fitting_thresholds(predicted_iou.tolist(), stability.tolist(), NANO)
    assert (predicted_iou >= fitted.pred_iou_thresh).mean() == pytest.approx(0.9, abs=0.02)
    assert (stability >= fitted.stability_score_thresh).mean() == pytest.approx(0.9, abs=0.05)
    assert (predicted_iou * stability >= fitted.confidence).mean() == pytest.approx(0.9, abs=0.05)
    assert replace(fitted, pred_iou_thresh=0.0) != replace(NANO, pred_iou_thresh=0.0)


def test_they_are_never_stricter_than_the_official_ones() -> None:
    fitted = fitting_thresholds([0.99] * 20, [1.0] * 20, NANO)
    assert (fitted.pred_iou_thresh, fitted.stability_score_thresh, fitted.confidence) == (0.8, 0.95, 0.76)


def test_where_some_objects_are_annotated_they_do_not_get_stricter(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(model: Sam2, video: AnnotatedVideo, frame: int) -> ClickedObjects:
        truth: NDArray[np.bool_] = np.zeros((12, 8, 8), bool)
        truth[:, 2:6, 2:6] = True
        logits = np.where(truth, 4.0, -4.0).astype(np.float32)
        return ClickedObjects(tuple(range(12)), truth, logits, np.full(12, 0.7, np.float32))

    monkeypatch.setattr(thresholds, "click_objects", sure)
    model = load_model(small_checkpoint, "cpu")
    lax = replace(model.config, pred_iou_thresh=0.5, stability_score_thresh=0.6, confidence=0.3)
    with find_dataset(plain(tmp_path / "video", frames=5)) as data:
        (video,) = data.videos
        for annotates_all, wanted in ((True, (0.7, 0.95, 0.7)), (False, (0.5, 0.6, 0.3))):
            model.config = lax
            some = replace(video, record=replace(video.record, annotates_all=annotates_all))
            found = with_measured_thresholds(model, [some], [[4]])
            assert (found.pred_iou_thresh, found.stability_score_thresh, found.confidence) == wanted


def test_few_masks_change_nothing() -> None:
    assert fitting_thresholds([0.1] * 9, [0.1] * 9, NANO) is NANO


def test_a_run_writes_them_and_loading_reads_them(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clicked(model: Sam2, video: AnnotatedVideo, frame: int) -> ClickedObjects:
        truth: NDArray[np.bool_] = np.zeros((12, 8, 8), bool)
        truth[:, 2:6, 2:6] = True
        logits = np.where(truth, 4.0, -4.0).astype(np.float32)
        logits[:, 2, 2] = 0.5  # stable but for one pixel of sixteen
        predicted = np.full(12, 0.42, np.float32)
        predicted[0], logits[0] = 0.01, -1.0  # a mask that is not right does not count
        return ClickedObjects(tuple(range(12)), truth, logits, predicted)

    monkeypatch.setattr(thresholds, "click_objects", clicked)
    config = TrainingConfig(steps=1, batch_size=1, clip_length=2, model=str(small_checkpoint))
    with find_dataset(plain(tmp_path / "video", frames=5)) as data:
        outcome = fine_tune(config, data, tmp_path / "run")
    assert outcome.weights is not None
    model = load_model(outcome.weights, "cpu")
    assert model.config.pred_iou_thresh == pytest.approx(0.42)
    assert model.config.stability_score_thresh == pytest.approx(0.93)
    assert AutomaticMaskGenerator(model).pred_iou_thresh is None
    assert model.config == replace(
        load_model(small_checkpoint, "cpu").config,
        pred_iou_thresh=0.42,
        stability_score_thresh=0.93,
        confidence=0.39,
    )


def test_with_nothing_held_out_they_stay(small_checkpoint: Path, tmp_path: Path) -> None:
    config = TrainingConfig(steps=1, batch_size=1, clip_length=2, model=str(small_checkpoint))
    with find_dataset(plain(tmp_path / "video", frames=1)) as data:
        outcome = fine_tune(config, data, tmp_path / "run")
    assert outcome.weights is not None
    assert load_model(outcome.weights, "cpu").config == load_model(small_checkpoint, "cpu").config
