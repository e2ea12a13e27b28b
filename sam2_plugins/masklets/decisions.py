"""Decisions of people on masklets: who, when, how long, and what was corrected; added, never changed."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.storage.journal import Journal

__all__ = ["Decision", "DecisionLog", "Edit", "Status", "Verdict", "check_person", "newest_verdicts"]
__all__ += ["standing"]

_WAIT = 10.0
"""Seconds to wait for another verifier who is writing a line."""


class Verdict(StrEnum):
    """What a person says of a masklet."""

    ACCEPT = "accept"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    """An earlier verdict of the same person counts no more."""


class Status(StrEnum):
    """What holds of a masklet, by the newest verdicts of all who looked at it."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DISPUTED = "disputed"


@dataclass(frozen=True)
class Edit:
    """One corrected frame.

    Attributes
    ----------
    frame
        Which one.
    clicks
        How many clicks; 0 for a painted mask.
    boxes
        How many boxes.
    """

    frame: int
    clicks: int = 0
    boxes: int = 0

    @property
    def is_painted(self) -> bool:
        """Whether the mask was painted, not prompted."""
        return not self.clicks and not self.boxes


@dataclass(frozen=True)
class Decision:
    """One person's verdict on one masklet.

    Attributes
    ----------
    video, masklet
        Which one: the video's name and the object's id.
    verdict
        What was said.
    by, at
        Who, and when, in seconds since 1970.
    seconds
        How long the person had the masklet before the eyes.
    frames
        Frames of the video.
    edits
        Corrected frames, in the order of the corrections.
    tracked
        Whether the masklet was tracked again from them.
    iou
        IoU of the masklet with what was shown at first, before this person corrected anything.
    source
        Where it was made, if not here: by it one that comes again is told.
    """

    video: str
    masklet: int
    verdict: Verdict
    by: str
    seconds: float
    frames: int
    edits: tuple[Edit, ...] = ()
    tracked: bool = False
    iou: float = 1.0
    at: float = field(default_factory=time.time)
    source: str = ""

    @property
    def phase(self) -> int:
        """Phase of the paper that the corrections were like, told by what was done; 0 for none.

        1: masks painted frame by frame; 2: a painted mask, tracked; 3: clicks and boxes, tracked.
        """
        if not self.edits:
            return 0
        if not self.tracked:
            return 1
        return 2 if any(edit.is_painted for edit in self.edits) else 3

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Decision":
        """Read an entry of the log."""
        given = {name: value for name, value in entry.items() if name in cls.__dataclass_fields__}
        edits = tuple(Edit(**edit) for edit in given.pop("edits", ()))
        return cls(**{**given, "verdict": Verdict(given["verdict"])}, edits=edits)


class DecisionLog:
    """The decisions on a data set, one line each; several processes may add to it.

    Parameters
    ----------
    path
        The file; made with the first decision.

    Examples
    --------
    >>> import tempfile
    >>> log = DecisionLog(Path(tempfile.mkdtemp()) / "decisions.jsonl")
    >>> log.add(Decision("walk", 1, Verdict.ACCEPT, "ada", seconds=2.5, frames=30))
    >>> log.add(Decision("walk", 1, Verdict.REJECT, "bob", seconds=4.0, frames=30))
    >>> [decision.by for decision in log.read()], standing(log.read())
    (['ada', 'bob'], {('walk', 1): <Status.DISPUTED: 'disputed'>})
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Decision]:
        """Return all decisions, the oldest first.

        Raises
        ------
        InputError
            If a line of the file is damaged.
        """
        journal = Journal(self.path)
        try:
            decisions = [Decision.from_json(entry) for entry in journal.read()]
        except (TypeError, ValueError, LookupError):
            raise InputError(f"{self.path} holds a line that is no decision; take it out.") from None
        if journal.damaged_line is not None:
            raise InputError(
                f"{self.path} is damaged in line {journal.damaged_line}; mend or take out that line: "
                "the decisions after it count again then."
            )
        return decisions

    def add(self, decision: Decision) -> None:
        """Add a decision, which is on disk when this returns.

        Raises
        ------
        InputError
            If it cannot be written, a line before it is damaged, or its seconds or its person cannot be.
        """
        if not math.isfinite(decision.seconds):
            raise InputError(f"A masklet was looked at for a number of seconds, not for {decision.seconds}.")
        with self._alone():
            earlier = self.read()
            check_person(decision.by, earlier)
            number = len(earlier) + 1
            try:
                Journal(self.path).add([{"number": number, **asdict(decision)}])
            except OSError as error:
                raise InputError(os_error_sentence(error, self.path)) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            with lock.acquire(timeout=_WAIT):
                yield
        except Timeout:
            raise InputError(
                f"{self.path} is being written by another process all the time; try again."
            ) from None
        except OSError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(os_error_sentence(error, self.path)) from None


def check_person(by: str, earlier: Iterable[Decision]) -> None:
    """Refuse a name that somebody who decided before has, but for capital letters: it is the same person.

    Raises
    ------
    InputError
        If it is.
    """
    alike = next((one.by for one in earlier if one.by != by and one.by.casefold() == by.casefold()), None)
    if alike is not None:
        raise InputError(
            f"{alike!r} decided in this data set before, and {by!r} would count as somebody else: give the "
            f"name {alike!r}, or quite another one."
        )


def newest_verdicts(decisions: Iterable[Decision]) -> dict[tuple[str, int], dict[str, Decision]]:
    """Return by masklet and person the decision that counts."""
    newest: dict[tuple[str, int], dict[str, Decision]] = {}
    for decision in decisions:
        by_person = newest.setdefault((decision.video, decision.masklet), {})
        by_person.pop(decision.by, None)
        if decision.verdict is not Verdict.WITHDRAW:
            by_person[decision.by] = decision
    return newest


def standing(decisions: Iterable[Decision]) -> dict[tuple[str, int], Status]:
    """Return the status of every masklet that somebody decided on: the newest word of each person counts."""
    statuses: dict[tuple[str, int], Status] = {}
    for key, by_person in newest_verdicts(decisions).items():
        verdicts = {decision.verdict for decision in by_person.values()}
        statuses[key] = (
            Status.OPEN
            if not verdicts
            else Status.DISPUTED
            if len(verdicts) > 1
            else Status.ACCEPTED
            if verdicts == {Verdict.ACCEPT}
            else Status.REJECTED
        )
    return statuses
