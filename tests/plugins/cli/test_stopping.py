"""Signals that stop a command."""

import signal

import pytest

from sam2_plugins.cli.commands import stopping
from sam2_plugins.cli.commands.stopping import exit_status, interruptible, stoppable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    return now


def test_a_signal_that_comes_twice_at_once_lets_a_command_finish_its_frame(clock: list[float]) -> None:
    with stoppable(), interruptible() as token:
        signal.raise_signal(signal.SIGTERM)
        clock[0] += 0.1
        signal.raise_signal(signal.SIGINT)  # as of a shutdown, or a program that passes Ctrl-C on
        assert token.cancelled
    assert exit_status() == 128 + signal.SIGTERM


def test_the_second_one_of_somebody_impatient_stops_at_once(clock: list[float]) -> None:
    with stoppable(), interruptible():
        signal.raise_signal(signal.SIGINT)
        clock[0] += 1.5
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_is_cleared_up_after_a_stop_is_not_stopped_by_its_echo(clock: list[float]) -> None:
    with stoppable():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
