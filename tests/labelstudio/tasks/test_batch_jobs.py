import threading
import time
from collections.abc import Iterator

import pytest

from labelstudio_backend.tasks import batch_jobs as batch
from labelstudio_backend.tasks.batch_jobs import BatchJobs, ScoredRegions
from sam2_engine.errors import InputError

AT_ONCE = 0.0


def patiently() -> float:
    return time.monotonic() + 60


@pytest.fixture
def work() -> Iterator[BatchJobs]:
    made = BatchJobs()
    yield made
    made.close()


def answer(name: str) -> ScoredRegions:
    return [{"id": name}], 0.5


def test_all_that_is_finished_comes_in_order(work: BatchJobs) -> None:
    calls = {name: lambda name=name: answer(name) for name in "abc"}
    assert work.results("1", {**calls, "none": lambda: None}, patiently()) == {
        "a": answer("a"),
        "b": answer("b"),
        "c": answer("c"),
        "none": None,
    }


def test_what_is_late_goes_on_and_is_found_the_next_time(work: BatchJobs) -> None:
    go_on = threading.Event()
    done: list[str] = []

    def slow() -> ScoredRegions:
        go_on.wait(60)
        done.append("slow")
        return answer("slow")

    calls = {"slow": slow, "after": lambda: answer("after")}
    assert work.results("1", calls, AT_ONCE) == {}
    assert work.results("1", calls, AT_ONCE) == {}
    go_on.set()
    assert list(work.results("1", calls, patiently())) == ["slow", "after"]
    assert done == ["slow"]


def test_projects_do_not_wait_for_each_other(work: BatchJobs) -> None:
    go_on = threading.Event()
    assert work.results("1", {"slow": lambda: (go_on.wait(60), answer("slow"))[1]}, AT_ONCE) == {}
    assert work.results("2", {"quick": lambda: answer("quick")}, patiently()) == {"quick": answer("quick")}
    go_on.set()


def test_one_that_fails_stops_no_other_and_is_tried_again(work: BatchJobs) -> None:
    mended = False

    def sometimes() -> ScoredRegions:
        if not mended:
            raise InputError("The file is not there.")
        return answer("a")

    def broken() -> ScoredRegions:
        raise RuntimeError("inner secret")

    calls = {"a": sometimes, "b": broken, "c": lambda: answer("c")}
    found = work.results("1", calls, patiently())
    assert str(found["a"]) == "The file is not there."
    assert isinstance(found["b"], InputError)
    assert "inner secret" not in str(found["b"])
    assert found["c"] == answer("c")
    mended = True
    assert work.results("1", calls, patiently())["a"] == answer("a")


def test_results_beyond_the_cap_are_discarded(work: BatchJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_MAX_BYTES", 100)
    made: list[str] = []

    def make(name: str) -> ScoredRegions:
        made.append(name)
        return answer(name * 30)

    for name in "abca":
        assert work.results("1", {name: lambda name=name: make(name)}, patiently())
    assert made == ["a", "b", "c", "a"]


def test_closing_gives_up_what_waits_and_lets_end_what_runs() -> None:
    work = BatchJobs()
    begun, go_on = threading.Event(), threading.Event()
    started: list[str] = []

    def slow() -> ScoredRegions:
        begun.set()
        go_on.wait(60)
        return answer("slow")

    calls = {"slow": slow, "later": lambda: started.append("later")}
    assert work.results("1", calls, AT_ONCE) == {}
    assert begun.wait(60)
    closing = threading.Thread(target=work.close)
    closing.start()
    assert work.results("1", calls, patiently()) == {}  # it is told of the closing, and waits no longer
    assert closing.is_alive()
    go_on.set()
    closing.join(60)
    assert not closing.is_alive()
    assert work.results("1", calls, patiently()) == {"slow": answer("slow")}
    assert started == []
