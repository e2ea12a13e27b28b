"""The dialog for fine-tuning: its length, its progress, and the improvement before anything uses it."""

from magicgui.widgets import SpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.fine_tuning import Training
from napari_plugin.runtime.application import Sam2Application
from napari_plugin.runtime.workers import run_in_thread
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.form import form
from napari_plugin.widgets.prompt_bar import PromptBar
from sam2_engine import InputError
from sam2_plugins.fine_tuning import FineTuning, steps_that_fit, what_is_taught

__all__ = ["TrainingDialog"]

_EXPLAINED = (
    "The model is taught your objects: five verified, clicked or painted masks are enough to begin with. "
    "With three frames or more on which every mask is, it is trained on these. A part is held out, to "
    "measure the gain before anything uses the new model. It runs beside napari: go on working, also with "
    "this window closed."
)


class TrainingDialog(QDialog):
    """Trains on the session of one annotation at a time.

    Parameters
    ----------
    application
        Whose device it runs on.

    Attributes
    ----------
    weights_accepted
        Emitted with the annotation and the name of the new weights when the user wants to use them.
    failed
        Emitted with an error for the user.
    """

    weights_accepted = Signal(object, str)
    failed = Signal(object)

    def __init__(self, application: Sam2Application, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Teach it your objects")
        self._application = application
        self._annotation: AnnotationController | None = None
        self.training = Training(application.worker, self)
        explanation = QLabel(_EXPLAINED)
        explanation.setWordWrap(True)
        self.frames = QLabel()
        self.frames.setWordWrap(True)
        self.steps = SpinBox(
            value=100,
            min=1,
            max=1_000_000,
            label="Steps",
            tooltip="More steps train more thoroughly, and take longer",
        )
        self.start = button("Start", "Train on the frames as they are now")
        self.resume = button(
            "Continue", "Go on with the training that was stopped, on the frames of that time"
        )
        self.prompt_bar = PromptBar()
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.resume)
        buttons.addWidget(self.start)
        layout = QVBoxLayout(self)
        layout.addWidget(explanation)
        layout.addWidget(self.frames)
        layout.addLayout(form(self.steps))
        layout.addLayout(buttons)
        layout.addWidget(self.prompt_bar)
        layout.addStretch()
        self.setMinimumSize(460, 300)
        self.start.clicked.connect(self._on_start)
        self.resume.clicked.connect(self._on_resume)
        self.training.progressed.connect(self._on_progress)
        self.training.ended.connect(self._on_ended)
        self.training.failed.connect(self._on_failed)

    def show_for(self, annotation: AnnotationController) -> None:
        """Open it for an annotation; while another one is trained on, that one is shown."""
        if not self.training.running and annotation is not self._annotation:
            self._annotation = annotation
            self.steps.value = steps_that_fit(annotation.session)
            self.prompt_bar.clear()
        self._refresh()
        self.show()
        self.raise_()

    def release(self) -> None:
        """Stop after the step at hand; it can be continued another time."""
        self.training.close()
        self.close()

    def _refresh(self) -> None:
        annotation, running = self._annotation, self.training.running
        self.start.setEnabled(annotation is not None and not running)
        self.resume.setEnabled(False)
        if annotation is not None:
            name, taught = annotation.stack.layer.name, what_is_taught(annotation.session)
            self.frames.setText(f"It trains on {taught} of {name}.")
            self.resume.setEnabled(not running and self.training.unfinished(annotation) is not None)

    # ------------------------------------------------------------------ training

    def _on_start(self) -> None:
        if self._annotation is not None and not self.training.running:
            self._wait()
            device = self._application.store.device_name
            self.training.start(self._annotation, self.steps.value, device)
            self._refresh()

    def _on_resume(self) -> None:
        annotation = self._annotation
        unfinished = None if annotation is None else self.training.unfinished(annotation)
        if annotation is not None and unfinished is not None and not self.training.running:
            self._wait()
            self.training.resume(annotation, unfinished)
            self._refresh()

    def _wait(self) -> None:
        self.prompt_bar.wait("Starting …", self._stop, "Stop")
        self.prompt_bar.decline.setEnabled(True)

    def _stop(self) -> None:
        self.prompt_bar.wait("Stopping after this step …", lambda: None, "Stop")
        self.prompt_bar.decline.setEnabled(False)
        self.training.stop()

    def _on_progress(self, done: int, total: int, sentence: str) -> None:
        if self.prompt_bar.decline.isEnabled():
            self.prompt_bar.show_progress(done, total or None, sentence)

    def _on_failed(self, error: BaseException) -> None:
        self._say(str(error) if isinstance(error, InputError) else f"Something unexpected happened: {error}")
        self.failed.emit(error)

    def _on_ended(self) -> None:
        self.prompt_bar.decline.setEnabled(True)
        if self.training.result is not None:
            self._offer(self.training.result)
        elif self.prompt_bar.bar.isVisible():
            self._say("Stopped; Continue goes on from there.")
        self._refresh()

    # ------------------------------------------------------------------ the new weights

    def _offer(self, result: FineTuning) -> None:
        if not result.is_better:
            self._say(f"{result.improvement} No better: not used. The new model stays in {result.model}.")
            self.show()
            return
        annotation = self.training.annotation
        self.prompt_bar.offer(
            f"{result.improvement} Use the new weights?",
            "Use them",
            lambda: self._use(annotation, result),
            "Stay with the old ones",
            lambda: self._say(f"The new model stays in {result.model}."),
        )
        self.show()

    def _use(self, annotation: AnnotationController | None, result: FineTuning) -> None:
        if annotation is None or annotation.folder is None:
            return
        name = f"{annotation.folder.path.stem}-tuned"
        self._say("Putting the new weights among the models …")

        def stored(model: str) -> None:
            self._say(f"They are the model {model} from now on.")
            self.weights_accepted.emit(annotation, model)

        unless_closed = self.training.unless_closed
        run_in_thread(
            self._application.worker,
            "new weights",
            lambda: result.use(name),
            lambda model: unless_closed(lambda: stored(model)),
            lambda error: unless_closed(lambda: self._on_failed(error)),
        )

    def _say(self, sentence: str) -> None:
        self.prompt_bar.offer(sentence, "", lambda: None, "OK")
        self.prompt_bar.accept.setVisible(False)
