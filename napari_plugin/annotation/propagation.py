"""The propagation of masks through the stack: its order, its progress, and its end."""

from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_plugin.runtime.workers import TaskRunner
from sam2_engine.video.frame_steps import describe_passed_over
from sam2_engine.wording import counted
from sam2_plugins.runtime.garbage import older_objects_left_alone
from sam2_plugins.runtime.jobs import CancelToken, Progress, with_progress
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.propagation_plan import Direction, PropagateArguments, runs_in

__all__ = ["LabeledFrame", "Propagation"]

LabeledFrame = tuple[int, NDArray[Any]]
"""Frame number and its (H, W) label image."""


class Propagation(QObject):
    """At most one running propagation of an annotation.

    Attributes
    ----------
    exchanged
        Whether the last one exchanged objects on frames that had been shown.
    stepped
        Emitted after each frame with its label image and the progress.
    ended
        Emitted with a sentence when all frames are done or the user stopped it.
    failed
        Emitted instead with the error.
    """

    stepped = Signal(object, object)
    ended = Signal(str)
    failed = Signal(object)

    def __init__(self, task_runner: TaskRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._task_runner = task_runner
        self._cancel: CancelToken | None = None
        self._unfinished: list[PropagateArguments] = []
        self._left_out = ""
        self._passed_over: dict[int, str] = {}
        self._undone = False
        self.exchanged = False

    @property
    def running(self) -> bool:
        """Whether frames are being computed."""
        return self._cancel is not None

    @property
    def stopped(self) -> bool:
        """Whether the last one was stopped before its end."""
        return not self.running and bool(self._unfinished)

    def left(self, session: AnnotationSession) -> list[PropagateArguments]:
        """Return what :meth:`resume` tracks: the rest of a stopped one, else whatever has no mask yet.

        The latter goes both ways from each object's prompts, also in a session that was opened again.
        """
        if self.running:
            return []
        missing = [{**run, "missing_only": True} for run in runs_in(Direction.BOTH)]
        for planned in (self._unfinished, missing):
            if runs := [run for run in planned if session.has_frames(**run)]:
                return runs
        return []

    def start(
        self,
        session: AnnotationSession,
        labels: Callable[[int], NDArray[Any]],
        direction: Direction,
        start: int | None = None,
        object_ids: tuple[int, ...] | None = None,
    ) -> None:
        """Track objects from frame ``start``, or from their first prompts, to the end of the stack.

        Without ``start``, backwards alone begins at the last prompts; with it, the end of each object is the
        frame before its next verified one. Prompts that still wait for the device go first.

        Parameters
        ----------
        session, direction, start
            Where, and in which direction.
        labels
            Returns the label image of a finished frame.
        object_ids
            Which objects; None for all.
        """
        self._run(session, labels, lambda: session.runs(direction, object_ids, start))

    def resume(self, session: AnnotationSession, labels: Callable[[int], NDArray[Any]]) -> None:
        """Go on where the last one was stopped, filling what is missing before; else fill everywhere."""
        left = self.left(session)
        if left:
            self._run(session, labels, lambda: left)

    def _run(
        self,
        session: AnnotationSession,
        labels: Callable[[int], NDArray[Any]],
        plan: Callable[[], list[PropagateArguments]],
    ) -> None:
        self._cancel = cancel = CancelToken()
        self._unfinished = []
        self._passed_over = {}
        self.exchanged = False

        def steps() -> Iterator[tuple[LabeledFrame, Progress]]:
            planned = plan()  # on the worker's thread, after the prompts from before
            self._unfinished = planned
            self._left_out = session.left_out(planned)
            visits = [session.frames_to_visit(**arguments) or [] for arguments in planned]
            with older_objects_left_alone():
                yield from with_progress(propagate(planned, visits), sum(map(len, visits)))

        def propagate(planned: list[PropagateArguments], visits: list[list[int]]) -> Iterator[LabeledFrame]:
            group = object()
            for number, (arguments, frames) in enumerate(zip(planned, visits)):
                left = dict.fromkeys(frames)
                if not frames:
                    continue
                for result in session.iter_propagate(**arguments, cancel=cancel, undo_group=group):
                    left.pop(result.frame, None)
                    if result.problem:
                        self._passed_over[result.frame] = result.problem
                    self.exchanged |= bool(result.exchanges)
                    rest = _rest(arguments, next(iter(left), None), len(session))
                    self._unfinished = [*rest, *planned[number + 1 :]]
                    yield result.frame, labels(result.frame)
                if cancel.cancelled:
                    return
            self._unfinished = []

        self._task_runner.run_steps(
            steps(),
            on_step=self._on_step,
            then=self._on_end,
            failed=self._on_failure,
            cancel=cancel,
        )

    def stop(self) -> None:
        """Stop after the frame in work; finished frames stay."""
        if self._cancel is not None:
            self._cancel.cancel()

    def interrupt(self) -> None:
        """Stop because of an undo, which takes the frames of this propagation away again."""
        self._undone = self.running
        self.stop()

    def _on_step(self, step: tuple[LabeledFrame, Progress]) -> None:
        self.stepped.emit(*step)

    def _on_end(self, count: int) -> None:
        stopped = self._cancel is not None and self._cancel.cancelled
        self._cancel = None
        tracked = count - len(self._passed_over)
        frames = f"{counted(tracked, 'frame')} tracked" if count else "There was nothing left to track"
        if self._undone:
            self._undone, self._unfinished = False, []
            self.ended.emit("Tracking was stopped and undone.")
        else:
            said = f"Stopped: {frames}; their masks stay." if stopped else f"{frames}."
            passed_over = describe_passed_over(self._passed_over)
            self.ended.emit(" ".join(filter(None, (said, self._left_out, passed_over))))

    def _on_failure(self, error: BaseException) -> None:
        self._cancel = None
        self.failed.emit(error)


def _rest(arguments: PropagateArguments, next_frame: int | None, length: int) -> list[PropagateArguments]:
    """Return what is left of a propagation before frame ``next_frame``; nothing if that is None.

    What is before that frame is only filled, as for an object that was clicked meanwhile.
    """
    if next_frame is None:
        return []
    reverse = arguments.get("reverse", False)
    missing = {**arguments, "stop": next_frame + 1 if reverse else next_frame - 1, "missing_only": True}
    rest = {**arguments, "start": next_frame}
    if arguments["start"] is None and "stop" not in arguments:
        rest["stop"] = 0 if reverse else length - 1
    return [missing, rest]
