"""Who waits for what: clicks in a lane of their own, in turn, and nobody for what was asked anew."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from labelstudio_harness import MediaServer, call, recorded

from labelstudio_backend.http.app import Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.lanes import BusyError, Lane, Requests, SupersededError, Ticket
from labelstudio_backend.tasks.predictor import Predictor
from labelstudio_backend.tasks.video_tracking import VideoTracking

WAIT = 60.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_places_are_given_in_order_of_arrival() -> None:
    lane, order = Lane(1), list[int]()
    with ThreadPoolExecutor(9) as people, lane.place(Ticket()):
        for number in range(9):
            people.submit(take, lane, order, number)
            until(lambda count=number: lane.waiting == count + 1)  # type: ignore[misc]
    assert order == list(range(9))


def take(lane: Lane, order: list[int], number: int) -> None:
    with lane.place(Ticket()):
        order.append(number)


def test_who_waits_too_long_is_told_and_leaves_the_lane_as_it_was() -> None:
    lane = Lane(1)
    with lane.place(Ticket()), pytest.raises(BusyError), lane.place(Ticket(deadline=0)):
        pass
    assert lane.waiting == 0
    with lane.place(Ticket(deadline=0)):  # a free place is taken without waiting
        pass


def test_a_newer_request_about_the_same_region_ends_the_waiting_of_the_older() -> None:
    lane, requests, ended = Lane(1), Requests(), threading.Event()
    older = Ticket(["a"], "one click")

    def wait() -> None:
        with requests.begun("task", older), pytest.raises(SupersededError), lane.place(older):
            pass
        ended.set()

    with lane.place(Ticket()):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: lane.waiting == 1)
        for scope, regions, content in (
            ("other task", ["a"], "two clicks"),
            ("task", ["b"], "two clicks"),
            ("task", [], "two clicks"),
            ("task", ["a"], "one click"),  # the same again
        ):
            with requests.begun(scope, Ticket(regions, content)):
                assert not older.superseded
        with requests.begun("task", Ticket(["a", "b"], "two clicks")):
            assert ended.wait(WAIT)
    thread.join(WAIT)
    assert (requests._tickets, older._wakers) == ({}, [])


# ------------------------------------------------------------------ requests as Label Studio sends them


@pytest.fixture
def application(media_server: MediaServer, small_checkpoint: Path) -> Any:
    settings = Settings(str(small_checkpoint), "cpu", label_studio_url=media_server.url, predict_seconds=WAIT)
    predictor = Predictor(settings)
    yield Application(predictor, max_requests=60)
    predictor.close()


@pytest.fixture
def held_tracking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Videos that are not tracked any further until the event is set."""
    may_go = threading.Event()
    step = VideoTracking.step

    def held(video: VideoTracking) -> bool:
        assert may_go.wait(WAIT)
        return step(video)

    monkeypatch.setattr(VideoTracking, "step", held)
    yield may_go
    may_go.set()


def of_task(body: dict[str, Any], number: int) -> dict[str, Any]:
    (task,) = body["tasks"]
    return {**body, "tasks": [{**task, "id": number}]}


def test_twenty_clicks_are_answered_while_eight_videos_wait(
    application: Application, media_server: MediaServer, held_tracking: threading.Event
) -> None:
    """Was: eight waiting videos refused every click, and of twenty clicks at once half were refused."""
    video = recorded("predict_video_label_assigned", media_server)["json"]
    click = recorded("predict_image_keypoint_positive", media_server)["json"]
    scheduler = application.predictor.scheduler
    with ThreadPoolExecutor(28) as people:
        videos = [
            people.submit(call, application, "POST", "/predict", of_task(video, n)) for n in range(1, 9)
        ]
        until(lambda: scheduler.pending == 8)
        clicks = [
            people.submit(call, application, "POST", "/predict", of_task(click, n)) for n in range(1, 21)
        ]
        assert [reply.result().status for reply in clicks] == [200] * 20
        assert all(reply.result().json["results"][0]["result"] for reply in clicks)
        assert not any(video.done() for video in videos)
        held_tracking.set()
        assert [reply.result().status for reply in videos] == [200] * 8


def test_a_track_asked_for_again_is_waited_for_once(
    application: Application, media_server: MediaServer, held_tracking: threading.Event
) -> None:
    video = recorded("predict_video_label_assigned", media_server)["json"]
    with ThreadPoolExecutor(2) as people:
        first = people.submit(call, application, "POST", "/predict", video)
        until(lambda: application.predictor.scheduler.pending == 1)
        second = people.submit(call, application, "POST", "/predict", video)
        reply = first.result(WAIT)  # at once, as far as it is
        assert not second.done()
        assert reply.status == 200
        assert len(reply.json["results"][0]["result"]) == 1
        held_tracking.set()
        assert second.result(WAIT).status == 200


def test_a_click_that_waits_for_its_image_gives_way_to_the_next_one(
    application: Application, media_server: MediaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    click = recorded("predict_image_keypoint_positive", media_server)["json"]
    (region,) = click["params"]["context"]["result"]
    begun, may_go = threading.Semaphore(0), threading.Event()
    media = application.predictor._media
    image = media.image

    def slow(address: str) -> Any:
        begun.release()
        assert may_go.wait(WAIT)
        return image(address)

    monkeypatch.setattr(media, "image", slow)

    def drawn(*places: float) -> dict[str, Any]:
        regions = [{**region, "id": str(x), "value": {**region["value"], "x": x}} for x in places]
        return {**click, "params": {"context": {"result": regions}}}

    with ThreadPoolExecutor(3) as people:
        replies = [people.submit(call, application, "POST", "/predict", drawn(10))]
        assert begun.acquire(timeout=WAIT)
        replies.append(people.submit(call, application, "POST", "/predict", drawn(10, 20)))
        until(lambda: any(len(e.turn._waiting) for e in application.predictor.sessions._entries.values()))
        replies.append(people.submit(call, application, "POST", "/predict", drawn(10, 20, 30)))
        assert replies[1].result(WAIT).json["results"][0]["result"] == []
        may_go.set()
        found = [reply.result(WAIT).json["results"][0]["result"] for reply in replies]
    assert [bool(regions) for regions in found] == [True, False, True]
