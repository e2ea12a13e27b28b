"""Relatives of SAM 2, exported and tracked without PyTorch: memories that are pooled or squeezed."""

from pathlib import Path

import numpy as np
import pytest
from drawn_weights import draw_weights
from small_model import RELATIVES

from sam2_engine import ModelConfig, VideoSession
from sam2_engine.model_export.writing import export_model
from sam2_engine.modeling.sam2 import Sam2

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from sam2_engine.onnx_runner import ExportedModel, VideoTracker


@pytest.mark.slow
@pytest.mark.parametrize("config", RELATIVES, ids=lambda config: config.name)
def test_a_relative_tracks_as_in_its_session(
    config: ModelConfig, moving_discs: np.ndarray, tmp_path: Path
) -> None:
    model = draw_weights(Sam2(config))
    card = export_model(model, tmp_path / "relative")
    assert ("memory_attention_to_one" in card["parts"]) == (config.memory_pooling != "none")
    frames = moving_discs[:6]
    session = VideoSession(model, frames, remove_small_components=False)
    tracker = VideoTracker(ExportedModel(tmp_path / "relative", threads=1), frames)
    for one in (session, tracker):
        one.add_prompt(0, 1, points=[[30, 35]])
        one.add_prompt(0, 2, box=[82, 48, 108, 72])
    for result, (_, logits) in zip(session.propagate(), tracker.propagate(), strict=True):
        for index, object_id in enumerate(result.object_ids):
            ours, theirs = logits[object_id], result.low_res_logits[index]
            assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()
