"""Fine-tuning on the verified frames of a session, beside other work in its window."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.runtime.workers import Worker, run_in_thread
from sam2_engine import InputError
from sam2_engine.wording import duration_in_words
from sam2_plugins.fine_tuning import FineTuning, TrainingProgress, unfinished_training
from sam2_plugins.runtime.jobs import Progress
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["Training"]


class Training(QObject):
    """At most one training at a time.

    Parameters
    ----------
    worker
        Hands over outcomes of its thread.

    Attributes
    ----------
    progressed
        Emitted with the steps that are done, in all (0 for not known yet), and a sentence.
    ended
        Emitted when new weights are there, and when it was stopped or has failed.
    failed
        Emitted with an error, before ``ended``.
    annotation, result
        What is trained on; the training that has finished, None before.
    """

    progressed = Signal(int, int, str)
    ended = Signal()
    failed = Signal(object)

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.annotation: AnnotationController | None = None
        self.result: FineTuning | None = None
        self._worker = worker
        self._current: FineTuning | None = None
        self._running = self._stopping = self._closed = False
        self._begun: tuple[float, int] | None = None

    @property
    def running(self) -> bool:
        """Whether it prepares or trains."""
        abandoned = self._current is None and self.annotation is not None and self.annotation.closed
        return self._running and not abandoned

    def unfinished(self, annotation: AnnotationController) -> FineTuning | None:
        """Return a session's training that was stopped before its end, today or another day."""
        return None if annotation.folder is None else unfinished_training(_folder_of(annotation))

    def start(self, annotation: AnnotationController, steps: int, device: str) -> None:
        """Write the verified frames of a session into a folder and train on them."""
        if annotation.folder is None:
            reason = annotation.autosave.save_error
            self.failed.emit(
                InputError(
                    "There is too little to train on: nothing was done here yet; click, track, and verify."
                    if reason is None
                    else f"There is no place for the training: {reason}"
                )
            )
            return
        self._begin(annotation)
        preparation = ResultGenerator(
            FineTuning.prepare(annotation.session, _folder_of(annotation), steps=steps, device=device)
        )
        self.progressed.emit(0, 0, "Writing the frames to train on …")

        def prepared(_: int) -> None:
            if self._stopping:
                self._end()
            else:
                self._train(preparation.result)

        annotation.run_steps(preparation, lambda _: None, prepared, self._fail)

    def resume(self, annotation: AnnotationController, training: FineTuning) -> None:
        """Continue a training that was stopped."""
        self._begin(annotation)
        self._train(training)

    def stop(self) -> None:
        """Let it stop after the step at hand; the weights so far are saved."""
        self._stopping = True
        if self._current is not None:
            self._current.stop()

    def close(self) -> None:
        """Stop, and emit nothing any more."""
        self.stop()
        self._closed = True

    def unless_closed(self, outcome: Callable[[], None]) -> None:
        """Call ``outcome()`` unless this is closed."""
        if not self._closed:
            outcome()

    def _begin(self, annotation: AnnotationController) -> None:
        self.annotation, self.result, self._begun = annotation, None, None
        self._running, self._stopping = True, False

    def _train(self, training: FineTuning) -> None:
        self._current = training

        def train() -> None:
            for progress in training.train():
                self._worker.call(partial(self._on_progress, progress))

        def trained(_: None) -> None:
            self.result = training if training.finished else None
            self._end()

        run_in_thread(self._worker, "fine-tuning", train, trained, self._fail)

    def _on_progress(self, progress: TrainingProgress) -> None:
        if self._stopping and self._current is not None:
            self._current.stop()  # it may have been wanted before the process was there
        if self._closed:
            return
        if progress.total is None:
            self.progressed.emit(0, 0, progress.sentence)
            return
        self._begun = self._begun or (time.monotonic(), progress.done)
        since, first = self._begun
        done = Progress(progress.done - first, progress.total - first, time.monotonic() - since)
        left = "" if done.seconds_left is None else f", about {duration_in_words(done.seconds_left)} left"
        last = progress.done == progress.total
        sentence = (
            "Measuring the improvement …" if last else f"Step {progress.done} of {progress.total}{left}"
        )
        self.progressed.emit(progress.done, progress.total, sentence)

    def _fail(self, error: BaseException) -> None:
        self.unless_closed(lambda: self.failed.emit(error))
        self._end()

    def _end(self) -> None:
        self._running, self._current = False, None
        self.unless_closed(self.ended.emit)


def _folder_of(annotation: AnnotationController) -> Path:
    assert annotation.folder is not None
    return annotation.folder.path / "training"
