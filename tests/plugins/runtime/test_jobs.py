"""Jobs: order, cancelling, exceptions, and the lock that lets clicks go ahead."""

import threading

import pytest

from sam2_plugins.runtime.jobs import CancelToken, DeviceLock, JobQueue, Priority, Progress, with_progress

WAIT = 30  # seconds until a hanging test gives up; nothing is asserted about time


def test_progress_gives_speed_and_time_left():
    progress = Progress(done=10, total=30, seconds=5.0)
    assert progress.frames_per_second == 2.0
    assert progress.seconds_left == 10.0
    assert str(progress) == "10 of 30 frames, 2.0 frames/s, 10 s left"


def test_progress_of_a_live_stream_or_before_the_first_frame_promises_nothing():
    assert Progress(3, None, 1.0).seconds_left is None
    assert Progress(0, 9, 0.0).seconds_left is None
    assert Progress(0, 9, 0.0).frames_per_second == 0.0


def test_with_progress_counts_steps():
    counted = list(with_progress("abc", total=3))
    assert [(step, progress.done, progress.total) for step, progress in counted] == [
        ("a", 1, 3),
        ("b", 2, 3),
        ("c", 3, 3),
    ]


def test_submit_returns_the_result_or_the_exception():
    with JobQueue() as queue:
        assert queue.submit(lambda: 6 * 7).result(WAIT) == 42
        with pytest.raises(ZeroDivisionError):
            queue.submit(lambda: 1 // 0).result(WAIT)
        assert queue.submit(lambda: "alive").result(WAIT) == "alive"


def test_a_click_goes_ahead_of_the_next_frame():
    order: list[str] = []
    first_frame_runs, click_is_waiting = threading.Event(), threading.Event()

    def frames():
        for frame in range(3):
            if frame == 0:
                first_frame_runs.set()
                assert click_is_waiting.wait(WAIT)
            yield f"frame {frame}"

    with JobQueue() as queue:
        propagation = queue.submit_steps(frames(), on_step=order.append)
        assert first_frame_runs.wait(WAIT)
        later = queue.submit(lambda: order.append("visible"), priority=Priority.VISIBLE)
        click = queue.submit(lambda: order.append("click"))
        click_is_waiting.set()
        assert propagation.result(WAIT) == 3
        click.result(WAIT)
        later.result(WAIT)
    assert order == ["frame 0", "click", "visible", "frame 1", "frame 2"]


def test_two_propagations_run_one_after_the_other():
    order: list[str] = []
    ready = threading.Event()
    with JobQueue() as queue:
        gate = queue.submit(lambda: ready.wait(WAIT))
        one = queue.submit_steps(iter("aaa"), on_step=order.append)
        two = queue.submit_steps(iter("bb"), on_step=order.append)
        ready.set()
        assert (gate.result(WAIT), one.result(WAIT), two.result(WAIT)) == (True, 3, 2)
    assert "".join(order) == "aaabb"


def test_cancel_keeps_finished_steps_and_closes_the_generator():
    token, closed, seen = CancelToken(), threading.Event(), []

    def frames():
        try:
            yield from range(100)
        finally:
            closed.set()

    def on_step(frame: int) -> None:
        seen.append(frame)
        if frame == 4:
            token.cancel()

    with JobQueue() as queue:
        assert queue.submit_steps(frames(), on_step=on_step, cancel=token).result(WAIT) == 5
    assert seen == [0, 1, 2, 3, 4]
    assert closed.is_set()


def test_an_exception_in_a_step_or_its_callback_reaches_the_future_only():
    def broken():
        yield 1
        raise KeyError("frame 1")

    with JobQueue() as queue:
        with pytest.raises(KeyError, match="frame 1"):
            queue.submit_steps(broken()).result(WAIT)
        with pytest.raises(ZeroDivisionError):
            queue.submit_steps([0], on_step=lambda value: 1 // value).result(WAIT)
        assert queue.submit(lambda: 1).result(WAIT) == 1


def test_close_cancels_what_waits_and_refuses_more():
    queue = JobQueue()
    running, go_on = threading.Event(), threading.Event()

    def block() -> str:
        running.set()
        go_on.wait(WAIT)
        return "finished"

    first = queue.submit(block)
    waiting = queue.submit(lambda: "never")
    assert running.wait(WAIT)
    closer = threading.Thread(target=queue.close)
    closer.start()
    while not queue._closed:
        pass
    go_on.set()
    closer.join(WAIT)
    assert first.result(WAIT) == "finished"
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit(lambda: None)


def test_close_in_the_middle_of_a_propagation_tells_its_future():
    queue = JobQueue()
    began, may_go_on = threading.Event(), threading.Event()

    def endless():
        while True:
            began.set()
            may_go_on.wait(WAIT)
            yield None

    future = queue.submit_steps(endless())
    assert began.wait(WAIT)
    may_go_on.set()
    queue.close()
    with pytest.raises(RuntimeError, match="closed before"):
        future.result(WAIT)


def in_which_order(lock: DeviceLock, waiting: list[tuple[str, Priority]]) -> list[str]:
    """Return the order in which waiting threads get the lock."""
    order: list[str] = []
    lock.acquire()

    def use(name: str, priority: Priority) -> None:
        with lock.held(priority):
            order.append(name)

    threads: list[threading.Thread] = []
    for name, priority in waiting:
        threads.append(threading.Thread(target=use, args=(name, priority)))
        threads[-1].start()
        while len(lock._waiting) < len(threads):
            pass
    lock.release()
    for thread in threads:
        thread.join(WAIT)
    return order


def test_the_lock_serves_interactive_waiters_first():
    waiting = [
        ("idle", Priority.IDLE),
        ("frame", Priority.BACKGROUND),
        ("visible", Priority.VISIBLE),
        ("click", Priority.INTERACTIVE),
    ]
    assert in_which_order(DeviceLock(patience=WAIT), waiting) == ["click", "visible", "frame", "idle"]


def test_however_many_click_background_work_goes_on():
    waiting = [("idle", Priority.IDLE), *((f"click {i}", Priority.INTERACTIVE) for i in range(9))]
    waiting[4:4] = [("frame", Priority.BACKGROUND)]
    assert in_which_order(DeviceLock(patience=0), waiting)[0] == "frame"


def test_the_lock_may_be_entered_again_by_its_holder_only():
    lock = DeviceLock()
    with lock, lock:
        errors = []

        def release_elsewhere() -> None:
            try:
                lock.release()
            except RuntimeError as error:
                errors.append(error)

        thread = threading.Thread(target=release_elsewhere)
        thread.start()
        thread.join(WAIT)
        assert len(errors) == 1
    with pytest.raises(RuntimeError, match="not held"):
        lock.release()
