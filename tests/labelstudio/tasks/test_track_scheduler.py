"""Which video is tracked when, which are closed, and what happens to requests that wait."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from labelstudio_backend.tasks.lanes import Ticket
from labelstudio_backend.tasks.track_scheduler import TrackScheduler, VideoKey
from labelstudio_backend.tasks.video_tracking import VideoTracking


class Counted(VideoTracking):
    """A video of some frames that takes no model; ``log`` sees every frame of every video."""

    def __init__(self, name: str, frames: int, log: list[str], num_bytes: int = 1) -> None:
        self.name, self.left, self.log = name, frames, log
        self.error = None
        self.may_go = threading.Event()
        self.may_go.set()
        self.closed = 0
        self._bytes = num_bytes

    @property
    def num_bytes(self) -> int:
        return self._bytes

    def step(self) -> bool:
        self.may_go.wait()
        self.log.append(self.name)
        self.left -= 1
        return self.left > 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def videos() -> Iterator[TrackScheduler]:
    videos = TrackScheduler(capacity=3, max_bytes=100)
    yield videos
    videos.close()


def soon() -> Ticket:
    return Ticket(deadline=time.monotonic() + 20)


def key(project: int, task: int) -> VideoKey:
    return VideoKey(project, task, "address", "nano")


def ask(videos: TrackScheduler, where: VideoKey, video: Counted, until: int = 0) -> None:
    with videos.use(where, lambda: video, soon()) as used:
        videos.wait(used, lambda: video.left <= until, soon())


def test_projects_take_turns_then_their_tasks() -> None:
    log: list[str] = []
    videos = TrackScheduler(capacity=9, max_bytes=100)
    first = Counted("a1", 5, log)
    first.may_go.clear()
    crowd = [(key(1, 1), first), (key(1, 2), Counted("a2", 5, log)), (key(2, 1), Counted("b1", 5, log))]
    threads = [threading.Thread(target=ask, args=(videos, *one)) for one in crowd]
    for thread in threads:
        thread.start()
        while len(videos) <= threads.index(thread):
            time.sleep(0.001)
    while any(not entry.pending for entry in videos._entries.values()):
        time.sleep(0.001)
    first.may_go.set()
    for thread in threads:
        thread.join()
    videos.close()
    assert sorted(log) == sorted(["a1", "a2", "b1"] * 5)
    while_all_have_work = [name[0] for name in log[:9]]
    assert all(a != b for a, b in pairwise(while_all_have_work))
    assert abs(log[:9].count("a1") - log[:9].count("a2")) <= 1


def test_an_answer_does_not_wait_longer_than_its_deadline_and_the_work_goes_on(
    videos: TrackScheduler,
) -> None:
    log: list[str] = []
    video = Counted("a", 3, log)
    video.may_go.clear()
    with videos.use(key(1, 1), lambda: video, soon()) as used:
        videos.wait(used, lambda: video.left == 0, Ticket(deadline=time.monotonic() + 0.01))
        assert log == []
    video.may_go.set()
    ask(videos, key(1, 1), video)
    assert log == ["a"] * 3


def test_the_least_recently_requested_is_closed_and_opened_again(videos: TrackScheduler) -> None:
    crowd = [Counted(str(task), 1, []) for task in range(5)]
    for task, video in enumerate(crowd):
        ask(videos, key(1, task), video)
    videos._evict()
    assert [video.closed for video in crowd] == [1, 1, 0, 0, 0]
    assert len(videos) == 3
    crowd[0].left = 1
    ask(videos, key(1, 0), crowd[0])
    assert crowd[0].left == 0


def test_large_videos_are_evicted(videos: TrackScheduler) -> None:
    large = [Counted(str(task), 1, [], num_bytes=70) for task in range(2)]
    for task, video in enumerate(large):
        ask(videos, key(1, task), video)
    videos._evict()
    assert [video.closed for video in large] == [1, 0]


def test_another_model_waits_for_the_frame_in_work(videos: TrackScheduler) -> None:
    """Was: not closed yet, so that its session folder was in use and the tracks were kept nowhere."""
    stepping = threading.Event()

    class Slow(Counted):
        def step(self) -> bool:
            stepping.set()
            return super().step()

    first = Slow("first", 3, [])
    first.may_go.clear()
    with videos.use(key(1, 1), lambda: first, soon()) as used:
        videos.wait(used, lambda: True, soon())  # answered already
    assert stepping.wait(20)
    closed_before: list[int] = []

    def open_other() -> Counted:
        closed_before.append(first.closed)
        return Counted("other", 1, [])

    threading.Timer(0.2, first.may_go.set).start()
    other = replace(key(1, 1), model="tiny")
    with videos.use(other, open_other, soon()):
        pass
    assert closed_before == [1]
    assert first.left == 2


def test_a_video_that_cannot_be_opened_leaves_nothing_behind(videos: TrackScheduler) -> None:
    def broken() -> VideoTracking:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), videos.use(key(1, 1), broken, soon()):
        pass
    assert len(videos) == 0


def test_closing_ends_all_waits() -> None:
    videos = TrackScheduler(capacity=3, max_bytes=100)
    video = Counted("a", 10**9, [])
    waiting = threading.Thread(target=ask, args=(videos, key(1, 1), video))
    waiting.start()
    while not video.log:
        time.sleep(0.001)
    videos.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert video.closed == 1


def test_thousands_of_requests_leave_no_more_than_the_caps(videos: TrackScheduler) -> None:
    closed: list[Counted] = []
    opened, threads = 0, threading.active_count()  # other tests of this process may have left some
    for number in range(2000):
        video = Counted(str(number), 1, [])
        with videos.use(key(number % 7, number % 50), lambda new=video: new, soon()) as used:  # type: ignore[misc]
            opened += used is video
            videos.wait(used, lambda one=used: one.left <= 0, soon())  # type: ignore[misc]
        closed.append(video)
    assert len(videos) <= 4
    assert opened - sum(video.closed for video in closed) == len(videos)
    assert threading.active_count() < threads + 5


def test_many_threads_at_once_never_use_a_closed_video() -> None:
    videos = TrackScheduler(capacity=1, max_bytes=100)
    wrong: list[str] = []

    def work(thread: int) -> None:
        for number in range(60):
            where = VideoKey(thread % 2, number % 3, "address", f"model {thread % 3}")
            with videos.use(where, lambda: Counted("a", 2, []), soon()) as used:
                assert isinstance(used, Counted)
                videos.wait(used, lambda one=used: one.left <= 0, soon())  # type: ignore[misc]
                if used.closed:
                    wrong.append(f"{where} closed in use")

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    videos.close()
    assert wrong == []
    assert len(videos) == 0


def test_closed_twice_at_once_takes_no_video_opened_since(videos: TrackScheduler) -> None:
    """Two threads may find the same idle video superfluous; the second must not drop its successor."""
    where, log = key(1, 1), list[str]()
    ask(videos, where, Counted("first", 1, log))
    (stale,) = videos._entries.values()
    videos._close_entry(stale)
    again = Counted("again", 1, log)
    with videos.use(where, lambda: again, soon()) as used:
        videos._close_entry(stale)
        videos.wait(used, lambda: again.left <= 0, soon())
    assert log == ["first", "again"]
