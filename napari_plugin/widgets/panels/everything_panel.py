"""Everything in the stack: one button that finds all objects and tracks them, and what came of it."""

from collections.abc import Generator

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.prompt_bar import PromptBar
from sam2_plugins.everything.estimate import EverythingEstimate, estimate_everything
from sam2_plugins.everything.kept import KeptSightings, SightingsInMemory, kept_beside
from sam2_plugins.everything.run import TrackedEverything, track_everything
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["EverythingPanel"]


class EverythingPanel(Panel):
    """Finds and tracks everything in the shown stack; what was seen is kept when it is stopped."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cancel: CancelToken | None = None
        self._kept: KeptSightings = SightingsInMemory()
        self.start = button(
            "Find and track all",
            "Find the objects of all frames, without clicks, and track them; one undo takes them back",
        )
        self.prompt_bar = PromptBar()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.start)
        layout.addWidget(self.prompt_bar)
        self.start.clicked.connect(self._start)
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Work on another stack: what is under way on the one before is stopped."""
        if annotation is not self.annotation:
            self._stop()
            self._kept = SightingsInMemory()
        super().show_annotation(annotation)
        self.setVisible(annotation is not None and (annotation.session.frames.length or 0) > 1)

    def _start(self) -> None:
        annotation = self.annotation
        assert annotation is not None
        folder, cancel = annotation.autosave.folder, CancelToken()
        kept = self._kept if folder is None else kept_beside(folder)
        work = ResultGenerator(_work(annotation.session, kept))
        self._cancel = cancel
        self.start.setEnabled(False)
        self.prompt_bar.wait("Finding and tracking …", cancel.cancel, "Stop")

        def on_step(step: object) -> None:
            if self._cancel is not cancel or cancel.cancelled:
                return
            if isinstance(step, EverythingEstimate):
                self.status_message.emit(f"{step}.".capitalize())
            elif isinstance(step, tuple):
                done, total = step
                self.prompt_bar.show_progress(
                    done, total, f"Finding and tracking: {done:,} of {total:,} frames"
                )

        def ended(_: int) -> None:
            if self._cancel is cancel:
                self._end()
                if hasattr(work, "result"):
                    self._show(annotation, work.result)
                else:
                    self.status_message.emit("Stopped; what was seen is kept: start again to go on.")

        def failed(error: BaseException) -> None:
            if self._cancel is cancel:
                self._end()
                self.failed.emit(error)

        annotation.run_steps(work, on_step, ended, failed, cancel)

    def _show(self, annotation: AnnotationController, done: TrackedEverything) -> None:
        """Draw what was stored, and name it; divisions that are not sure come first."""
        doubt = ""
        for title, divisions in ("Proposed", done.proposed), ("Least sure", done.divisions):
            for one in divisions[:1]:
                doubt += (
                    f" {title}: {annotation.session.annotations.called(one.mother)} divides before frame "
                )
                doubt += f"{one.frame} ({one.probability:.0%})."

        def drawn(_: None) -> None:
            if done.object_ids:
                annotation.select_object(done.object_ids[0])
            self.status_message.emit(f"{done}.{doubt}")

        annotation.edit(lambda _: None, drawn)

    def _stop(self) -> None:
        if self._cancel is not None:
            self._cancel.cancel()
            self._end()

    def _end(self) -> None:
        self._cancel = None
        self.prompt_bar.clear()
        self.start.setEnabled(True)


def _work(
    session: AnnotationSession, kept: KeptSightings
) -> Generator[EverythingEstimate | tuple[int, int], None, TrackedEverything]:
    """Yield, on the worker's thread, how long it will take, and then do it step by step."""
    yield estimate_everything(session)
    return (yield from track_everything.steps(session, None, kept))
