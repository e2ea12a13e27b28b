"""Stops of a command by Ctrl-C, a scheduler (SIGTERM) or a closed terminal (SIGHUP)."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.runtime.jobs import CancelToken

__all__ = ["STOPPED", "exit_status", "interruptible", "stoppable", "stopped_at_once"]

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

STOPPED = frozenset(128 + number for number in _SIGNALS)
"""Exit statuses of a command that was stopped."""


_ECHO = 1.0
"""Seconds in which one stop may be told of several times, by nobody impatient: ``timeout`` tells a command
and its group, a desktop that shuts down sends SIGTERM and SIGHUP, and some programs pass Ctrl-C on."""


class _Stops:
    """The signals of one run of a command."""

    def __init__(self) -> None:
        self.last = signal.SIGINT
        self.token: CancelToken | None = None
        self.saying = ""
        self.at_once = False
        self._ignored_until = 0.0

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now < self._ignored_until:
            return
        self._ignored_until = now + _ECHO
        self.last = signal.Signals(number)
        if number != signal.SIGINT:
            _leave_terminal()
        if self.token is None or self.token.cancelled:
            self.at_once = True
            raise KeyboardInterrupt
        self.token.cancel()
        print_stderr(self.saying)


_stops = _Stops()


def exit_status() -> int:
    """Return the exit status of a stopped command, as shells have it: 128 and the signal's number."""
    return 128 + _stops.last


def stopped_at_once() -> bool:
    """Whether a signal ended the command in the middle of something."""
    return _stops.at_once


@contextmanager
def stoppable() -> Iterator[None]:
    """Let signals end a command like Ctrl-C, so that nothing half-written stays; what is ignored stays so."""
    global _stops
    _stops = _Stops()
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, _stops.on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible(unit: str = "frame", saying: str = "") -> Iterator[CancelToken]:
    """Turn the first signal into a request to stop after the current frame (or other unit of work).

    The second one stops at once; what comes with the first is none. ``saying`` is printed, if it is another
    sentence than the usual one.
    """
    token = CancelToken()
    _stops.token = token
    _stops.saying = saying or f"Stopping after this {unit}; what is finished is saved."
    try:
        yield token
    finally:
        _stops.token = None


def _leave_terminal() -> None:
    """Write nothing more to a terminal, which may be closed: each write would fail."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream.isatty():
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
