"""Output of ``sam2 train``: progress bars for people, lines of JSON for programs."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import typer

from sam2_engine.training.fine_tuning.run import Outcome
from sam2_plugins.cli.commands.stopping import interruptible
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.terminal import count_bar
from sam2_plugins.runtime.jobs import CancelToken

__all__ = ["JsonLinesOutput", "TerminalOutput"]


class TerminalOutput:
    """Sentences and bars on standard error, the outcome on standard output; Ctrl-C stops after a step."""

    def say(self, sentence: str) -> None:
        """Tell a sentence about the run."""
        print_stderr(sentence)

    def bar(self, title: str) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Give a function of (done, total) that shows how far something is."""
        return count_bar(title)

    def stoppable(self) -> AbstractContextManager[CancelToken]:
        """Give the token that Ctrl-C cancels."""
        return interruptible("step")

    def end(self, outcome: Outcome) -> None:
        """Tell the outcome."""
        if outcome.finished:
            typer.echo(outcome.improvement)
            typer.echo(f"{outcome.weights}")
        else:
            self.say(f"Stopped after step {outcome.steps}; the same command goes on from there.")


class JsonLinesOutput(TerminalOutput):
    """One object per line on standard output; the end of standard input, as of a killed parent, stops it.

    ``{"said": SENTENCE}``, ``{"reading": N, "of": M}``, ``{"learning": N, "of": M}`` and at the end
    ``{"steps": N, "finished": BOOL, "gain": SENTENCE, "before": SCORE, "after": SCORE, "weights": FILE}``.
    """

    def say(self, sentence: str) -> None:
        """Tell a sentence about the run."""
        _write({"said": sentence})

    @contextmanager
    def bar(self, title: str) -> Iterator[Callable[[int, int | None], None]]:
        """Give a function of (done, total) that writes a line."""
        yield lambda done, total: _write({title: done, "of": total})

    @contextmanager
    def stoppable(self) -> Iterator[CancelToken]:
        """Give the token that the end of standard input cancels."""
        token = CancelToken()
        threading.Thread(target=_wait_for_end_of_input, args=(token,), daemon=True).start()
        yield token

    def end(self, outcome: Outcome) -> None:
        """Tell the outcome."""
        _write({**outcome.to_dict(), "gain": outcome.improvement})


def _write(line: dict[str, Any]) -> None:
    print(json.dumps(line, default=str), flush=True)


def _wait_for_end_of_input(token: CancelToken) -> None:
    while sys.stdin.read(1):
        pass
    token.cancel()
