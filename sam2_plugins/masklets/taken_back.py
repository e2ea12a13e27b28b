"""Verdicts that were taken back in a masklet's session, or done again there, by whatever program.

An accepted masklet is verified in its session, one that was rejected is not: so the session says whether the
newest verdict still stands. One that does not is withdrawn, and one that was done again counts again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from sam2_plugins.masklets.decisions import Decision, Verdict
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import Change, ChangeKind

__all__ = ["SESSION", "Verified", "verdicts_by_session"]

SESSION = "session"
"""Source of a withdrawal that was found in a session. What counts again is the same decision once more."""


@dataclass(frozen=True)
class Verified:
    """What a session says of a masklet.

    Attributes
    ----------
    partly, wholly
        Whether some, or all of its masks are verified.
    done, undone
        Verifications of it and their ends: how many could be undone, and how many were and could be redone.
    """

    partly: bool
    wholly: bool
    done: int = 0
    undone: int = 0

    @classmethod
    def in_session(cls, session: AnnotationSession, masklets: Iterable[int]) -> "dict[int, Verified]":
        """Return what a session says of masklets, of those that it has."""
        state = session.history.undo_state()
        done, undone = (_verifications(one) for one in (state.undo_actions, state.redo_actions))
        found = {}
        for one in session.objects.keys() & set(masklets):
            verified, frames = session.verified(one), session.frames_of(one)
            wholly = bool(frames) and verified >= set(frames)
            found[one] = cls(bool(verified), wholly, done[one], undone[one])
        return found


def _verifications(actions: Iterable[tuple[str, Iterable[Change]]]) -> Counter[int]:
    """Return of each object how many actions verified some of its masks, or ended that."""
    return Counter(
        object_id
        for _, changes in actions
        for object_id in {one.object_id for one in changes if one.kind is ChangeKind.VERIFIED}
    )


def verdicts_by_session(decisions: Sequence[Decision], verified: Verified) -> list[Decision]:
    """Return the decisions to be added to those on one masklet, so that they are what its session says.

    Examples
    --------
    >>> ada, bob = (
    ...     Decision("walk", 1, verdict, by, seconds=2.0, frames=30)
    ...     for verdict, by in ((Verdict.ACCEPT, "ada"), (Verdict.REJECT, "bob"))
    ... )
    >>> added = verdicts_by_session([ada, bob], Verified(partly=True, wholly=True, done=1, undone=1))
    >>> [(one.by, one.verdict.value) for one in added]
    [('bob', 'withdraw')]
    >>> verdicts_by_session([ada, bob, *added], Verified(partly=False, wholly=False, done=2)) == [bob]
    True
    """
    log = [*decisions, *_told_by_steps(decisions, verified)]
    while not _agrees(log, verified):
        added = _taken_back_now(log)
        if added is None:
            break
        log.append(added)
    return log[len(decisions) :]


def _told_by_steps(decisions: Sequence[Decision], verified: Verified) -> list[Decision]:
    """Return what is to be added by how many steps are done and undone; nothing where the masks disagree."""
    log = list(decisions)
    words, undone = _words(log)
    if verified.undone < _steps(undone):  # what had taken them back was redone
        while undone and verified.undone < _steps(undone):
            log.append(undone.pop())
        is_sure = _steps(log[len(decisions) :]) <= verified.done
    else:
        while verified.undone > _steps(undone) and verified.done < _steps(words, rejected_before=True):
            added = _taken_back_now(log)
            if added is None:
                break
            log.append(added)
            words, undone = _words(log)
        is_sure = True
    return log[len(decisions) :] if is_sure and _agrees(log, verified) else []


def _steps(words: Sequence[Decision], *, rejected_before: bool = False) -> int:
    """Return how many of the words changed the session: not those that say the same as the one before."""
    changes = [verdict for verdict, _ in groupby(words, lambda one: one.verdict)]
    return len(changes) - (rejected_before and changes[:1] == [Verdict.REJECT])


def _agrees(log: Sequence[Decision], verified: Verified) -> bool:
    words, _ = _words(log)
    return verified.partly if words and words[-1].verdict is Verdict.ACCEPT else not verified.wholly


def _taken_back_now(log: Sequence[Decision]) -> Decision | None:
    """Return what to add so that the newest word counts no more; None where no word changed the session."""
    words, _ = _words(log)
    if all(one.verdict is Verdict.REJECT for one in words):
        return None
    last = words[-1]
    before = [one for one in words[:-1] if one.by == last.by]
    if before and before[-1].verdict is not last.verdict:
        return before[-1]
    return Decision(last.video, last.masklet, Verdict.WITHDRAW, last.by, 0.0, last.frames, source=SESSION)


def _words(log: Sequence[Decision]) -> tuple[list[Decision], list[Decision]]:
    """Return the verdicts that stand, and those taken back in the session since somebody said something."""
    words, undone = list[Decision](), list[Decision]()
    for one in log:
        mine = [word for word in words if word.by == one.by]
        if one.verdict is Verdict.WITHDRAW:
            undone = [*undone, *mine[-1:]] if one.source == SESSION else []
            words = [word for word in words if word.by != one.by]
        elif one in undone:
            undone.remove(one)
            words.append(one)
        elif one in mine:  # an earlier word of this person, as the later one was taken back
            undone.append(mine[-1])
            words = [word for word in words if word.by != one.by] + mine[: mine.index(one) + 1]
        else:
            undone = []
            words.append(one)
    return words, undone
