"""The images that have been opened in this dock, each with its annotation, and which of them is chosen."""

from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.prefetch import Prefetch
from napari_plugin.annotation.session_loader import Opening
from napari_plugin.layers import ImageStack, MaskLayer, guess_axes
from napari_plugin.runtime.application import Sam2Application
from napari_plugin.runtime.workers import TaskRunner
from napari_plugin.widgets import keys
from napari_plugin.widgets.panels.image_panel import ImagePanel
from napari_plugin.widgets.panels.model_panel import ModelPanel
from sam2_engine import InputError
from sam2_plugins.runtime.jobs import Progress
from sam2_plugins.storage import OpenedSession

__all__ = ["OpenedImages"]

_PAUSE = 250
"""Milliseconds between two looks at the progress, however fast frames are followed."""


class OpenedImages(QObject):
    """Opens what the user chooses in the upper panels, off the window's thread, and keeps it at hand.

    Parameters
    ----------
    viewer, application
        Where, and whose models and worker.
    image, model
        Where the user chooses.

    Attributes
    ----------
    shown
        Emitted with the ``AnnotationController`` of the chosen image, None while there is none.
    changed
        Emitted when anything in it has changed.
    progressed
        Emitted with the progress when more frames of it were followed, a few times a second at most.
    told, failed
        Emitted with a sentence, or an error, for the user.
    hinted
        Emitted with a sentence on what to do next, which may go unseen.
    annotation
        What was shown last.
    """

    shown = Signal(object)
    changed = Signal()
    progressed = Signal(object)
    status_message = Signal(str)
    failed = Signal(object)
    hinted = Signal(str)

    def __init__(
        self,
        viewer: Viewer,
        application: Sam2Application,
        image: ImagePanel,
        model: ModelPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.annotation: AnnotationController | None = None
        self._viewer, self._application = viewer, application
        self._image, self._model = image, model
        self._annotations: dict[Image, AnnotationController] = {}
        self._masks: dict[Image, MaskLayer] = {}
        self._opening: Opening | None = None
        self._loading = TaskRunner(application.worker, self)
        self._prefetch = Prefetch(self)
        self._report_progress = qthrottled(self.progressed.emit, timeout=_PAUSE, parent=self)
        viewer.dims.events.point.connect(self._prefetch.encode_soon)
        image.chosen.connect(self._on_image_chosen)
        image.corrected.connect(self._on_axes_corrected)
        image.moved.connect(self._on_place_wanted)
        model.chosen.connect(self._on_model_chosen)
        application.device_changed.connect(self._on_device_changed)

    def open_likely_image(self) -> None:
        """Open the active image, or else the topmost one."""
        active = self._viewer.layers.selection.active
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        self._image.choose(active if active in images else images[-1] if images else None)
        self._on_image_chosen()

    def close(self) -> None:
        """Stop all work; masks stay in their layers."""
        self._give_up_opening()
        self._viewer.dims.events.point.disconnect(self._prefetch.encode_soon)
        self._prefetch.close()
        self._report_progress.cancel()
        self._loading.close()
        self._model.cancel_download()
        for annotation in self._annotations.values():
            self._discard(annotation)
        self._annotations.clear()

    # ------------------------------------------------------------------ what the user chooses

    def _on_image_chosen(self) -> None:
        self._give_up_opening()
        layer = self._image.layer
        if layer is None:
            self._show(None)
            self._image.show_axes("", "")
            self.status_message.emit("Open an image, or one of the samples in File ▸ Open Sample ▸ SAM 2.")
        elif layer in self._annotations:
            self._show(self._annotations[layer])
            self.status_message.emit("")
        else:
            self._begin_as_before(layer)

    def _on_axes_corrected(self) -> None:
        self._give_up_opening()
        layer = self._image.layer
        if layer is not None:
            earlier = self._annotations.pop(layer, None)
            if earlier is not None:
                earlier.tracks.show(False)
                self._discard(earlier)
            self._begin(
                layer, self._image.axes.text() or None, self._image.channel_choice, self._image.along_choice
            )

    def _on_place_wanted(self) -> None:
        annotation = self.annotation
        unsaved = None if annotation is None else annotation.autosave.unsaved_reason
        if annotation is not None and annotation.propagation.running:
            self.status_message.emit("Objects are being followed; stop that first, then work elsewhere.")
        elif unsaved is not None:
            self.status_message.emit(f"{unsaved} To work elsewhere would lose it; export it first.")
        else:
            self._on_axes_corrected()

    def _on_model_chosen(self) -> None:
        if self.annotation is not None:
            self.status_message.emit(f"Loading the model {self._model.model} …")
            self.annotation.use_model(self._model.model)
        elif self._image.layer is not None:
            self._on_axes_corrected()

    def _on_device_changed(self, device: str) -> None:
        for annotation in self._annotations.values():
            annotation.drop_engine()
        self._prefetch.set_annotation(self.annotation)
        self.status_message.emit(f"Models run on {device} from now on.")

    # ------------------------------------------------------------------ opening

    def _begin_as_before(self, layer: Image) -> None:
        """Begin to annotate an image, read as it was the last time; a new one as its axes seem to be."""
        self._show(None)
        self._image.show_axes(guess_axes(layer), "")
        opening = self._opening = Opening(TaskRunner(self._application.worker, self))
        opening.find_reading(
            layer,
            self._application.sessions,
            lambda reading: self._begin(layer, *reading),
            self.failed.emit,
        )

    def _begin(
        self, layer: Image, axes: str | None = None, channel: int | None = None, follow: str | None = None
    ) -> None:
        """Begin to annotate an image, of further axes where the sliders stand."""
        self._show(None)
        try:
            stack = ImageStack.of(layer, axes, channel, follow)
            stack = stack.at(stack.shown_places(self._viewer))
        except InputError as error:
            self._image.show_axes(axes or guess_axes(layer), "")
            self.failed.emit(error)
            return
        self._image.show_stack(stack)
        self._open(stack)

    def _open(self, stack: ImageStack) -> None:
        """Open the image's session, or begin one; frames are read for the intensity window."""
        opening = self._opening = Opening(TaskRunner(self._application.worker, self))
        application = self._application

        def opened(kept: OpenedSession) -> None:
            self._opening = None
            self._start(stack, kept, opening.task_runner)
            self._load_model(kept)

        self.status_message.emit("Reading the image …")
        opening.start(
            stack,
            application.store,
            self._model.model,
            application.sessions,
            opened,
            self.failed.emit,
        )

    def _give_up_opening(self) -> None:
        if self._opening is not None:
            self._opening.give_up()
            self._opening = None

    def _load_model(self, kept: OpenedSession) -> None:
        name, store = kept.session.model_name, self._application.store
        self._loading.close()
        self._loading = TaskRunner(self._application.worker, self)
        self.status_message.emit(f"Loading the model {name} … you can click already.")

        def loaded(_: object) -> None:
            if kept.save_error is not None:
                self.status_message.emit(f"Your work is not kept on disk: {kept.save_error}")
            elif kept.note is not None:
                self.status_message.emit(kept.note)
            elif kept.folder is not None and kept.reopened:
                self.status_message.emit(f"Going on where you left off, as kept in {kept.folder.path}.")
            else:
                self.hinted.emit("Click on an object. Ctrl+click takes away what does not belong to it.")

        def failed(error: BaseException) -> None:
            self.failed.emit(error)
            self._model.offer_download(name)

        self._loading.run(lambda: store.get(name), then=loaded, failed=failed)

    # ------------------------------------------------------------------ annotations come and go

    def _start(self, stack: ImageStack, kept: OpenedSession, task_runner: TaskRunner) -> None:
        before = self._masks.get(stack.layer)
        earlier = before if before is not None and before.serves(stack) else None
        annotation = AnnotationController(self._viewer, stack, kept, task_runner, earlier, self)
        self._annotations[stack.layer], self._masks[stack.layer] = annotation, annotation.masks
        masks = annotation.masks.layer
        masks.bind_key(keys.UNDO, lambda _: annotation.undo())  # before the layer's own
        masks.bind_key(keys.REDO, lambda _: annotation.redo())
        annotation.status_message.connect(self.status_message)
        annotation.failed.connect(lambda error: self._on_failed(annotation, error))
        annotation.changed.connect(lambda: self._on_changed(annotation))
        annotation.review.updated.connect(lambda: self._on_changed(annotation))
        annotation.progressed.connect(lambda progress: self._on_progress(annotation, progress))
        annotation.ended.connect(lambda reason: self._on_ended(annotation, reason))
        self._show(annotation)

    def _on_changed(self, annotation: AnnotationController) -> None:
        if annotation is self.annotation:
            self._report_progress.flush()
            self._prefetch.encode_soon()
            self.changed.emit()

    def _on_failed(self, annotation: AnnotationController, error: BaseException) -> None:
        if annotation is self.annotation:  # what failed may have been to load another model
            self._model.show_model(annotation.session.model_name)
        self.failed.emit(error)

    def _on_progress(self, annotation: AnnotationController, progress: Progress) -> None:
        if annotation is self.annotation:
            self._report_progress(progress)

    def _on_ended(self, annotation: AnnotationController, reason: str) -> None:
        self._annotations = {layer: one for layer, one in self._annotations.items() if one is not annotation}
        _unbind_keys(annotation)
        if annotation is self.annotation:
            self._show(None)
            self._image.choose(None)
            self._image.show_axes("", "")
        self.status_message.emit(reason)

    def _discard(self, annotation: AnnotationController) -> None:
        annotation.close()
        annotation.remove_prompt_layers()
        _unbind_keys(annotation)

    def _show(self, annotation: AnnotationController | None) -> None:
        self.annotation = annotation
        self._report_progress.cancel()
        self._prefetch.set_annotation(annotation)
        if annotation is not None:
            self._image.show_stack(annotation.stack)
            self._model.show_model(annotation.session.model_name)
        self.shown.emit(annotation)


def _unbind_keys(annotation: AnnotationController) -> None:
    for key in (keys.UNDO, keys.REDO):
        annotation.masks.layer.bind_key(key, None)
