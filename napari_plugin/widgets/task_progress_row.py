"""The progress of a long task on an annotation, with a button to stop it."""

from collections.abc import Callable, Generator
from typing import TypeVar

from qtpy.QtWidgets import QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.prompt_bar import PromptBar
from sam2_plugins.runtime.jobs import CancelToken, Progress, with_progress
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["TaskProgressRow"]

T = TypeVar("T")


class TaskProgressRow(PromptBar):
    """One task at a time; shown only while it lasts.

    Parameters
    ----------
    buttons
        What starts a task, and is not enabled meanwhile.
    """

    def __init__(self, *buttons: QWidget) -> None:
        super().__init__()
        self._buttons = buttons
        self._annotation: AnnotationController | None = None
        self._allowed = True

    @property
    def busy(self) -> bool:
        """Whether a task is being done."""
        return self._annotation is not None

    def allow(self, allowed: bool) -> None:
        """Let a task be started, or not because it could not be done."""
        self._allowed = allowed
        self._enable(self._annotation is None)

    def start(
        self,
        annotation: AnnotationController,
        sentence: str,
        steps: Generator[object, None, T],
        total: int | None,
        then: Callable[[T], None],
        stopped: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Run a task off the window's thread.

        Parameters
        ----------
        annotation
            On what.
        sentence
            Says what is being done.
        steps, total
            The task, and how often it yields; None if nobody knows.
        then, stopped, failed
            Called at the end: with what the task returned, or when the user stopped it, or with an error.
        """
        cancel, results = CancelToken(), ResultGenerator(steps)
        self._annotation = annotation
        self._enable(False)
        self.wait(f"{sentence} …", cancel.cancel, "Stop")

        def on_step(step: tuple[object, Progress]) -> None:
            if not cancel.cancelled:
                self.show_progress(step[1].done, step[1].total, f"{sentence}: {step[1].percentage}")

        def ended(_: int) -> None:
            self._end_task()
            if hasattr(results, "result"):
                then(results.result)
            else:
                stopped()

        def ended_badly(error: BaseException) -> None:
            self._end_task()
            failed(error)

        annotation.run_steps(with_progress(results, total), on_step, ended, ended_badly, cancel)

    def clear_if_closed(self) -> None:
        """Clear the row of an image that has been closed meanwhile: no outcome of its task arrives."""
        if self._annotation is not None and self._annotation.closed:
            self._end_task()

    def _end_task(self) -> None:
        self._annotation = None
        self.clear()
        self._enable(True)

    def _enable(self, enabled: bool) -> None:
        for one in self._buttons:
            one.setEnabled(enabled and self._allowed)
