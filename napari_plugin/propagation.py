"""Following objects through the stack: in which order, how far it is, and stopping it."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_plugin.workers import Client
from sam2_plugins.annotation_session import AnnotationSession
from sam2_plugins.jobs import CancelToken, Progress, with_progress

__all__ = ["Direction", "LabelledFrame", "Propagation"]

LabelledFrame = tuple[int, NDArray[Any]]
"""Frame number and its (H, W) label image."""


class Direction(Enum):
    """Which way objects are followed."""

    BACKWARD = "backward"
    BOTH = "both"
    FORWARD = "forward"


class Propagation(QObject):
    """At most one running propagation of an annotation.

    Attributes
    ----------
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

    def __init__(self, client: Client, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self._cancel: CancelToken | None = None

    def reset(self, client: Client) -> None:
        """Forget what was running, and run through ``client`` from now on."""
        self.stop()
        self._client, self._cancel = client, None

    @property
    def running(self) -> bool:
        """Whether frames are being computed."""
        return self._cancel is not None

    def start(self, session: AnnotationSession, direction: Direction, start: int | None = None) -> None:
        """Follow all objects from frame ``start``, or from their first prompts, to the end of the stack.

        Without ``start``, backwards alone begins at the last prompts. Prompts that are still waiting for
        the device are given first.
        """
        self._cancel = cancel = CancelToken()

        def follow(runs: list[dict[str, Any]]) -> Iterator[LabelledFrame]:
            for run in runs:
                for result in session.propagate(**run, cancel=cancel):
                    yield result.frame, session.label_image(result.frame)

        def steps() -> Iterator[tuple[LabelledFrame, Progress]]:
            runs = _plan(session, direction, start)
            visits = [session.frames_to_visit(**run) for run in runs]
            total = sum(len(frames) for frames in visits if frames is not None)
            yield from with_progress(follow(runs), total)

        self._client.run_steps(
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

    def _on_step(self, step: tuple[LabelledFrame, Progress]) -> None:
        self.stepped.emit(*step)

    def _on_end(self, count: int) -> None:
        stopped = self._cancel is not None and self._cancel.cancelled
        self._cancel = None
        frames = f"{count} frame{'s' if count != 1 else ''} followed"
        self.ended.emit(f"Stopped: {frames}, and kept." if stopped else f"{frames}.")

    def _on_failure(self, error: BaseException) -> None:
        self._cancel = None
        self.failed.emit(error)


def _plan(session: AnnotationSession, direction: Direction, start: int | None) -> list[dict[str, Any]]:
    """Return the arguments of one or two propagations."""
    forward: dict[str, Any] = {"start": start}
    backward: dict[str, Any] = {"start": start, "reverse": True}
    if direction is not Direction.BOTH:
        return [forward if direction is Direction.FORWARD else backward]
    if start is None:  # between the first and the last prompted frame, forward has been there already
        backward["start"] = min((f for i in session.objects for f in session.prompts_of(i)), default=0)
    return [forward, backward] if backward["start"] else [forward]
