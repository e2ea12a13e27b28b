"""Scores of predictions: the review's doubt, with one meaning for images and videos."""

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelstudio_harness import MediaServer, recorded
from numbered_videos import write_video
from PIL import Image

from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from labelstudio_backend.tasks.track_storage import session_path
from sam2_engine.frames import open_frames
from sam2_plugins.review import review_queue
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import read_session

CONFIG = """<View><Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="Ball"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="Ball"/></BrushLabels></View>"""


def test_a_videos_score_is_one_less_its_largest_doubt_in_the_review(
    media_server: MediaServer, small_checkpoint: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4", range(8), Fraction(1, 10), rate=10)
    address = "/data/upload/1/video.mp4"
    media_server.pages[address] = (200, {}, video.read_bytes())
    body = recorded("predict_video_label_assigned", media_server)["json"]
    task = {**body["tasks"][0], "data": {"video": address}}
    (drawn,) = body["params"]["context"]["result"]
    other = json.loads(json.dumps({**drawn, "id": "other"}))
    other["value"]["sequence"][0] |= {"frame": 4, "time": 0.4, "x": 50}
    state = tmp_path / "state"
    model = str(small_checkpoint)
    settings = Settings(model, "cpu", label_studio_url=media_server.url, state_folder=state)
    predictor = Predictor(settings)
    (answer,) = predictor.predict([task], body["label_config"], {"result": [drawn, other]}, body["project"])
    predictor.close()
    assert isinstance(answer, dict)
    with open_frames(video) as frames:
        stored = session_path(state, task["project"], task["id"], address)
        session = read_session(stored, ModelStore("cpu"), frames)
        worst = {session.objects[one].name: 0.0 for one in session.objects}
        for item in reversed(review_queue(session)):
            worst[session.objects[item.object_id].name] = item.score
    scores = {region["id"]: region["score"] for region in answer["result"]}
    assert scores == pytest.approx({name: 1 - doubt for name, doubt in worst.items()})
    assert answer["score"] == min(scores.values())


@pytest.mark.parametrize("prompted", [False, True])
def test_an_image_on_which_something_is_faint_comes_before_a_clear_one(
    prompted: bool, media_server: MediaServer
) -> None:
    random, tasks = np.random.default_rng(0), []
    y, x = np.ogrid[:128, :128]
    for number, (contrast, noise) in enumerate(((150, 4), (18, 30))):
        image = 60 + contrast * (np.hypot(x - 60, y - 64) < 26) + random.normal(0, noise, (128, 128))
        png = io.BytesIO()
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(png, "PNG")
        address = f"/data/upload/1/{number}.png"
        media_server.pages[address] = (200, {}, png.getvalue())
        data: dict[str, Any] = {"image": address}
        if prompted:
            data["prompts"] = [{"box": [33, 37, 87, 91], "label": "Ball"}]
        tasks.append({"id": number, "data": data})
    predictor = Predictor(Settings("nano@256", "cpu", label_studio_url=media_server.url))
    predictor.setup(CONFIG, "1.1", {"points_per_side": 4})
    clear, faint = predictor.predict(tasks, CONFIG, None, "1.1")
    predictor.close()
    assert isinstance(clear, dict)
    assert isinstance(faint, dict)
    assert clear["score"] > faint["score"]
    for prediction in (clear, faint):
        lowest = min((region["score"] for region in prediction["result"]), default=0.0)
        assert prediction["score"] == pytest.approx(lowest)
