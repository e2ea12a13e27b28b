"""Sequences: the two ways of counting frames, whose keyframe is whose, and when an answer goes out."""

import copy
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelstudio_harness import MediaServer, recorded

from labelstudio_backend.keyframes import Keyframe, Track, model_item
from labelstudio_backend.predictions import Predictor
from labelstudio_backend.settings import Settings
from labelstudio_backend.video_tasks import PageClock
from sam2_engine.errors import InputError

RATES = [Fraction(24), Fraction(30), Fraction(10), Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001)]


@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(1, 5000))
def test_page_frames_map_to_file_frames_without_rounding_errors(
    page: Fraction, file: Fraction, frame: int
) -> None:
    clock = PageClock(float(page), float(file), 10**6)
    assert clock.index(frame) == (frame - 1) * file // page


def test_the_page_counts_to_the_rounded_duration() -> None:
    clock = PageClock(24.0, 10.0, 30)
    assert clock.page_frames == 72
    assert [clock.index(frame) for frame in (1, 2, 3, 4, 72, 80)] == [0, 0, 0, 1, 29, 29]
    assert clock.seconds(12) == 0.5


RECTANGLE = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0}


def test_an_untouched_keyframe_of_ours_is_known_again() -> None:
    assert Keyframe.of(model_item(7, 0.7, RECTANGLE, enabled=True)).made_by_model
    assert Keyframe.of(model_item(7, 0.7, RECTANGLE, enabled=False)).made_by_model


@pytest.mark.parametrize(
    "edit",
    [
        {"x": 10.5},
        {"height": 39.9},
        {"frame": 8},
        {"enabled": False},
        {"rotation": 3},
        {"sam2": None},
        {"sam2": [7]},
        {"sam2": [10.0, 20.0, 30.0, 40.0]},
        {"sam2": ["7", 10, 20, 30, 40, 1]},
    ],
)
def test_whatever_a_person_changes_makes_it_the_persons(edit: dict[str, Any]) -> None:
    assert not Keyframe.of({**model_item(7, 0.7, RECTANGLE, enabled=True), **edit}).made_by_model


def test_a_persons_keyframe_that_the_model_closed_is_open_for_the_person() -> None:
    drawn = Keyframe.of({"frame": 3, "enabled": True, **RECTANGLE})
    again = Keyframe.of(drawn.closed_by_model())
    assert (again.made_by_model, again.enabled) == (False, True)
    assert again.as_drawn() == {"frame": 3, "enabled": True, **RECTANGLE}
    copied_by_an_edit = Keyframe.of({**drawn.closed_by_model(), "frame": 4})
    assert (copied_by_an_edit.made_by_model, copied_by_an_edit.enabled) == (False, False)


@pytest.mark.parametrize("frame", [0, -1, 1.5, "1", None, True, 10**9])
def test_frames_are_counted_from_one(frame: object) -> None:
    with pytest.raises(InputError, match="counted from 1"):
        Keyframe.of({"frame": frame, **RECTANGLE})


def test_a_track_with_no_keyframe_left_starts_from_its_first() -> None:
    items = [model_item(frame, frame / 10, RECTANGLE, enabled=False) for frame in (5, 4)]
    track = Track.of({"value": {"labels": ["a"], "sequence": items}})
    assert (track.first_frame, track.keyframes[4].enabled) == (4, True)
    for sequence in ([], None):
        with pytest.raises(InputError, match="no keyframe"):
            Track.of({"value": {"labels": ["a"], "sequence": sequence}})


FRAMES = 12


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, recorded_server: MediaServer) -> str:
    """The address of a short video at 10 frames per second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(FRAMES):
            image = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    address = "/data/upload/1/film.mp4"
    recorded_server.pages[address] = (200, {"Content-Type": "video/mp4"}, path.read_bytes())
    return address


class Page:
    """What Label Studio would send for a short film, with regions that a test changes."""

    def __init__(self, film: str, server: MediaServer, model: Path) -> None:
        self.body = recorded("predict_video_label_assigned", server)["json"]
        self.body["tasks"][0]["data"]["video"] = film
        self.predictor = Predictor(Settings(model=str(model), device="cpu", label_studio_url=server.url))

    @property
    def region(self) -> dict[str, Any]:
        region: dict[str, Any] = self.body["params"]["context"]["result"][0]
        return region

    @property
    def items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.region["value"]["sequence"]
        return items

    def assign_label(self) -> list[dict[str, Any]]:
        """Send the context, take the answer over as the page does, and return the answered regions."""
        context = self.body["params"]["context"]
        (prediction,) = self.predictor.predict(self.body["tasks"], self.body["label_config"], context)
        context["result"] = copy.deepcopy(prediction["result"])
        regions: list[dict[str, Any]] = prediction["result"]
        return regions


@pytest.fixture
def page(film: str, recorded_server: MediaServer, small_checkpoint: Path) -> Iterator[Page]:
    page = Page(film, recorded_server, small_checkpoint)
    yield page
    page.predictor.close()


def test_asking_again_without_an_edit_gives_the_same(page: Page) -> None:
    first = page.assign_label()
    assert page.assign_label() == first


def test_a_corrected_keyframe_is_kept_as_the_persons(page: Page) -> None:
    (before,) = page.assign_label()
    boxes = {item["frame"]: item for item in before["value"]["sequence"]}
    corrected = next(item for item in page.items if item["frame"] == 5)
    corrected |= {"x": 50.0, "y": 5.0, "width": 10.0, "height": 12.0}
    (after,) = page.assign_label()
    items = {item["frame"]: item for item in after["value"]["sequence"]}
    assert {key: items[5][key] for key in RECTANGLE} == {"x": 50.0, "y": 5.0, "width": 10.0, "height": 12.0}
    assert not Keyframe.of(items[5]).made_by_model
    assert all(Keyframe.of(items[frame]).made_by_model for frame in items if frame not in (1, 5))
    assert [items[frame] for frame in range(2, 4)] == [boxes[frame] for frame in range(2, 4)]


def test_a_person_hides_the_object(page: Page) -> None:
    page.items.append({**page.items[0], "frame": 3, "enabled": False})
    page.items.append({**page.items[0], "frame": 8})
    (region,) = page.assign_label()
    items = {item["frame"]: item for item in region["value"]["sequence"]}
    assert not items.keys() & set(range(4, 8))
    assert items[3]["enabled"] is False
    assert items[8]["enabled"] is True
    assert Keyframe.of(items[3]).enabled is False


def test_a_track_starts_at_its_first_keyframe(page: Page) -> None:
    page.items[0]["frame"] = 10
    (region,) = page.assign_label()
    assert [item["frame"] for item in region["value"]["sequence"]][:2] == [10, 11]


def test_a_page_that_counts_at_another_rate(page: Page) -> None:
    page.body["label_config"] = page.body["label_config"].replace("10.0", "24")
    (region,) = page.assign_label()
    items = region["value"]["sequence"]
    assert [item["frame"] for item in items] == list(range(1, 30))
    assert items[11]["time"] == 0.5
    # Page frames 4 and 5 show the same frame of the file.
    assert {key: items[3][key] for key in RECTANGLE} == {key: items[4][key] for key in RECTANGLE}


def test_several_objects_with_labels_of_their_own(page: Page) -> None:
    other = copy.deepcopy(page.region) | {"id": "other"}
    other["value"]["labels"] = ["Box"]
    unlabelled = copy.deepcopy(page.region) | {"id": "unlabelled"}
    del unlabelled["value"]["labels"]
    page.body["params"]["context"]["result"] += [other, unlabelled]
    answer = page.assign_label()
    assert [(region["id"], region["value"]["labels"]) for region in answer] == [
        ("WTSePngtDm", ["Ball"]),
        ("other", ["Box"]),
    ]


def test_out_of_time_the_answer_says_how_far_it_got(
    page: Page, recorded_server: MediaServer, small_checkpoint: Path
) -> None:
    page.items.append({**page.items[0], "frame": 9, "x": 30.0})
    page.predictor = Predictor(
        Settings(str(small_checkpoint), "cpu", label_studio_url=recorded_server.url, predict_seconds=1e-6)
    )
    (region,) = page.assign_label()
    assert [(item["frame"], item["enabled"]) for item in region["value"]["sequence"]] == [
        (1, True),
        (9, False),
    ]
    assert region["meta"] == {"text": ["SAM 2 reached frame 0 of 12; assign the label again to go on."]}
    page.region["meta"]["text"].append("a person's note")
    page.predictor = Predictor(Settings(str(small_checkpoint), "cpu", label_studio_url=recorded_server.url))
    (region,) = page.assign_label()
    assert region["meta"] == {"text": ["a person's note"]}
    assert len(region["value"]["sequence"]) == FRAMES


def test_two_requests_on_the_same_video_at_once(page: Page) -> None:
    answers: list[object] = []

    def ask() -> None:
        body = copy.deepcopy(page.body)
        answers.append(
            page.predictor.predict(body["tasks"], body["label_config"], body["params"]["context"])[0][
                "result"
            ]
        )

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 2
    assert answers[0] == answers[1]
