"""The dock: panels on one side, the annotation of the chosen image on the other."""

from collections.abc import Callable
from typing import Any

from napari import Viewer
from napari.layers import Image
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QLabel, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_plugin._widget import keys
from napari_plugin._widget.export_panel import ExportPanel
from napari_plugin._widget.image_panel import ImagePanel
from napari_plugin._widget.model_panel import ModelPanel
from napari_plugin._widget.object_panel import ObjectPanel
from napari_plugin._widget.object_strip import ObjectStrip
from napari_plugin._widget.propagation_panel import PropagationPanel
from napari_plugin._widget.review_panel import ReviewPanel
from napari_plugin._widget.undo_row import UndoRow
from napari_plugin.annotation import Annotation
from napari_plugin.application import Sam2Application, sam2_application
from napari_plugin.canvas_context import CanvasContext
from napari_plugin.frame_states import states_of
from napari_plugin.layers import ImageStack, guess_axes
from napari_plugin.opening import Opening
from napari_plugin.propagation import Direction
from napari_plugin.workers import Client
from sam2_engine import InputError
from sam2_plugins.jobs import Progress
from sam2_plugins.review import Doubt
from sam2_plugins.storage import KeptSession

__all__ = ["AnnotationDock"]

_STRIP_HEIGHT = 120


class AnnotationDock(QWidget):
    """Segment and track objects in an Image layer by clicks and boxes.

    Parameters
    ----------
    napari_viewer
        The viewer it is docked in.
    application
        Models and worker; None for those that all windows of this application share.
    """

    def __init__(self, napari_viewer: Viewer, application: Sam2Application | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.annotation: Annotation | None = None
        self._application = application or sam2_application()
        self._annotations: dict[Image, Annotation] = {}
        self._opening: Opening | None = None
        self._loading = Client(self._application.worker, self)
        self._closed = False
        self._canvas_context = CanvasContext(napari_viewer, self)
        self.image = ImagePanel(napari_viewer)
        self.model = ModelPanel(self._application.model)
        self.objects = ObjectPanel()
        self.propagation = PropagationPanel()
        self.review = ReviewPanel()
        self.export = ExportPanel()
        self.tabs = QTabWidget()
        self.strip = ObjectStrip()
        self.history = UndoRow()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self._lay_out()
        self.image.chosen.connect(self._on_image_chosen)
        self.image.corrected.connect(self._on_axes_corrected)
        self.model.chosen.connect(self._on_model_chosen)
        self.propagation.started.connect(self._on_start)
        self.propagation.stopped.connect(self._on_stop)
        self.propagation.follow_view.toggled.connect(self._on_follow_view)
        self.propagation.resumed.connect(self._on_resume)
        self.history.undo.clicked.connect(lambda: self._undo())
        self.history.redo.clicked.connect(lambda: self._redo())
        self.review.wanted.connect(self._on_doubt_wanted)
        self.strip.picked.connect(self._on_place_picked)
        self.export.told.connect(self.tell)
        self.export.failed.connect(self.fail)
        self._drawing = QTimer(self)  # many changes within a moment are drawn once
        self._drawing.setSingleShot(True)
        self._drawing.setInterval(100)
        self._drawing.timeout.connect(self._draw_strip)
        napari_viewer.dims.events.point.connect(self._on_slider)
        self._bind_keys()
        self._show(None)
        self.image.choose(self._likely_image())
        self._on_image_chosen()

    def _lay_out(self) -> None:
        annotate = QWidget()
        column = QVBoxLayout(annotate)
        column.setContentsMargins(4, 0, 4, 4)
        column.addWidget(self.objects, 1)
        column.addWidget(self.propagation)
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        for name, panel in (("Annotate", annotate), ("Review", self.review), ("Export", self.export)):
            self.tabs.addTab(panel, name)
        self.tabs.tabBar().setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._strips = strips = QScrollArea()
        strips.setWidget(self.strip)
        strips.setWidgetResizable(True)
        strips.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        strips.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.addWidget(self.image)
        layout.addWidget(self.model)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(strips)
        layout.addWidget(self.history)
        layout.addWidget(self.message)

    def _likely_image(self) -> Image | None:
        active = self.viewer.layers.selection.active
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        return active if active in images else images[-1] if images else None

    # ------------------------------------------------------------------ choosing what to work on

    def _on_image_chosen(self) -> None:
        self._give_up_opening()
        layer = self.image.layer
        if layer is None:
            self._show(None)
            self.image.show_axes("", "")
            self.tell("Open an image, or one of the samples in File ▸ Open Sample ▸ SAM 2.")
        elif layer in self._annotations:
            self._show(self._annotations[layer])
            self.tell("")
        else:
            self._begin(layer, axes=None, channel=None)

    def _on_axes_corrected(self) -> None:
        self._give_up_opening()
        layer = self.image.layer
        if layer is not None:
            if layer in self._annotations:
                self._discard(self._annotations.pop(layer))
            self._begin(layer, self.image.axes.text() or None, self.image.channel_choice)

    def _on_model_chosen(self) -> None:
        annotation = self.annotation
        if annotation is None:
            if self.image.layer is not None:
                self._on_axes_corrected()
            return
        self._give_up_opening()

        def change(kept: KeptSession, client: Client) -> None:
            annotation.use_session(kept, client)
            self._show(annotation)

        self._open(annotation.stack, change, anew=True)

    def _begin(self, layer: Image, axes: str | None, channel: int | None) -> None:
        self._show(None)
        try:
            stack = ImageStack.of(layer, axes, channel)
        except InputError as error:
            self.image.show_axes(axes or guess_axes(layer), "")
            self.fail(error)
            return
        self.image.show_stack(stack)
        self._open(stack, lambda kept, client: self._start(stack, kept, client))

    def _open(
        self, stack: ImageStack, then: Callable[[KeptSession, Client], None], anew: bool = False
    ) -> None:
        """Open the image's session, or begin one; frames are read for the intensity window."""
        opening = self._opening = Opening(Client(self._application.worker, self))
        application = self._application

        def opened(kept: KeptSession) -> None:
            self._opening = None
            then(kept, opening.client)
            self._load_model(kept)

        self.tell("Reading the image …")
        opening.start(
            stack, application.store, self.model.model, application.sessions, anew, opened, self.fail
        )

    def _give_up_opening(self) -> None:
        if self._opening is not None:
            self._opening.give_up()
            self._opening = None

    def _load_model(self, kept: KeptSession) -> None:
        session = kept.session
        self._loading.close()
        self._loading = Client(self._application.worker, self)
        self.tell(f"Loading the model {session.model_name} … you can click already.")

        def loaded(device: str) -> None:
            self.model.show_device(device)
            if kept.trouble is not None:
                self.tell(f"Your work is not kept on disk: {kept.trouble}")
            elif kept.folder is not None and kept.reopened:
                self.tell(f"Going on where you left off, as kept in {kept.folder.path}.")
            else:
                self.tell("Click on an object. Ctrl+click takes away what does not belong to it.")

        self._loading.run(
            lambda: str(self._application.store.get(session.model_name).device), then=loaded, failed=self.fail
        )

    def _start(self, stack: ImageStack, kept: KeptSession, client: Client) -> None:
        annotation = Annotation(self.viewer, stack, kept, client, self)
        self._annotations[stack.layer] = annotation
        annotation.masks.layer.bind_key(keys.UNDO, lambda _: self._undo())  # before the layer's own
        annotation.masks.layer.bind_key(keys.REDO, lambda _: self._redo())
        annotation.changed.connect(self._refresh)
        annotation.told.connect(self.tell)
        annotation.failed.connect(self.fail)
        annotation.ended.connect(lambda reason: self._on_ended(annotation, reason))
        annotation.reviewing.reviewed.connect(lambda: self._on_reviewed(annotation))
        annotation.propagation.stepped.connect(lambda _, progress: self._on_progress(annotation, progress))
        self._show(annotation)

    def _discard(self, annotation: Annotation) -> None:
        annotation.close()
        annotation.remove_prompt_layers()
        for key in (keys.UNDO, keys.REDO):
            annotation.masks.layer.bind_key(key, None)

    def _on_ended(self, annotation: Annotation, reason: str) -> None:
        self._annotations = {layer: one for layer, one in self._annotations.items() if one is not annotation}
        if annotation is self.annotation:
            self._show(None)
            self.image.choose(None)
            self.image.show_axes("", "")
        self.tell(reason)

    # ------------------------------------------------------------------ following

    def _on_start(self, direction: Direction) -> None:
        if self.annotation is not None:
            self.tell("")
            only = (self.annotation.current,) if self.propagation.only_current.isChecked() else None
            self.annotation.propagate(direction, self.propagation.from_shown.isChecked(), only)

    def _on_resume(self) -> None:
        if self.annotation is not None:
            self.tell("")
            self.annotation.resume()

    def _on_stop(self) -> None:
        if self.annotation is not None:
            self.annotation.propagation.stop()

    def _on_follow_view(self, follow: bool) -> None:
        if self.annotation is not None:
            self.annotation.follow_view = follow

    def _on_progress(self, annotation: Annotation, progress: Progress) -> None:
        if annotation is self.annotation:
            self.propagation.show_progress(progress)
            self.objects.count_frames()
            self._drawing.start()

    # ------------------------------------------------------------------ reviewing

    def _on_reviewed(self, annotation: Annotation) -> None:
        if annotation is self.annotation:
            self.objects.count_frames()
            self.review.refresh()
            self._drawing.start()

    def _on_doubt_wanted(self, doubt: Doubt) -> None:
        if self.annotation is not None:
            self.annotation.look_at(doubt.object_id, doubt.frame, self._canvas_context.size)

    def _on_place_picked(self, object_id: int, frame: int) -> None:
        if self.annotation is not None:
            self.annotation.look_at(object_id, frame)

    def _on_slider(self, event: Any = None) -> None:
        if self.annotation is not None:
            self.strip.show_frame(self.annotation.shown_frame)

    def _draw_strip(self) -> None:
        annotation = self.annotation
        self._strips.setVisible(annotation is not None and annotation.stack.plan.length > 1)
        if annotation is not None:
            session = annotation.session
            names = {one.id: one.name for one in session.objects.values()}
            states = states_of(session, annotation.reviewing.doubtful)
            self.strip.show_states(names, states, annotation.current)
            self.strip.show_frame(annotation.shown_frame)
            self._strips.setFixedHeight(min(self.strip.height() + 2, _STRIP_HEIGHT))

    # ------------------------------------------------------------------ showing

    def tell(self, sentence: str) -> None:
        """Show a sentence in the dock."""
        self.message.setText(sentence)

    def fail(self, error: BaseException) -> None:
        """Show an error: one sentence if the user can mend it, else with the details."""
        if isinstance(error, InputError):
            self.tell(str(error))
            show_error(str(error))
        else:
            self.tell(f"Something unexpected happened: {error}")
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _show(self, annotation: Annotation | None) -> None:
        self.annotation = annotation
        for panel in (self.objects, self.review, self.export):
            panel.show_annotation(annotation)
        self.propagation.show_nothing_yet()
        self.propagation.setVisible(annotation is None or annotation.stack.plan.length > 1)
        self.propagation.setEnabled(annotation is not None)
        if annotation is not None:
            annotation.follow_view = self.propagation.follow_view.isChecked()
            self.image.show_stack(annotation.stack)
            self.model.combo.setCurrentText(annotation.session.model_name)
        self._refresh()

    def _refresh(self) -> None:
        self.objects.refresh()
        self.review.refresh()
        self._drawing.start()
        annotation = self.annotation
        if annotation is None:
            self.propagation.show_running(False, False)
            self.history.show_names(None, None)
        else:
            self.propagation.show_running(annotation.propagation.running, annotation.propagation.can_continue)
            self.history.show_names(annotation.session.undo_name, annotation.session.redo_name)

    def _undo(self) -> None:
        if self.annotation is not None:
            self.annotation.undo()

    def _redo(self) -> None:
        if self.annotation is not None:
            self.annotation.redo()

    # ------------------------------------------------------------------ keys, and the end

    def _keys(self) -> dict[str, Callable[[], None]]:
        return {
            keys.NEW_OBJECT: self.objects.new.click,
            keys.EXCLUDE: self.objects.toggle_excluding,
            keys.TOOL: self.objects.next_tool,
            keys.PREVIOUS_OBJECT: lambda: self.objects.step(-1),
            keys.NEXT_OBJECT: lambda: self.objects.step(1),
            keys.PROPAGATE: self.propagation.start_or_stop,
            keys.RESUME: self.propagation.resume.click,
            keys.PREVIOUS_DOUBT: self.review.previous.click,
            keys.NEXT_DOUBT: self.review.next.click,
            keys.VERIFY: self.review.accept.click,
            keys.UNLOCK: self.review.unlock.click,
            keys.REDO_FROM_HERE: self.review.redo.click,
            keys.UNDO: self._undo,
            keys.REDO: self._redo,
        }

    def _bind_keys(self) -> None:
        for key, act in self._keys().items():
            self.viewer.bind_key(key, lambda _, act=act: act(), overwrite=True)

    def event(self, event: QEvent) -> bool:
        """Notice that the dock was opened, and that it was closed: its inner widget loses its parent then."""
        if event.type() == QEvent.Type.Show:
            self._canvas_context.find_window()
        elif event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut()
        return bool(super().event(event))

    def shut(self) -> None:
        """Stop all work and let go of the viewer; masks stay in their layers."""
        if self._closed:
            return
        self._closed = True
        self._give_up_opening()
        self._loading.close()
        for annotation in self._annotations.values():
            self._discard(annotation)
        self._annotations.clear()
        self._drawing.stop()
        self.viewer.dims.events.point.disconnect(self._on_slider)
        self._canvas_context.close()
        self.image.close_links()
        for key in self._keys():
            self.viewer.bind_key(key, None)
