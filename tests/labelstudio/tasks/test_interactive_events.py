"""The event protocol of interactive tools: exchanges of our own making, in the words of the 2026 example."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from labelstudio_harness import MediaServer
from numpy.typing import NDArray
from PIL import Image

from labelstudio_backend.http.app import Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks import interactive_events
from labelstudio_backend.tasks.event_tracks import EventTrack
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError
from sam2_engine.frames.video_frames import VideoFrames

VIDEO = "/data/upload/1/disc.mp4"
IMAGE = "/data/upload/1/disc.png"
CONFIG = '<View><Video name="video" value="$video"/><VideoRectangle name="box" toName="video"/></View>'
VECTORS = CONFIG.replace("VideoRectangle", "VideoVectorLabels")
IMAGES = '<View><Image name="image" value="$image"/><BitmaskLabels name="tag" toName="image"/></View>'
FRAMES, RATE, HEIGHT, WIDTH = 8, 10, 96, 128
LABEL = [{"type": "keypointlabels", "value": {"x": 100 * 30 / WIDTH, "y": 50.0, "positive": True}}]


def disc(frame: int) -> NDArray[np.bool_]:
    """Where the disc of a frame is: it moves to the right."""
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    return np.asarray(np.hypot(x - 30 - 6 * frame, y - HEIGHT // 2) < 16)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("video") / "disc.mp4"
    images = [np.stack([np.where(disc(f), np.uint8(210), np.uint8(30))] * 3, -1) for f in range(FRAMES)]
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    png = io.BytesIO()
    Image.fromarray(images[0]).save(png, "PNG")
    return {VIDEO: path.read_bytes(), IMAGE: png.getvalue()}


@pytest.fixture
def predictor(media_server: MediaServer, media: dict[str, bytes]) -> Iterator[Predictor]:
    for address, content in media.items():
        media_server.pages[address] = (200, {}, content)
    made = Predictor(Settings(model="nano@256", device="cpu", label_studio_url=media_server.url))
    yield made
    made.close()


def ask(predictor: Predictor, task_id: int = 1, config: str = CONFIG, **context: Any) -> dict[str, Any]:
    """Send an event and return the only item of its answer."""
    tasks = [{"id": task_id, "data": {"video": VIDEO, "image": IMAGE}}]
    (prediction,) = predictor.predict(tasks, config, context, "1.17")
    assert isinstance(prediction, dict)
    (item,) = prediction["result"]
    assert item["origin"] == "manual"
    assert item["id"]
    found: dict[str, Any] = item
    return found


def pixels(value: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the mask of a picture, which is white on black."""
    assert (value["height"], value["width"]) == (HEIGHT, WIDTH)
    with Image.open(io.BytesIO(base64.b64decode(value["imageDataURL"].partition(",")[2]))) as image:
        assert image.mode == "L"
        return np.asarray(image) > 0


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))


def follow(predictor: Predictor, started: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Ask for a track's progress until it is done, and return its frames."""
    assert started["type"] == "track_started"
    frames: dict[int, dict[str, Any]] = {}
    for _ in range(200):
        value = ask(predictor, event="track_progress", session_id=started["value"]["session_id"])["value"]
        assert value["error"] is None
        assert not frames.keys() & {one["frame"] for one in value["frames"]}
        frames |= {one["frame"]: one for one in value["frames"]}
        assert value["produced"] >= len(frames)
        assert value["total"] == started["value"]["total_frames"]
        if value["done"]:
            return frames
    raise AssertionError("the track has no end")


def test_capabilities_need_neither_task_nor_configuration(predictor: Predictor) -> None:
    (prediction,) = predictor.predict([], None, {"event": "capabilities"}, "1.17")
    assert isinstance(prediction, dict)
    (item,) = prediction["result"]
    assert item["type"] == "capabilities"
    targets = {one["tag"]: one for one in item["value"]["targets"]}
    assert item["value"]["prompts"] == ["point", "box"]
    assert targets["VideoRectangle"] == {"tag": "VideoRectangle", "output": "bbox", "features": ["track"]}
    assert item["value"]["model_info"]["version"] == predictor.model_version


@pytest.mark.parametrize("frame", [0, 4])
@pytest.mark.parametrize("config", [CONFIG, VECTORS])
def test_a_click_on_a_frame_of_a_video_is_its_mask(predictor: Predictor, frame: int, config: str) -> None:
    x = 100 * (30 + 6 * frame) / WIDTH
    click = [{"type": "keypointlabels", "value": {"x": x, "y": 50.0, "positive": True}}]
    item = ask(predictor, config=config, time_ms=1000 * frame / RATE + 3, result=click)
    assert (item["type"], item["from_name"], item["to_name"]) == ("bitmask", "box", "video")
    assert iou(pixels(item["value"]), disc(frame)) > 0.8


def test_a_click_outside_takes_away_and_a_box_is_a_prompt(predictor: Predictor) -> None:
    box = {
        "type": "rectanglelabels",
        "value": {"x": 100 * 14 / WIDTH, "y": 100 * 32 / HEIGHT, "width": 25.0, "height": 34.0},
    }
    outside = {"type": "keypointlabels", "value": {"x": 90.0, "y": 10.0, "positive": False}}
    item = ask(predictor, frame=1, result=[box, outside])
    assert iou(pixels(item["value"]), disc(0)) > 0.8
    tasks = [{"id": 1, "data": {"video": VIDEO}}]
    (nothing,) = predictor.predict(tasks, CONFIG, {"frame": 1, "result": []}, "1.17")
    assert isinstance(nothing, dict)
    assert nothing["result"] == []


def test_a_track_grows_while_it_is_asked_for(predictor: Predictor) -> None:
    started = ask(predictor, event="track", time_ms=3.0, direction="forward", result=LABEL)
    assert started["value"]["total_frames"] == FRAMES
    assert started["value"]["fps"] == pytest.approx(RATE)
    frames = follow(predictor, started)
    assert sorted(frames) == list(range(FRAMES))
    for frame, one in frames.items():
        assert one["time_ms"] == pytest.approx(1000 * frame / RATE)
        assert iou(pixels(one), disc(frame)) > 0.8
    gone = ask(predictor, event="track_progress", session_id=started["value"]["session_id"])
    assert gone["value"] == {"error": "session not found", "done": True}


def test_both_directions_begin_at_the_click(predictor: Predictor) -> None:
    click = [{"type": "keypointlabels", "value": {"x": 100 * 54 / WIDTH, "y": 50.0}}]
    started = ask(predictor, event="track", frame=5, direction="both", max_frames=2, result=click)
    # The page counts frames at 24 a second, so its fifth is the file's second.
    assert started["type"] == "track_started"
    follow(predictor, started)
    started = ask(predictor, event="track", time_ms=403, direction="both", max_frames=3, result=click)
    assert started["value"]["total_frames"] == 5
    assert sorted(follow(predictor, started)) == [2, 3, 4, 5, 6]
    for most in (0, 1):  # the one with the click
        started = ask(predictor, event="track", time_ms=403, max_frames=most, result=click)
        assert started["value"]["total_frames"] == len(follow(predictor, started)) == 1
    started = ask(predictor, event="track", time_ms=403, direction="backward", result=click)
    assert sorted(follow(predictor, started)) == [0, 1, 2, 3, 4]
    started = ask(predictor, event="track", time_ms=403, max_duration_ms=150, result=click)
    assert max(follow(predictor, started)) <= 6


def test_a_track_is_cancelled_by_its_own_task_alone(predictor: Predictor) -> None:
    started = ask(predictor, event="track", time_ms=3, result=LABEL)
    track_id = started["value"]["session_id"]
    other = ask(predictor, 2, event="track_cancel", session_id=track_id)
    assert other["value"] == {"status": "not_found"}
    cancelled = ask(predictor, event="track_cancel", session_id=track_id)
    assert (cancelled["type"], cancelled["value"]) == ("track_cancel_ack", {"status": "cancelled"})
    assert ask(predictor, event="track_cancel", session_id=None)["value"] == {"status": "not_found"}


def test_what_was_finished_when_a_track_was_cancelled_is_still_answered(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor._events.tracks, "most", 1)
    reached, go_on = threading.Event(), threading.Event()
    add = EventTrack._add

    def pause(track: EventTrack, object_id: int, frame: int) -> None:
        add(track, object_id, frame)
        if frame == 2:
            reached.set()
            go_on.wait(60)

    monkeypatch.setattr(EventTrack, "_add", pause)
    started = ask(predictor, event="track", time_ms=3, result=LABEL)["value"]
    assert reached.wait(60)
    ask(predictor, event="track_cancel", session_id=started["session_id"])
    go_on.set()
    answers = []
    while not answers or not answers[-1]["done"]:
        answers.append(ask(predictor, event="track_progress", session_id=started["session_id"])["value"])
    assert sorted(one["frame"] for value in answers for one in value["frames"]) == [0, 1, 2]
    page_frame = 8  # of 19, at the page's 24 a second
    assert answers[-1]["stopped"].startswith(f"Tracking was stopped at frame {page_frame} of 19;")
    # One that was stopped takes no place of another.
    other = ask(predictor, event="track", time_ms=3, result=LABEL)
    follow(predictor, other)


def test_a_track_that_is_cancelled_before_its_turn_says_so(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    predictor._events.tracks._worker.submit(go_on.wait, 60)  # the worker is busy
    started = ask(predictor, event="track", time_ms=3, result=LABEL)["value"]
    ask(predictor, event="track_cancel", session_id=started["session_id"])
    go_on.set()
    value = ask(predictor, event="track_progress", session_id=started["session_id"])["value"]
    assert (value["frames"], value["done"]) == ([], True)
    assert value["stopped"] == "Tracking was stopped before its first frame."


def test_what_was_released_is_closed_when_nobody_uses_it(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[VideoFrames] = []
    close = VideoFrames.close
    monkeypatch.setattr(VideoFrames, "close", lambda frames: closed.append(frames) or close(frames))
    ask(predictor, event="prewarm", frame=1, window=2)
    ask(predictor, event="track", time_ms=3, result=LABEL)
    (video,) = predictor._events._videos.values()
    released = ask(predictor, event="release")
    assert (released["type"], released["value"]) == ("release_ack", {"status": "released"})
    deadline = time.monotonic() + 30
    while video.users and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not predictor._events._videos
    assert not len(predictor._events.tracks)
    assert closed == [video.session.frames]


def test_frames_around_the_shown_one_are_encoded_beforehand(predictor: Predictor) -> None:
    first = ask(predictor, event="prewarm", frame=1, window=3, direction="forward")
    assert first["type"] == "prewarm_ack"
    assert (first["value"]["status"], first["value"]["frame_count"]) == ("ok", FRAMES)
    assert sorted(first["value"]["cached"] + first["value"]["pending"]) == [0, 1, 2, 3]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        again = ask(predictor, event="prewarm", frame=1, window=3)["value"]
        if not again["pending"]:
            break
        time.sleep(0.05)
    assert again["cached"] == [0, 1, 2, 3]


def test_too_many_tracks_are_told_to_wait(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor._events.tracks, "most", 1)
    started = ask(predictor, event="track", time_ms=3, result=LABEL)
    busy = ask(predictor, event="track", time_ms=3, result=LABEL)
    assert busy["type"] == "track_busy"
    assert busy["value"]["max_sessions"] == 1
    assert "exhausted" in busy["value"]["error"]
    follow(predictor, started)


def test_tracks_that_nobody_asks_for_are_forgotten(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor._events.tracks, "most", 1)
    forgotten = ask(predictor, event="track", time_ms=3, result=LABEL)["value"]["session_id"]
    monkeypatch.setattr("labelstudio_backend.tasks.event_tracks._FORGOTTEN_SECONDS", -1.0)
    assert ask(predictor, event="track", time_ms=3, result=LABEL)["type"] == "track_started"
    assert ask(predictor, event="track_progress", session_id=forgotten)["value"]["done"]


def test_only_so_many_videos_are_open(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive_events, "_MOST_VIDEOS", 2)
    for task_id in range(4):
        ask(predictor, task_id, time_ms=3, result=LABEL)
    assert [task_id for task_id, _, _ in predictor._events._videos] == [2, 3]


def test_a_click_on_an_image_is_its_mask(predictor: Predictor) -> None:
    item = ask(predictor, config=IMAGES, event="predict", result=LABEL)
    assert (item["type"], item["from_name"]) == ("bitmask", "tag")
    assert iou(pixels(item["value"]), disc(0)) > 0.8
    warm = ask(predictor, config=IMAGES, event="prewarm", frame=0)["value"]
    assert warm == {"status": "ok", "cached": [0], "pending": []}
    with pytest.raises(InputError, match="nothing to track on an image"):
        ask(predictor, config=IMAGES, event="track", result=LABEL)


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"event": "trak"}, "no event 'trak'; the known ones are: capabilities, prewarm"),
        ({"event": 3}, "no event 3"),
        ({"event": "prewarm", "frame": "first"}, "frame is a number that is not negative, not 'first'"),
        ({"time_ms": -5, "result": LABEL}, "time_ms is a number"),
        ({"frame": 9999, "result": LABEL}, "the frame number 9999, but"),
        (
            {"event": "prewarm", "frame": 1, "direction": "sideways"},
            "forward, backward or both, not 'sideways'",
        ),
        ({"event": "prewarm", "frame": 1, "window": -5}, "window is a number that is not negative"),
        ({"frame": 1, "result": [{"value": {"x": 5.0}}]}, "nothing for y"),
        ({"frame": 1, "result": [{"value": {"x": 500.0, "y": 5.0}}]}, "outside"),
        ({"frame": 1, "result": {"x": 5}}, "not of the form"),
    ],
)
def test_bad_events_are_refused_in_a_sentence(
    predictor: Predictor, context: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        ask(predictor, **context)


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"result": []}, "nothing to track"),
        ({"result": LABEL, "max_frames": "all"}, "max_frames is a number"),
    ],
)
def test_a_track_that_cannot_begin_says_so_to_the_page(
    predictor: Predictor, context: dict[str, Any], sentence: str
) -> None:
    item = ask(predictor, event="track", time_ms=3, **context)
    assert (item["type"], item["value"]["done"]) == ("track_error", True)
    assert sentence in item["value"]["error"]


def test_a_configuration_without_a_tag_for_events_is_refused(predictor: Predictor) -> None:
    config = '<View><Video name="video" value="$video"/><TimelineLabels name="t" toName="video"/></View>'
    with pytest.raises(InputError, match=r"add one of <BitmaskLabels>, .*<VideoRectangle>"):
        ask(predictor, config=config, event="prewarm", frame=1)


def test_events_travel_over_http(predictor: Predictor) -> None:
    import json
    from wsgiref.util import setup_testing_defaults

    body = json.dumps(
        {"tasks": [], "project": "1.17", "params": {"context": {"event": "capabilities"}}}
    ).encode()
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/predict"}
    setup_testing_defaults(environ)
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    statuses: list[str] = []
    answer = b"".join(Application(predictor)(environ, lambda status, headers, *_: statuses.append(status)))  # type: ignore[arg-type, return-value]
    assert statuses == ["200 OK"]
    assert json.loads(answer)["results"][0]["result"][0]["type"] == "capabilities"


def test_projects_that_only_events_fill_can_be_connected(predictor: Predictor) -> None:
    assert predictor.setup(VECTORS, "1.17") == predictor.model_version
