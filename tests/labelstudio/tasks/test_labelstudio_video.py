"""Sequences: the two ways of counting frames, whose keyframe is whose, and when an answer goes out."""

import copy
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from labelstudio_harness import MediaServer, recorded

from labelstudio_backend.http.metrics import Metrics
from labelstudio_backend.schema.keyframes import Keyframe, Track, model_item
from labelstudio_backend.schema.sequences import rectangle_at
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from labelstudio_backend.tasks.track_storage import session_path
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames.video_frames import VideoFrames
from sam2_engine.masks import CompressedMask
from sam2_plugins.everything.run import TrackedEverything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.review.cues import PERHAPS_BORN
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import ChangeKind
from sam2_plugins.session.masks import MaskRemark, MaskScores
from sam2_plugins.storage.snapshot import read_state

RECTANGLE = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0}
BOX = {"frame": 3, "enabled": True, "rotation": 0, "time": 0.3, **RECTANGLE}


def test_an_untouched_keyframe_of_the_model_is_recognized() -> None:
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
def video(tmp_path_factory: pytest.TempPathFactory, recorded_server: MediaServer) -> str:
    """The address of a short video at 10 frames per second."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(FRAMES):
            image = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    address = "/data/upload/1/video.mp4"
    recorded_server.pages[address] = (200, {"Content-Type": "video/mp4"}, path.read_bytes())
    return address


class Page:
    """What Label Studio would send for a short video, with regions that a test changes."""

    def __init__(self, video: str, server: MediaServer, model: Path) -> None:
        self.body = recorded("predict_video_label_assigned", server)["json"]
        self.body["tasks"][0]["data"]["video"] = video
        self.settings = Settings(model=str(model), device="cpu", label_studio_url=server.url)
        self.predictor = Predictor(self.settings)
        self.set(tolerance=0)

    def set(self, **parameters: object) -> None:
        """Set the project's parameters, as its connection to the backend would."""
        self.predictor.parameters.set(self.body["project"], parameters)

    def restart(self, **settings: Any) -> None:
        """Put another server in the place of this one."""
        self.predictor.close()
        self.settings = replace(self.settings, **settings)
        self.predictor = Predictor(self.settings)
        self.set(tolerance=0)

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
        (prediction,) = self.predictor.predict(
            self.body["tasks"], self.body["label_config"], context, self.body["project"]
        )
        assert isinstance(prediction, dict)
        context["result"] = copy.deepcopy(prediction["result"])
        regions: list[dict[str, Any]] = prediction["result"]
        return regions


@pytest.fixture
def page(video: str, recorded_server: MediaServer, small_checkpoint: Path) -> Iterator[Page]:
    page = Page(video, recorded_server, small_checkpoint)
    yield page
    page.predictor.close()


def test_a_second_request_without_an_edit_gives_the_same(page: Page) -> None:
    first = page.assign_label()
    assert page.assign_label() == first


ANSWERS: dict[str, dict[str, Any]] = {
    "choices": {"choices": ["good"]},
    "textarea": {"text": ["seen twice"]},
    "rating": {"rating": 4},
    "number": {"number": 2.5},
    "datetime": {"datetime": "2026-11-29"},
    "taxonomy": {"taxonomy": [["cell", "dividing"]]},
    "timelinelabels": {"ranges": [{"start": 1, "end": 3}], "timelinelabels": ["mitosis"]},
}
"""Values of what a person answers about a region, by its type."""


def answer(kind: str, region: dict[str, Any], **more: object) -> dict[str, Any]:
    about = {"id": region["id"], "from_name": "asked", "to_name": region["to_name"], "origin": "manual"}
    return {**about, "type": kind, "value": {**region["value"], **ANSWERS[kind]}, **more}


def test_what_was_answered_about_a_region_goes_back_as_it_came(page: Page) -> None:
    answers = [answer(kind, page.region) for kind in ANSWERS]
    answers.append(answer("choices", page.region, id="task", value={"choices": ["blurred"]}))
    answers.append({"type": "relation", "from_id": page.region["id"], "to_id": "other", "direction": "right"})
    results = page.body["params"]["context"]["result"]
    results[:] = [answers[0], *results, *answers[1:]]
    tracked, *others = page.assign_label()
    assert tracked["type"] == "videorectangle"
    assert others == answers
    results = page.body["params"]["context"]["result"]
    assert page.assign_label() == [tracked, *answers]


def test_answers_without_a_region_are_no_prompts(page: Page) -> None:
    given = answer("choices", page.region)
    page.body["params"]["context"]["result"] = [given]
    assert page.assign_label() == [given]


def test_a_task_that_is_tracked_again_keeps_what_was_answered(page: Page) -> None:
    region = page.region
    kept = answer("choices", region)
    draft = {"result": [region, kept, answer("choices", {**region, "id": "another"})], "updated_at": "2026"}
    task = {**page.body["tasks"][0], "drafts": [draft]}
    (prediction,) = page.predictor.predict([task], page.body["label_config"], None, page.body["project"])
    assert isinstance(prediction, dict)
    assert prediction["result"][1:] == [kept]


def shown(region: dict[str, Any]) -> dict[int, dict[str, float] | None]:
    return {frame: rectangle_at(region["value"]["sequence"], frame) for frame in range(1, FRAMES + 2)}


def test_a_corrected_keyframe_stays_the_persons(page: Page) -> None:
    (before,) = page.assign_label()
    corrected = {"x": 50.0, "y": 5.0, "width": 10.0, "height": 12.0}
    copied = [item for item in page.items if item["frame"] < 5][-1]
    page.items[:] = [item for item in page.items if item["frame"] != 5]
    page.items.append({**copied, "frame": 5, **corrected})  # as the page does, with the extra keys
    (after,) = page.assign_label()
    items = {item["frame"]: item for item in after["value"]["sequence"]}
    assert shown(after)[5] == corrected
    assert not Keyframe.of(items[5]).made_by_model
    assert all(Keyframe.of(items[frame]).made_by_model for frame in items if frame not in (1, 5))
    assert shown(after) != shown(before)
    # Nothing is remembered that is not in the request: another server says the same.
    page.restart()
    assert page.assign_label() == [after]


def test_a_person_hides_the_object(page: Page, tracked_frames: list[int]) -> None:
    page.items.append({**page.items[0], "frame": 3, "enabled": False})
    page.items.append({**page.items[0], "frame": 8})
    (region,) = page.assign_label()
    items = {item["frame"]: item for item in region["value"]["sequence"]}
    assert not items.keys() & set(range(4, 8))
    assert items[3]["enabled"] is False
    assert items[8]["enabled"] is True
    assert Keyframe.of(items[3]).enabled is False
    assert sorted(tracked_frames) == [1, *range(8, FRAMES)]  # not where it is hidden (frames of the file)


def test_an_ended_lifespan_is_not_tracked_beyond_its_end(page: Page, tracked_frames: list[int]) -> None:
    page.items.append({**page.items[0], "frame": 4, "enabled": False})
    (region,) = page.assign_label()
    assert [frame for frame, rectangle in shown(region).items() if rectangle] == [1, 2, 3, 4]
    assert sorted(tracked_frames) == [1, 2]


def test_a_keyframe_within_a_hidden_stretch_is_no_prompt(page: Page, tracked_frames: list[int]) -> None:
    """The page copies one there if the person only looks; it is shown on its frame, and spoils no other."""
    page.items.append({**page.items[0], "frame": 3, "enabled": False})
    page.items.append({**page.items[0], "frame": 9})
    (without,) = page.assign_label()
    page.items[:] = [item for item in page.items if not Keyframe.of(item).made_by_model]
    copied = {**page.items[1], "frame": 6, "x": 90.0, "width": 0.0, "enabled": False}
    page.items.insert(2, copied)
    tracked_frames.clear()
    (region,) = page.assign_label()
    assert [item for item in region["value"]["sequence"] if item["frame"] != 6] == without["value"][
        "sequence"
    ]
    assert {side: copied[side] for side in ("x", "width")}.items() <= shown(region)[6].items()  # type: ignore[union-attr]
    assert tracked_frames == []


def test_a_box_drawn_where_the_model_saw_nothing_is_tracked_on() -> None:
    """The page copies ``enabled`` from the model's last keyframe, and its other keys from the next one."""
    first = {"frame": 1, "enabled": True, "rotation": 0, **RECTANGLE}
    ended = model_item(3, 0.3, RECTANGLE, enabled=False)
    again = model_item(9, 0.9, RECTANGLE, enabled=True)
    drawn = {**again, "x": 50.0, "frame": 6, "enabled": False}
    for end in (ended, Keyframe.of({**first, "frame": 3}).closed_by_model()):
        track = Track.of({"value": {"labels": ["a"], "sequence": [first, end, drawn, again]}})
        assert track.keyframes[6].enabled
        assert 6 in track.prompts
    by_hand = {**drawn, "sam2": None}  # as it is once we have answered it, if the person ends it then
    track = Track.of({"value": {"labels": ["a"], "sequence": [first, ended, by_hand, again]}})
    assert not track.keyframes[6].enabled
    by_person = {**first, "frame": 3, "enabled": False}
    track = Track.of({"value": {"labels": ["a"], "sequence": [first, by_person, drawn, again]}})
    assert list(track.prompts) == [1, 3]


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_person_hides_after_tracking_goes_and_comes_back(
    page: Page, tracked_frames: list[int], tmp_path: Path, restarts: bool
) -> None:
    page.restart(state_folder=tmp_path)
    page.items.append({**page.items[0], "frame": 6})
    page.assign_label()
    index = next(i for i, item in enumerate(page.items) if item["frame"] == 6)
    page.items[index] = {**page.items[index], "enabled": False}
    tracked_frames.clear()
    for _ in range(2):
        (region,) = page.assign_label()
        assert [frame for frame, rectangle in shown(region).items() if rectangle] == list(range(1, 7))
        if restarts:
            page.restart()
    index = next(i for i, item in enumerate(page.items) if item["frame"] == 6)
    page.items[index] = {**page.items[index], "enabled": True}
    (region,) = page.assign_label()
    assert [frame for frame, rectangle in shown(region).items() if rectangle] == list(range(1, FRAMES + 1))
    assert tracked_frames == []


@pytest.mark.parametrize(
    ("direction", "first", "last"), [("forward", 4, FRAMES), ("backward", 1, 9), ("both", 1, FRAMES)]
)
def test_the_direction_of_a_track(page: Page, direction: str, first: int, last: int) -> None:
    page.set(direction=direction, tolerance=0)
    page.items[0]["frame"] = 4
    page.items.append({**page.items[0], "frame": 9})
    (region,) = page.assign_label()
    visible = [frame for frame, rectangle in shown(region).items() if rectangle is not None]
    assert visible == list(range(first, last + 1))
    items = region["value"]["sequence"]
    assert (items[0]["frame"], items[-1]["frame"], items[-1]["enabled"]) == (first, last, False)


def test_a_page_that_counts_at_another_rate(page: Page) -> None:
    page.body["label_config"] = page.body["label_config"].replace("10.0", "24")
    (region,) = page.assign_label()
    items = region["value"]["sequence"]
    assert (items[0]["frame"], items[-1]["frame"]) == (1, 29)
    assert all(item["time"] == pytest.approx(item["frame"] / 24) for item in items if "sam2" in item)
    # Page frames 4 and 5 show the same frame of the file.
    assert rectangle_at(items, 4) == rectangle_at(items, 5)


def test_several_objects_with_labels_of_their_own(page: Page) -> None:
    other = copy.deepcopy(page.region) | {"id": "other"}
    other["value"]["labels"] = ["Box"]
    unlabeled = copy.deepcopy(page.region) | {"id": "unlabeled"}
    del unlabeled["value"]["labels"]
    page.body["params"]["context"]["result"] += [other, unlabeled]
    answer = page.assign_label()
    assert [(region["id"], region["value"]["labels"]) for region in answer] == [
        ("WTSePngtDm", ["Ball"]),
        ("other", ["Box"]),
    ]


def wait_for_the_background(page: Page) -> None:
    for _ in range(3000):
        (video,) = page.predictor.scheduler.find(
            page.body["tasks"][0]["project"], page.body["tasks"][0]["id"]
        )
        if video.is_done(video._tracks.values()):
            return
        time.sleep(0.01)
    raise AssertionError("the track is never finished")


@pytest.mark.parametrize("allow_empty", [False, True])
def test_out_of_time_the_answer_says_how_far_it_got_and_the_work_goes_on(
    allow_empty: bool, page: Page, tracked_frames: list[int]
) -> None:
    page.restart(predict_seconds=1e-6)
    if not allow_empty:
        page.body["label_config"] = page.body["label_config"].replace(' allowEmpty="true"', "")
    page.items.append({**page.items[0], "frame": 9, "x": 30.0})
    (region,) = page.assign_label()
    assert [item["frame"] for item in region["value"]["sequence"] if "sam2" not in item] == [1]
    assert region["value"]["sequence"][-1]["enabled"] is False
    (note,) = region["meta"]["text"]
    again = "click its label twice" if allow_empty else "choose another label and then its own"
    assert re.fullmatch(rf"SAM 2 reached frame \d+ of 12 and goes on; {again} to see more.", note)
    page.region["meta"]["text"].append("a person's note")
    wait_for_the_background(page)
    (region,) = page.assign_label()
    assert region["meta"] == {"text": ["a person's note"]}
    assert [frame for frame, rectangle in shown(region).items() if rectangle] == list(range(1, FRAMES + 1))
    assert sorted(tracked_frames) == [frame for frame in range(FRAMES) if frame not in (0, 8)]


def test_a_second_object_does_not_start_the_first_one_again(page: Page, tracked_frames: list[int]) -> None:
    (first,) = page.assign_label()
    page.body["params"]["context"]["result"].append(
        {**copy.deepcopy(page.region), "id": "second", "value": {"labels": ["Ball"], "sequence": [BOX]}}
    )
    tracked_frames.clear()
    again, second = page.assign_label()
    assert shown(again) == shown(first)
    assert tracked_frames == list(range(3, FRAMES))
    assert [f for f, rectangle in shown(second).items() if rectangle] == list(range(3, FRAMES + 1))


def test_tracks_outlive_the_server(page: Page, tracked_frames: list[int], tmp_path: Path) -> None:
    page.restart(state_folder=tmp_path)
    (before,) = page.assign_label()
    tracked_frames.clear()
    page.restart()
    assert page.assign_label() == [before]
    assert tracked_frames == []
    page.restart(model=str(_copy(page.settings.model, tmp_path)))
    page.assign_label()
    assert len(tracked_frames) == FRAMES - 1  # another model begins anew


def _copy(model: str, folder: Path) -> Path:
    return Path(shutil.copy(model, folder / "other.safetensors"))


def test_tracking_goes_on_after_a_restart(page: Page, tracked_frames: list[int], tmp_path: Path) -> None:
    page.restart(state_folder=tmp_path, predict_seconds=1e-6)
    page.assign_label()
    page.predictor.close()
    done = len(tracked_frames)
    page.restart(predict_seconds=80)
    (region,) = page.assign_label()
    assert sorted(tracked_frames) == list(range(1, FRAMES))
    assert done < FRAMES - 1
    assert [frame for frame, rectangle in shown(region).items() if rectangle] == list(range(1, FRAMES + 1))
    task = page.body["tasks"][0]
    path = session_path(tmp_path, task["project"], task["id"], task["data"]["video"])
    assert path is not None
    page.predictor.close()
    frames = read_state(path)
    assert {change.frame for change in frames.changes if change.kind is ChangeKind.MASK} == set(range(FRAMES))
    assert not [change for change in frames.changes if change.kind is ChangeKind.VERIFIED]


def test_another_model_replaces_the_first(page: Page, tracked_frames: list[int], tmp_path: Path) -> None:
    other = _copy(page.settings.model, tmp_path)
    page.restart(state_folder=tmp_path, models=(str(other),))
    page.assign_label()
    page.set(model="other", tolerance=0)
    page.assign_label()
    assert len(tracked_frames) == 2 * (FRAMES - 1)
    assert len(page.predictor.scheduler) == 1
    assert len(list(tmp_path.glob("tracks/project-3/*"))) == 1


def test_stored_tracks_are_evicted(page: Page, tmp_path: Path) -> None:
    page.restart(state_folder=tmp_path, kept_track_bytes=1, max_sessions=1)
    paths = []
    for task in (11, 12, 13):
        page.body["tasks"][0]["id"] = task
        page.assign_label()  # the one before is closed
        paths.append(session_path(tmp_path, 3, task, page.body["tasks"][0]["data"]["video"]))
    assert [path is not None and path.is_dir() for path in paths] == [False, True, True]  # 13 is open
    metrics = Metrics().text(page.predictor.gauges)
    assert "# TYPE sam2_evicted_tracks_total counter\nsam2_evicted_tracks_total 1\n" in metrics
    stored = page.predictor.gauges["sam2_kept_track_bytes"]
    assert stored > 0
    page.predictor.close()
    assert [path is not None and path.is_dir() for path in paths] == [False, False, True]


def test_a_frame_that_cannot_be_read_is_passed_over_with_a_sentence(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = VideoFrames._read

    def broken(frames: VideoFrames, frame: int) -> Any:
        if frame == 6:
            raise ValueError("its data cannot be decoded")
        return read(frames, frame)

    monkeypatch.setattr(VideoFrames, "_read", broken)
    with pytest.warns(InputWarning, match="passed over frame 6, which has no masks now"):
        (region,) = page.assign_label()
    assert {1, 6, 8, FRAMES} <= {frame for frame, rectangle in shown(region).items() if rectangle}
    (note,) = region["meta"]["text"]
    assert note.startswith("SAM 2 passed over what cannot be read (frame 7): Frame 6 of ")
    assert "its data cannot be decoded" in note
    monkeypatch.undo()
    (region,) = page.assign_label()  # what was wrong is mended
    assert "meta" not in region or not region["meta"]["text"]
    assert [frame for frame, rectangle in shown(region).items() if rectangle] == list(range(1, FRAMES + 1))


def test_removing_the_label_stops_tracking(page: Page) -> None:
    page.restart(predict_seconds=1e-6)
    page.assign_label()
    (video,) = page.predictor.scheduler.find(3, 2)
    del page.region["value"]["labels"]
    assert page.assign_label() == []
    assert video.is_done(video._tracks.values())


@pytest.mark.parametrize("kind", ["drafts", "annotations", "predictions"])
def test_a_batch_tracks_the_boxes_that_tasks_hold(page: Page, kind: str) -> None:
    held = {"result": [copy.deepcopy(page.region)], "updated_at": "2026-01-02"}
    older = {"result": [{**page.region, "id": "older"}], "updated_at": "2026-01-01"}
    task = {**page.body["tasks"][0], "drafts": [], "annotations": [], "predictions": [], kind: [older, held]}
    empty = {**task, "id": 77, kind: []}
    answers = page.predictor.predict([task, empty], page.body["label_config"], None, page.body["project"])
    assert isinstance(answers[0], dict)
    (region,) = answers[0]["result"]
    assert region["id"] == page.region["id"]
    assert [f for f, rectangle in shown(region).items() if rectangle] == list(range(1, FRAMES + 1))
    assert answers[1] == []


def test_a_video_without_rectangles_gets_everything_only_where_the_project_always_wants_it(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EverythingSettings] = []

    def found(session: AnnotationSession, settings: EverythingSettings) -> TrackedEverything:
        asked.append(settings)
        mask = np.zeros(session.shape, bool)
        mask[4:12, 8:20] = True
        masks = {frame: CompressedMask.from_array(np.roll(mask, frame, 1)) for frame in range(2, 8)}
        scores = dict.fromkeys(masks, MaskScores(1, 0.97, 1))
        return TrackedEverything((session.import_track(masks, scores, remark=MaskRemark.PERHAPS_BORN),))

    monkeypatch.setattr("labelstudio_backend.tasks.video_preannotation.track_everything", found)
    task = {**page.body["tasks"][0], "drafts": [], "annotations": [], "predictions": []}
    request = [task], page.body["label_config"], None, page.body["project"]
    assert page.predictor.predict(*request) == [[]]
    assert not asked
    page.set(batch="always", min_area=30, tolerance=0)
    (answer,) = page.predictor.predict(*request)
    assert isinstance(answer, dict)
    assert [one.min_area for one in asked] == [30]
    (region,) = answer["result"]
    assert (region["from_name"], region["to_name"], region["value"]["labels"]) == ("box", "video", ["Ball"])
    rectangles = {f: rectangle for f, rectangle in shown(region).items() if rectangle}
    assert list(rectangles) == list(range(3, 9))  # the page counts from 1
    assert rectangles[3]["x"] < rectangles[8]["x"]
    assert answer["score"] == region["score"] == pytest.approx(1 - PERHAPS_BORN), "as the review says"
    held = {**task, "predictions": [{"result": answer["result"], "updated_at": "2026-01-01"}]}
    assert page.predictor.predict([held], *request[1:]) != [[]]  # and may be tracked as any other


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"frame": 0}, "counted from 1"),
        ({"frame": 500}, "ends with frame 12"),
        ({"x": 120.0}, "outside"),
        ({"width": 0.0}, "less than one pixel"),
    ],
)
def test_keyframes_that_cannot_be_tracked(page: Page, item: dict[str, Any], sentence: str) -> None:
    page.items[0] |= item
    (region,) = page.assign_label()
    (note,) = region["meta"]["text"]
    assert note.startswith("SAM 2 did not track this: ")
    assert sentence in note
    # What is wrong with one region does not hold up the others; the note goes once it is mended.
    page.body["params"]["context"]["result"].append({**region, "id": "mended"})
    page.body["params"]["context"]["result"][1]["value"]["sequence"] = [{**BOX, "frame": 1}]
    wrong, right = page.assign_label()
    assert (wrong["id"], wrong["meta"]["text"]) == (region["id"], [note])
    assert (right["id"], right["meta"]["text"]) == ("mended", [])
    assert len(right["value"]["sequence"]) > 1


def test_a_label_that_the_project_does_not_have(page: Page) -> None:
    page.region["value"]["labels"] = ["Cat"]
    (region,) = page.assign_label()
    assert "no label 'Cat'" in region["meta"]["text"][0]


def test_a_video_that_cannot_be_read_is_noted_on_the_regions(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    """Label Studio shows no error of a backend: who waited saw nothing."""
    page.body["tasks"][0]["data"]["video"] = "/data/upload/1/gone.mp4"
    before = copy.deepcopy(page.items)
    (region,) = page.assign_label()
    assert "gone.mp4 is not there" in region["meta"]["text"][0]
    assert region["value"]["sequence"] == before
    assert "gone.mp4 is not there" in caplog.text


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
    assert answers[1] == page.assign_label()  # the newer one has all; the older may have gone out before
