"""The queue of masklets that a person verifies: accept, reject, or correct and track again."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_engine.errors import InputError
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.wording import in_ranges
from sam2_plugins.masklets.dataset import MaskletDataset, raise_unsaved
from sam2_plugins.masklets.decisions import Decision, Edit, Verdict, check_person, newest_verdicts
from sam2_plugins.masklets.selection import masklet_overlap, shown_mask
from sam2_plugins.review.next_frame import frames_to_correct
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask
from sam2_plugins.session.propagation_plan import Direction
from sam2_plugins.storage import SessionFolder

__all__ = ["QueuedMasklet", "VerificationQueue"]


@dataclass(frozen=True)
class QueuedMasklet:
    """One masklet that waits for a verdict.

    Attributes
    ----------
    video, masklet
        The video's name and the object's id.
    quality
        How right it probably is, 0..1.
    """

    video: str
    masklet: int
    quality: float


@dataclass
class _Look:
    """What a person does while a masklet is shown.

    Attributes
    ----------
    began
        When it was shown.
    before
        Its masks then.
    waited
        Seconds of tracking since, which are not the person's.
    edits, tracked
        What was corrected, and whether it was tracked again.
    """

    began: float
    before: dict[int, AcceptedMask] = field(default_factory=dict)
    waited: float = 0.0
    edits: list[Edit] = field(default_factory=list)
    tracked: bool = False


class VerificationQueue:
    """Masklets of a data set, one after the other, and what a person says of them.

    Every verdict is on disk when the call returns. Videos come one after the other, of each the most doubtful
    masklet first; one that is open elsewhere is passed over.

    Parameters
    ----------
    dataset
        The data set.
    store
        Models, for corrections.
    by
        Who verifies.
    second
        Whether masklets are shown that exactly one other person decided on, so that two can be compared;
        else those on which nobody has.
    clock
        Seconds, ever growing.

    Attributes
    ----------
    current
        The masklet that is shown; None if there is none left.
    num_left
        How many waited, this one included, when it was shown.
    problems
        By video, or masklet of one, in a sentence: why it is passed over.

    Raises
    ------
    InputError
        If there is no name of who verifies.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> dataset = MaskletDataset.create(Path(tempfile.mkdtemp()) / "cells")
    >>> with VerificationQueue(dataset, ModelStore(), by="ada") as queue:
    ...     print(queue.next())
    None
    """

    def __init__(
        self,
        dataset: MaskletDataset,
        store: ModelStore,
        by: str,
        *,
        second: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not by.strip():
            raise InputError("Say who verifies: a name, by which verdicts are told apart.")
        self.dataset, self.by = dataset, by.strip()
        check_person(self.by, dataset.decisions.read())
        self.current: QueuedMasklet | None = None
        self._store, self._second, self._clock = store, second, clock
        self._session: AnnotationSession | None = None
        self._folder: SessionFolder | None = None
        self._open = ExitStack()
        self._video: str | None = None
        self._passed: set[tuple[str, int]] = set()
        self._min_area = self.num_left = 0
        self.problems: dict[str, str] = {}
        self._said: list[QueuedMasklet] = []
        self._has_settled = False
        self._begin_look()

    def __enter__(self) -> "VerificationQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ what is shown

    @property
    def session(self) -> AnnotationSession:
        """The session of the video that is shown.

        Raises
        ------
        InputError
            If none is.
        """
        if self._session is None or self.current is None:
            raise InputError("No masklet is shown; the queue is at its end, or has not begun.")
        return self._session

    def waiting(self) -> list[QueuedMasklet]:
        """Return what waits for this person, in the order in which it is shown."""
        if not self._has_settled:  # what was taken back elsewhere waits again
            self._has_settled = True
            self.dataset.settle_all(self._store)
        spoken = newest_verdicts(self.dataset.decisions.read())
        waiting = []
        for video in self.dataset.videos():
            for masklet, quality in sorted(self.dataset.summary(video).qualities.items(), key=_by_quality):
                people = spoken.get((video, masklet), {}).keys()
                wanted = len(people) == 1 and self.by not in people if self._second else not people
                if wanted and (video, masklet) not in self._passed:
                    waiting.append(QueuedMasklet(video, masklet, quality))
        return waiting

    def next(self) -> QueuedMasklet | None:
        """Show the next masklet and return it; None if none is left."""
        waiting = self.waiting()
        self.num_left = len(waiting)
        for masklet in waiting:
            if masklet.video not in self.problems and self._show(masklet):
                return self.current
        self._leave_video()
        self.current = None
        return None

    def go_to(self, video: str, masklet: int) -> QueuedMasklet:
        """Show one masklet, whatever was said of it.

        Raises
        ------
        InputError
            If there is none, or its video is open elsewhere.
        """
        videos = self.dataset.videos()
        if video not in videos:
            raise InputError(
                f"{self.dataset.path} has no video {video!r}; it has {', '.join(videos) or 'none'}."
            )
        qualities = self.dataset.summary(video).qualities
        if masklet not in qualities:
            raise InputError(f"{video} has no masklet {masklet}.")
        self._enter_video(video)
        self._look_at(QueuedMasklet(video, masklet, qualities[masklet]))
        return self._shown

    def mask(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the (H, W) mask of the masklet on a frame; None where nothing is known."""
        return shown_mask(self.session.accepted(self._shown.masklet, frame), self._min_area)

    def next_frame(self) -> int | None:
        """Return the most doubtful frame that no person has settled; None if all are."""
        doubtful = frames_to_correct(self.session, self._shown.masklet)
        return doubtful[0].frame if doubtful else None

    # ------------------------------------------------------------------ verdicts

    def correct(
        self,
        frame: int,
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> NDArray[np.bool_] | None:
        """Correct the masklet on a frame by clicks, a box or a mask, and return its mask there.

        On the other frames it is corrected by :meth:`track`. What somebody verified becomes open again.

        Raises
        ------
        InputError
            If the frame is unknown or what is given is not valid there.
        """
        session, masklet = self.session, self._shown.masklet
        prompt = Prompt.of(session.shape, points=points, labels=labels, box=box, mask=mask)
        verified = session.verified(masklet)
        if verified:
            self.dataset.correct_again(self._shown.video, masklet)
            session.verify(masklet, verified, verified=False)
        session.add_prompt(frame, masklet, prompt)
        clicks = 0 if prompt.points is None else len(prompt.points)
        edits = self._look.edits
        before = next((edit for edit in edits if edit.frame == frame), Edit(frame))
        edits[:] = [edit for edit in edits if edit.frame != frame]
        edits.append(Edit(frame, before.clicks + clicks, before.boxes + (prompt.box is not None)))
        return self.mask(frame)

    def track(self, cancel: CancelToken | None = None) -> Iterator[FrameResult]:
        """Track the masklet again from its prompts, both ways; it takes none of the person's time."""
        session, began = self.session, self._clock()
        try:
            for run in session.runs(Direction.BOTH, (self._shown.masklet,)):
                yield from session.iter_propagate(**run, cancel=cancel)
            self._look.tracked = True
        finally:
            self._look.waited += self._clock() - began

    def accept(self, seconds: float | None = None) -> Decision:
        """Say that the masklet is right on all frames: nothing changes it from now on.

        Parameters
        ----------
        seconds
            How long the person took; None: since it was shown.
        """
        return self.decide(Verdict.ACCEPT, seconds)

    def reject(self, seconds: float | None = None) -> Decision:
        """Say that this is no masklet to keep, nor to be proposed again."""
        return self.decide(Verdict.REJECT, seconds)

    def decide(
        self, verdict: Verdict, seconds: float | None = None, *, source: str = "", at: float | None = None
    ) -> Decision:
        """Say what holds of the masklet; ``accept`` and ``reject`` are short for it.

        Parameters
        ----------
        verdict
            What is said. What is accepted is verified on all frames, else it is no more, unless what is
            withdrawn leaves another person's word on the same masks.
        seconds
            How long the person took; None: since it was shown.
        source, at
            Where and when it was said, if not here and now.

        Raises
        ------
        InputError
            If what is to be accepted has no mask any more where it was found.
        """
        shown, session, look = self._shown, self.session, self._look
        frames = session.frames_of(shown.masklet)
        mine, stays_accepted = self._without_mine(shown)
        is_changed = mine is not None and (bool(mine.edits) or mine.tracked)
        if verdict is Verdict.ACCEPT:
            self._check_known(shown, frames)
            session.verify(shown.masklet, frames)
        elif verdict is Verdict.WITHDRAW and stays_accepted and not is_changed:
            session.verify(shown.masklet, frames)
        elif verified := session.verified(shown.masklet):
            session.verify(shown.masklet, verified, verified=False)
        if self._folder is not None:
            raise_unsaved(self._folder)  # a verdict counts on masks that are on disk
        took = self._clock() - look.began - look.waited if seconds is None else seconds
        decision = Decision(
            shown.video,
            shown.masklet,
            verdict,
            self.by,
            round(took, 3),
            len(session.frames),
            tuple(look.edits),
            look.tracked,
            round(masklet_overlap(look.before, session.annotations.masks_of(shown.masklet)), 4),
            time.time() if at is None else at,
            source,
        )
        self.dataset.decide(decision)
        if verdict is not Verdict.WITHDRAW:
            self._said.append(shown)
        elif stays_accepted and is_changed:
            self.dataset.correct_again(shown.video, shown.masklet)
        return decision

    def _without_mine(self, shown: QueuedMasklet) -> tuple[Decision | None, bool]:
        """Return this person's word on a masklet, and whether it is accepted by the newest of the others."""
        spoken = newest_verdicts(self.dataset.decisions.read()).get((shown.video, shown.masklet), {})
        others = [one for by, one in spoken.items() if by != self.by]
        return spoken.get(self.by), bool(others) and others[-1].verdict is Verdict.ACCEPT

    def _check_known(self, shown: QueuedMasklet, frames: Sequence[int]) -> None:
        """Refuse frames of which nothing is known: they would count as verified without the object."""
        if len(frames) < len(self.session.frames):
            lost = self.dataset.found_on(shown.video, shown.masklet) - set(frames)
            if lost:
                on = "frames" if len(lost) > 1 else "frame"
                raise InputError(
                    f"Masklet {shown.masklet} of {shown.video} has no mask any more on {on} "
                    f"{in_ranges(lost)}, where it was found: track it again, or reject it."
                )

    def skip(self) -> None:
        """Leave the masklet for later, or for somebody else."""
        self._passed.add((self._shown.video, self._shown.masklet))

    def take_back(self) -> QueuedMasklet | None:
        """Withdraw the last verdict of this sitting and show its masklet again; None without one."""
        if not self._said:
            return None
        last = self._said.pop()
        self.go_to(last.video, last.masklet)
        self.decide(Verdict.WITHDRAW, 0.0)
        self._begin_look()
        return self.current

    def close(self) -> None:
        """Write the data set's files by what was said, and let others work on the video."""
        self._leave_video()
        self.current = None

    # ------------------------------------------------------------------ how

    @property
    def _shown(self) -> QueuedMasklet:
        if self.current is None:
            raise InputError("No masklet is shown; the queue is at its end, or has not begun.")
        return self.current

    def _show(self, masklet: QueuedMasklet) -> bool:
        where = masklet.video
        try:
            self._enter_video(masklet.video)
            where = f"{masklet.video}, masklet {masklet.masklet}"
            self._look_at(masklet)
        except InputError as error:
            self.problems[where] = str(error)
            return False
        return True

    def _look_at(self, masklet: QueuedMasklet) -> None:
        if self._session is not None and masklet.masklet not in self._session.objects:
            raise InputError(
                f"{masklet.video} has its masklet {masklet.masklet} no more: it was undone or removed in "
                f"{self.dataset.session(masklet.video)}. Find them --again, or redo it in napari."
            )
        self.current = masklet
        self._begin_look()

    def _begin_look(self) -> None:
        self._look = _Look(self._clock())
        if self._session is not None and self.current is not None:
            self._look.before = self._session.annotations.masks_of(self.current.masklet)

    def _enter_video(self, video: str) -> None:
        if video == self._video:
            return
        self._leave_video()
        self._min_area = self.dataset.summary(video).min_area
        self._session, self._folder = self._open.enter_context(self.dataset.opened(video, self._store))
        self._video = video

    def _leave_video(self) -> None:
        try:
            session, video = self._session, self._video
            if session is not None and video is not None and self.dataset.marks.needs_settling(video):
                self.dataset.settle(video, session)
        finally:
            self._session = self._folder = self._video = None
            self._open.close()


def _by_quality(masklet: tuple[int, float]) -> tuple[float, int]:
    return masklet[1], masklet[0]
