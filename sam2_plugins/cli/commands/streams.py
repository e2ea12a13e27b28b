"""Standard output and standard error: they outlast whoever reads them, and messages are no results."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

__all__ = ["LastingOutput", "lasting_output", "print_stderr"]


@contextmanager
def lasting_output() -> Iterator["LastingOutput"]:
    """Let a command go on, in silence, whose output nobody reads any more: ``sam2 track ... | head -1``.

    What it makes is in files; to lose them for a line that is not shown would be absurd. So it goes on
    where lines cannot be written any more, as of a log on a full disk; that is an error when it is done.
    """
    with ExitStack() as stack:
        streams = []
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is not None:
                lasting = _LastingStream(stream)
                stack.enter_context(redirect(cast(TextIO, lasting)))
                stack.callback(lasting.flush)
                streams.append(lasting)
        yield LastingOutput(streams)


class LastingOutput:
    """What a command has written to standard output and standard error."""

    def __init__(self, streams: "Sequence[_LastingStream]") -> None:
        self._streams = streams

    def error(self) -> OSError | None:
        """Write what is in buffers; return why lines were lost, except to a reader who has left."""
        for stream in self._streams:
            stream.flush()
        errors = (stream.error for stream in self._streams)
        return next((error for error in errors if not isinstance(error, BrokenPipeError | None)), None)


class _LastingStream:
    """A stream of text that writes to nowhere once it cannot be written to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._leave_if_broken(lambda: self._write(text))
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:  # names of files have signs that a terminal's encoding may lack
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        self._leave_if_broken(self._stream.flush)

    def _leave_if_broken(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            self.error = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is still in buffers goes there, too
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_stderr(text: str) -> None:
    """Print a line that is not a result (standard error)."""
    from rich.console import Console  # half of what `sam2 --help` would take

    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
