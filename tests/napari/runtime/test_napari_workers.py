import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from qtpy.QtCore import QObject, QTimer

from napari_plugin.runtime.workers import TaskRunner, Worker
from sam2_plugins.runtime.jobs import CancelToken

WAIT = 20_000

pytestmark = pytest.mark.gui


@pytest.fixture
def worker(qapp: Any) -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def owner(qapp: Any) -> QObject:
    return QObject()


def test_work_runs_elsewhere_and_its_outcome_arrives_here(worker: Worker, owner: QObject, qtbot: Any) -> None:
    here = threading.get_ident()
    seen: list[tuple[int, int]] = []
    task_runner = TaskRunner(worker, owner)
    task_runner.run(
        threading.get_ident,
        then=lambda there: seen.append((there, threading.get_ident())),
        failed=pytest.fail,
    )
    qtbot.waitUntil(lambda: bool(seen), timeout=WAIT)
    assert seen[0][0] != here
    assert seen[0][1] == here


def test_errors_arrive_as_errors(worker: Worker, owner: QObject, qtbot: Any) -> None:
    errors: list[BaseException] = []
    TaskRunner(worker, owner).run(lambda: 1 / 0, then=pytest.fail, failed=errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=WAIT)
    assert isinstance(errors[0], ZeroDivisionError)


def test_steps_arrive_in_order_and_stop_when_cancelled(worker: Worker, owner: QObject, qtbot: Any) -> None:
    cancel = CancelToken()
    seen: list[int] = []
    counts: list[int] = []
    gate = threading.Semaphore(3)

    def steps() -> Iterator[int]:
        for number in range(100):
            gate.acquire()
            yield number

    TaskRunner(worker, owner).run_steps(
        steps(), on_step=seen.append, then=counts.append, failed=pytest.fail, cancel=cancel
    )
    qtbot.waitUntil(lambda: seen == [0, 1, 2], timeout=WAIT)
    cancel.cancel()
    gate.release()
    qtbot.waitUntil(lambda: bool(counts), timeout=WAIT)
    assert counts[0] in (3, 4)  # the step at hand is finished
    assert seen == list(range(counts[0]))


@pytest.mark.parametrize("by", ["close", "destroy"])
def test_nothing_arrives_for_a_closed_task_runner_and_its_long_work_stops(
    worker: Worker, qtbot: Any, by: str
) -> None:
    owner, other = QObject(), QObject()
    task_runner = TaskRunner(worker, owner)
    entered, gate = threading.Event(), threading.Event()
    begun: list[int] = []

    def steps() -> Iterator[int]:
        for number in range(1000):
            begun.append(number)
            entered.set()
            gate.wait()
            yield number

    task_runner.run_steps(steps(), on_step=pytest.fail, then=pytest.fail, failed=pytest.fail)
    entered.wait()
    if by == "close":
        task_runner.close()
    else:
        owner.deleteLater()
        qtbot.waitUntil(lambda: task_runner._closed, timeout=WAIT)
    gate.set()
    after: list[str] = []
    TaskRunner(worker, other).run_steps(
        iter("a"), on_step=after.append, then=lambda _: None, failed=pytest.fail
    )
    qtbot.waitUntil(lambda: after == ["a"], timeout=WAIT)
    assert begun == [0]


def test_the_window_gets_its_turn_however_fast_outcomes_arrive(
    worker: Worker, owner: QObject, qtbot: Any
) -> None:
    seen: list[str] = []
    turns = QTimer()
    turns.timeout.connect(lambda: seen.append("turn"))

    def slow(_: int) -> None:
        time.sleep(0.003)
        seen.append("outcome")

    TaskRunner(worker, owner).run_steps(
        iter(range(60)), on_step=slow, then=lambda _: None, failed=pytest.fail
    )
    turns.start(0)
    qtbot.waitUntil(lambda: seen.count("outcome") == 60, timeout=WAIT)
    between = "".join(mark[0] for mark in seen).strip("t")
    assert max(map(len, between.split("t"))) <= 6  # what fits into two slices


def test_an_error_of_one_outcome_does_not_hold_back_the_next(
    worker: Worker, owner: QObject, qtbot: Any
) -> None:
    seen: list[int] = []

    def show(number: int) -> None:
        if number == 1:
            raise ValueError("on purpose")
        seen.append(number)

    with qtbot.captureExceptions() as errors:
        TaskRunner(worker, owner).run_steps(
            iter(range(3)), on_step=show, then=lambda _: None, failed=pytest.fail
        )
        qtbot.waitUntil(lambda: seen == [0, 2], timeout=WAIT)
    assert [kind for kind, *_ in errors] == [ValueError]
