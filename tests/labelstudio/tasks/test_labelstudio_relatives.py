"""Relatives of SAM 2 behind Label Studio: clicks on images, and boxes tracked in videos."""

from pathlib import Path

import pytest
from labelstudio_harness import MediaServer, call, recorded
from small_model import RELATIVES, write_small_checkpoint

from labelstudio_backend.http.app import Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.modeling.config import ModelConfig


@pytest.mark.parametrize("config", RELATIVES, ids=lambda config: config.name)
@pytest.mark.parametrize(
    ("request_", "kind"),
    [("predict_image_keypoint_positive", "brushlabels"), ("predict_video_label_assigned", "videorectangle")],
)
def test_a_recorded_request_is_answered(
    request_: str, kind: str, config: ModelConfig, recorded_server: MediaServer, tmp_path: Path
) -> None:
    write_small_checkpoint(tmp_path / "relative.safetensors", config)
    predictor = Predictor(
        Settings(
            model=str(tmp_path / "relative.safetensors"),
            device="cpu",
            label_studio_url=recorded_server.url,
            state_folder=tmp_path,
        )
    )
    body = recorded(request_, recorded_server)["json"]
    reply = call(Application(predictor), "POST", "/predict", body)
    predictor.close()
    assert reply.status == 200, reply.body
    regions = reply.json["results"][0]["result"]
    assert [region["type"] for region in regions] == [kind]
