"""Stop requests of Ctrl-C in scripts and notebooks: after the frame in work, not in the middle of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sam2_plugins.runtime.jobs import CancelToken

__all__ = ["stopped_by_ctrl_c"]


@contextmanager
def stopped_by_ctrl_c() -> Iterator[CancelToken]:
    """Give a token that Ctrl-C cancels; once the work has ended, the ``KeyboardInterrupt`` is raised.

    A second Ctrl-C interrupts at once. Where the program has a handler of its own, that stays in charge, and
    so it does in all threads but the main one, which alone is told of signals.

    Examples
    --------
    >>> with stopped_by_ctrl_c() as cancel:
    ...     cancel.cancelled
    False
    """
    cancel = CancelToken()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield cancel
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if cancel.cancelled:
            raise KeyboardInterrupt
        cancel.cancel()

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if cancel.cancelled:
        raise KeyboardInterrupt
