"""The images that have been opened in this dock, each with its annotation."""

from collections.abc import Mapping
from typing import Any

from napari import Viewer
from napari.layers import Image
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import qthrottled

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.model_changes import drop_engine, use_model
from napari_plugin.annotation.prefetch import Prefetch
from napari_plugin.annotation.session_loader import SessionLoader, StackOptions
from napari_plugin.layers import ImageStack, guess_axes, show_sizes
from napari_plugin.runtime.application import Sam2Application
from napari_plugin.runtime.preferences import read_choice
from napari_plugin.runtime.workers import TaskRunner
from napari_plugin.widgets import keys
from napari_plugin.widgets.panels.image_panel import ImagePanel
from napari_plugin.widgets.panels.model_panel import ModelPanel
from sam2_engine import InputError
from sam2_plugins.runtime.jobs import Progress
from sam2_plugins.storage import OpenedSession, TakenError

__all__ = ["OpenedImages"]

_PAUSE = 250
"""Milliseconds between two updates of the progress, however fast frames are tracked."""


class OpenedImages(QObject):
    """Opens what the user chooses in the upper panels, off the window's thread.

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
        Emitted with the progress when more frames of it were tracked, a few times a second at most.
    status_message, failed
        Emitted with a sentence, or an error, for the user.
    hinted
        Emitted with a sentence on what to do next, which may go unseen.
    warned, edited
        Emitted with a sentence about what was left out, and when something was done after all.
    annotation
        What was shown last.
    """

    shown = Signal(object)
    changed = Signal()
    progressed = Signal(object)
    status_message = Signal(str)
    failed = Signal(object)
    hinted = Signal(str)
    warned = Signal(str)
    edited = Signal()

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
        self._loader: SessionLoader | None = None
        self._loading = TaskRunner(application.worker, self)
        self._prefetch = Prefetch(self)
        self._report_progress = qthrottled(self.progressed.emit, timeout=_PAUSE, parent=self)
        self._look_soon = QTimer(self)  # after whoever opens files has added all of them
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(0)
        self._look_soon.timeout.connect(self._open_if_idle)
        viewer.layers.events.inserted.connect(self._on_layer_inserted)
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

    def _on_layer_inserted(self, event: Any) -> None:
        if isinstance(event.value, Image) and self._image.layer is None:
            self._look_soon.start()

    def _open_if_idle(self) -> None:
        if self._image.layer is None and self.annotation is None:
            self.open_likely_image()

    def close(self) -> None:
        """Stop all work; masks stay in their layers."""
        self._cancel_loading()
        self._look_soon.stop()
        self._viewer.layers.events.inserted.disconnect(self._on_layer_inserted)
        self._viewer.dims.events.point.disconnect(self._prefetch.encode_soon)
        self._prefetch.close()
        self._report_progress.cancel()
        self._loading.close()
        self._model.cancel_download()
        for annotation in self._annotations.values():
            unsaved = annotation.autosave.unsaved_reason
            if unsaved is not None:
                annotation.companions.release(annotation.masks.layer)
                show_warning(
                    f"{unsaved} The masks stay in the layer '{annotation.masks.layer.name}'; save it."
                )
            self._discard(annotation)
        self._annotations.clear()

    # ------------------------------------------------------------------ what the user chooses

    def _on_image_chosen(self) -> None:
        self._cancel_loading()
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
        if self._may_leave("to read it otherwise"):
            self._open_anew(chosen=True)
        elif self.annotation is not None:
            self._image.show_stack(self.annotation.stack)

    def _may_leave(self, why: str) -> bool:
        """Whether the annotation can be left without a loss; else say it."""
        annotation = self.annotation
        unsaved = None if annotation is None else annotation.autosave.unsaved_reason
        if unsaved is not None:
            self.failed.emit(InputError(f"{unsaved} It would be lost {why}; export it first."))
        return unsaved is None

    def _open_anew(self, chosen: bool = False) -> None:
        self._cancel_loading()
        layer = self._image.layer
        if layer is not None:
            earlier = self._annotations.pop(layer, None)
            if earlier is not None:
                earlier.tracks.show(False)
                self._discard(earlier)
            image = self._image
            axes = image.axes.text() or None
            self._begin(layer, StackOptions(axes, image.channel_choice, image.along_choice, chosen))

    def _on_place_wanted(self) -> None:
        annotation = self.annotation
        if annotation is not None and annotation.propagation.running:
            self.status_message.emit("Objects are being tracked; stop that first, then work elsewhere.")
        elif self._may_leave("by working elsewhere"):
            self._open_anew()

    def show_place(self, places: Mapping[str, int]) -> None:
        """Move the sliders to another place of the image, where the button to work there appears."""
        if self.annotation is not None:
            frame = self.annotation.shown_frame
            self.annotation.stack.at(places).show_frame(self._viewer, frame)

    def _on_model_chosen(self) -> None:
        if self.annotation is not None:
            self.status_message.emit(f"Loading the model {self._model.model} …")
            use_model(self.annotation, self._model.model)
        elif self._image.layer is not None:
            self._open_anew()

    def _on_device_changed(self, device: str) -> None:
        for annotation in self._annotations.values():
            drop_engine(annotation)
        self._prefetch.set_annotation(self.annotation)
        self.status_message.emit(f"Models run on {device} from now on.")

    # ------------------------------------------------------------------ opening

    def _begin_as_before(self, layer: Image) -> None:
        """Begin to annotate an image, read as it was the last time; a new one as its axes seem to be."""
        self._show(None)
        self._image.show_axes(guess_axes(layer), "")
        loader = self._loader = SessionLoader(TaskRunner(self._application.worker, self))
        loader.find_options(
            layer,
            self._application.sessions,
            lambda options: self._begin(layer, options),
            self.failed.emit,
        )

    def _begin(self, layer: Image, options: StackOptions) -> None:
        """Begin to annotate an image, of further axes where the sliders stand."""
        self._show(None)
        try:
            stack = options.stack(layer)
            stack = stack.at(stack.shown_places(self._viewer))
        except InputError as error:
            self._image.show_axes(options.axes or guess_axes(layer), "")
            self.failed.emit(error)
            return
        if options.chosen or stack.cut is not None:
            stack.turn(self._viewer)
        self._image.show_stack(stack)
        self._open(stack, options.chosen)

    def _open(self, stack: ImageStack, chosen: bool) -> None:
        """Open the image's session, or begin one; frames are read for the intensity window."""
        loader = self._loader = SessionLoader(TaskRunner(self._application.worker, self))
        application = self._application

        def loaded(opened: OpenedSession) -> None:
            self._loader = None
            show_sizes(stack, self._viewer, opened.scale)
            self._start(stack, opened, loader.task_runner)
            self._load_model(opened)

        self.status_message.emit("Reading the image …")
        loader.start(
            stack,
            application.store,
            self._model.model,
            application.sessions,
            loaded,
            self.failed.emit,
            begin_later=not chosen,
        )

    def _cancel_loading(self) -> None:
        if self._loader is not None:
            self._loader.cancel()
            self._loader = None

    def _load_model(self, opened: OpenedSession) -> None:
        name, store = opened.session.model_name, self._application.store
        save_error = opened.save_error
        self._loading.close()
        self._loading = TaskRunner(self._application.worker, self)
        self.status_message.emit(f"Loading the model {name} … you can click already.")

        def loaded(_: object) -> None:
            if save_error is not None:
                self.status_message.emit(f"Your work is not saved: {save_error}")
            elif opened.note is not None:
                self.status_message.emit(opened.note)
            elif opened.folder is not None and opened.reopened:
                self.status_message.emit(f"Going on where you left off, as saved in {opened.folder.path}.")
            else:
                self.hinted.emit("Click on an object. Ctrl+click takes away what does not belong to it.")

        def failed(error: BaseException) -> None:
            self.failed.emit(error)
            self._model.offer_download(name)

        self._loading.run(lambda: store.load(name), then=loaded, failed=failed)

    # ------------------------------------------------------------------ annotations come and go

    def _start(self, stack: ImageStack, opened: OpenedSession, task_runner: TaskRunner) -> None:
        annotation = AnnotationController(self._viewer, stack, opened, task_runner, self)
        self._annotations[stack.layer] = annotation
        annotation.names.show(read_choice("names"))
        annotation.tracks.show(read_choice("tracks") and stack.plan.length > 1)
        masks = annotation.masks.layer
        masks.bind_key(keys.key_of(keys.UNDO), lambda _: annotation.undo())  # before the layer's own
        masks.bind_key(keys.key_of(keys.REDO), lambda _: annotation.redo())
        annotation.status_message.connect(self.status_message)
        annotation.warned.connect(self.warned)
        annotation.edited.connect(self.edited)
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
        if isinstance(error, TakenError) and annotation is self.annotation:
            self._open_anew()  # nothing was done here yet: go on with what another window has begun

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
        annotation.remove_layers()
        _unbind_keys(annotation)

    def _show(self, annotation: AnnotationController | None) -> None:
        self.annotation = annotation
        self._report_progress.cancel()
        self._prefetch.set_annotation(annotation)
        for one in self._annotations.values():
            one.show_layers(one is annotation)
        if annotation is not None:
            self._image.show_stack(annotation.stack)
            self._model.show_model(annotation.session.model_name)
        self.shown.emit(annotation)


def _unbind_keys(annotation: AnnotationController) -> None:
    for action in (keys.UNDO, keys.REDO):
        annotation.masks.layer.bind_key(keys.key_of(action), None)
