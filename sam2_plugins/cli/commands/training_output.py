"""Output of ``sam2 train``: progress bars for people, lines for logs, lines of JSON for programs."""

import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from sam2_engine.training.fine_tuning.run import Outcome
from sam2_engine.weights.downloads import usable_name
from sam2_engine.weights.model_folder import CARD_FILE, WEIGHTS_FILE
from sam2_engine.wording import duration_in_words
from sam2_plugins.cli.commands.stopping import interruptible
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.terminal import count_bar
from sam2_plugins.runtime.jobs import CancelToken, Progress

__all__ = ["JsonLinesOutput", "TerminalOutput"]

SECONDS_BETWEEN_LINES = 30.0
"""Where nobody watches a bar."""

Show = Callable[[str, int, int | None], None]


class TerminalOutput:
    """Sentences and bars on standard error, the outcome on standard output; Ctrl-C stops after a step."""

    def say(self, sentence: str) -> None:
        """Tell a sentence about the run."""
        print_stderr(sentence)

    @contextmanager
    def stages(self) -> Iterator[Show]:
        """Give a function of (stage, done, total) that shows how far a stage is.

        That is a bar from when the stage begins; off a terminal, a line now and then.
        """
        if not sys.stderr.isatty():
            yield _Lines(self.say).show
            return
        with ExitStack() as shown:
            bars: dict[str, Callable[[int, int | None], None]] = {}

            def show(stage: str, done: int, total: int | None) -> None:
                if stage not in bars:  # one at a time
                    shown.close()
                    bars.clear()
                    bars[stage] = shown.enter_context(count_bar(stage))
                bars[stage](done, total)

            yield show

    def stoppable(self) -> AbstractContextManager[CancelToken]:
        """Give the token that Ctrl-C cancels."""
        return interruptible("step")

    def end(self, outcome: Outcome) -> None:
        """Tell the outcome."""
        if outcome.finished:
            typer.echo(outcome.improvement)
            typer.echo(f"{outcome.weights}")
            if outcome.weights is not None:
                self.say(f"To have it by name everywhere: {_adding(outcome.weights)}")
        else:
            self.say(f"Stopped after step {outcome.steps}; the same command goes on from there.")


class _Lines:
    """Lines that say now and then how far a stage is, where there is no terminal for a bar."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._stage = ""
        self._begun = self._said = 0.0
        self._first = 0

    def show(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._begun, self._said, self._first = stage, now, now, done
        if now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        to_do = None if total is None else total - self._first
        seconds = Progress(done - self._first, to_do, now - self._begun).seconds_left
        left = f", about {duration_in_words(seconds)} left" if seconds else ""
        self._say(f"{stage} {done}{'' if total is None else f' of {total}'}{left}")


class JsonLinesOutput(TerminalOutput):
    """One object per line on standard output; the end of standard input, as of a killed parent, stops it.

    ``{"said": SENTENCE}``; ``{"reading": N, "of": M}``, also with ``measuring`` and ``learning``; at the end
    ``{"steps": N, "finished": BOOL, "gain": SENTENCE, "before": SCORE, "after": SCORE, "weights": FILE}``.
    """

    def say(self, sentence: str) -> None:
        """Tell a sentence about the run."""
        _write({"said": sentence})

    @contextmanager
    def stages(self) -> Iterator[Show]:
        """Give a function of (stage, done, total) that writes a line."""
        yield lambda stage, done, total: _write({stage: done, "of": total})

    @contextmanager
    def stoppable(self) -> Iterator[CancelToken]:
        """Give the token that the end of standard input cancels."""
        token = CancelToken()
        threading.Thread(target=_wait_for_end_of_input, args=(token,), daemon=True).start()
        yield token

    def end(self, outcome: Outcome) -> None:
        """Tell the outcome."""
        _write({**outcome.to_dict(), "gain": outcome.improvement})


def _adding(weights: Path) -> str:
    """Return the command that adds weights, with a name where the file's own says nothing."""
    folder = weights.parent
    with_card = (folder / CARD_FILE).is_file()
    taken, is_own = (folder, folder.absolute().name) if with_card else (weights, weights.stem)
    name = usable_name(folder.absolute().name if weights.name == WEIGHTS_FILE else is_own)
    said = "" if name == is_own else f" --name {name}"
    return f"sam2 models add {shlex.quote(str(taken))}{said}"


def _write(line: dict[str, Any]) -> None:
    print(json.dumps(line, default=str), flush=True)


def _wait_for_end_of_input(token: CancelToken) -> None:
    while sys.stdin.read(1):
        pass
    token.cancel()
