"""The dock: the panels that choose an image, show its annotation, and act on it."""

from collections.abc import Callable
from typing import Any

from napari import Viewer
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QDockWidget, QLabel, QLineEdit, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.guide import next_step
from napari_plugin.annotation.model_changes import use_model
from napari_plugin.runtime.application import Sam2Application, sam2_application
from napari_plugin.runtime.canvas_context import CanvasContext
from napari_plugin.widgets import keys
from napari_plugin.widgets.buttons import Button
from napari_plugin.widgets.foldable import Foldable
from napari_plugin.widgets.help_dialog import HelpDialog
from napari_plugin.widgets.opened_images import OpenedImages
from napari_plugin.widgets.panels.automatic_panel import AutomaticPanel
from napari_plugin.widgets.panels.carry_panel import CarryPanel
from napari_plugin.widgets.panels.commit_panel import CommitPanel
from napari_plugin.widgets.panels.contrast_panel import ContrastPanel
from napari_plugin.widgets.panels.everything_panel import EverythingPanel
from napari_plugin.widgets.panels.export_panel import ExportPanel
from napari_plugin.widgets.panels.image_panel import ImagePanel
from napari_plugin.widgets.panels.import_panel import ImportPanel
from napari_plugin.widgets.panels.measure_panel import MeasurePanel
from napari_plugin.widgets.panels.model_panel import ModelPanel
from napari_plugin.widgets.panels.object_panel import ObjectPanel
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.panels.propagation_panel import PropagationPanel
from napari_plugin.widgets.panels.review_panel import ReviewPanel
from napari_plugin.widgets.panels.strip_panel import StripPanel
from napari_plugin.widgets.training_dialog import TrainingDialog
from napari_plugin.widgets.undo_row import UndoRow
from napari_plugin.widgets.vertical_scroll import VerticalScroll
from sam2_engine import InputError
from sam2_plugins.review import ReviewItem
from sam2_plugins.runtime.jobs import Progress
from sam2_plugins.runtime.out_of_memory import OutOfMemoryError

__all__ = ["AnnotationDock", "dock_of"]

_LEAST_HEIGHT = 240
"""Of what scrolls, in pixels: the dock fits on the screen of a laptop."""
_LEAST_PAGE = 150
"""Of a tab's page."""
_MESSAGE_HEIGHT = 72
"""Of the last line at most: longer messages scroll."""


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
        earlier = dock_of(napari_viewer)
        if earlier is not None:  # two would fight for the keys and the sessions
            napari_viewer.window.remove_dock_widget(earlier)
        self.viewer = napari_viewer
        self._application = application or sam2_application()
        self._closed = False
        self._canvas_context = CanvasContext(napari_viewer, self)
        self.image = ImagePanel(napari_viewer)
        self.contrast = ContrastPanel()
        self.model = ModelPanel(self._application)
        self.images = OpenedImages(napari_viewer, self._application, self.image, self.model, self)
        self.objects = ObjectPanel()
        self.propagation = PropagationPanel()
        self.carry = CarryPanel(self._application)
        self.automatic = AutomaticPanel(napari_viewer, self._application.store)
        self.everything = EverythingPanel()
        self.review = ReviewPanel()
        self.measure = MeasurePanel()
        self.importing = ImportPanel(napari_viewer)
        self.commit = CommitPanel(napari_viewer)
        self.export = ExportPanel()
        self.strips = StripPanel()
        self.history = UndoRow()
        self.tabs = _tabs(
            {
                "Annotate": (self.objects, self.propagation, self.carry),
                "Find": (self.automatic, self.everything),
                "Review": (self.review,),
                "Measure": (self.measure,),
                "Files": (self.importing, self.commit, self.export),
            }
        )
        self.panels: tuple[Panel, ...] = (
            self.contrast,
            self.objects,
            self.propagation,
            self.carry,
            self.automatic,
            self.everything,
            self.review,
            self.measure,
            self.importing,
            self.commit,
            self.export,
            self.strips,
            self.history,
        )
        self.setup = Foldable("Set-up", self.image, self.contrast, self.model)
        self.message = _message_line()
        self._shows_error = self._shows_hint = False
        self._lay_out()
        self.training = TrainingDialog(self._application, self)
        self.help = HelpDialog(self)
        self.history.help_wanted.connect(self.help.show)
        self._connect()
        self._bind_keys()
        self._show(None)
        self.images.open_likely_image()

    def _lay_out(self) -> None:
        column = QWidget()
        scrolling = QVBoxLayout(column)
        scrolling.setContentsMargins(0, 0, 4, 0)
        scrolling.addWidget(self.setup)
        scrolling.addWidget(self.tabs, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(VerticalScroll(column, _LEAST_HEIGHT), 1)
        for widget in (self.strips, self.history, VerticalScroll(self.message, 0, _MESSAGE_HEIGHT)):
            layout.addWidget(widget)

    def _connect(self) -> None:
        self.training.weights_accepted.connect(self._on_new_weights)
        self.model.training_wanted.connect(self.fine_tune)
        for one in (self.model, self.training):
            one.failed.connect(self.show_failure)
        sources: tuple[OpenedImages | Panel, ...] = (self.images, *self.panels)
        for source in sources:
            source.status_message.connect(self.show_message)
            source.failed.connect(self.show_failure)
        for asking in (self.contrast.prompt_bar.asked, self.model.prompt_bar.asked, self.image.place_offered):
            asking.connect(self.setup.unfold)
        for field in self.findChildren(QLineEdit):  # those of spin boxes, too
            field.returnPressed.connect(self._canvas_context.focus)
        self.images.hinted.connect(self.show_hint)
        self.images.warned.connect(self.show_warning)
        self.images.edited.connect(self._clear_warning)
        self.images.shown.connect(self._show)
        self.images.changed.connect(self._refresh)
        self.images.progressed.connect(self._show_progress)
        self.review.item_chosen.connect(self._on_review_item_chosen)
        self.carry.carried.connect(self.images.show_place)
        self.viewer.dims.events.point.connect(self._on_slider)

    @property
    def annotation(self) -> AnnotationController | None:
        """What is being annotated."""
        return self.images.annotation

    # ------------------------------------------------------------------ showing

    def show_message(self, sentence: str) -> None:
        """Show a sentence in the dock."""
        self._shows_error = self._shows_hint = False
        self.message.setText(sentence)
        self.help.note(sentence)

    def show_hint(self, sentence: str) -> None:
        """Show what to do next, unless an error stands there that has not been read yet."""
        if not self._shows_error:
            self.message.setText(sentence)
            self._shows_hint = True

    def show_warning(self, sentence: str) -> None:
        """Show what went wrong, until something works."""
        self.show_message(sentence)
        self._shows_error = True

    def _clear_warning(self) -> None:
        if self._shows_error:
            self.show_message("")

    def show_failure(self, error: BaseException) -> None:
        """Show an error: one sentence if the user can act on it, else with the details."""
        if isinstance(error, InputError):
            self.show_message(str(error))
            show_error(str(error))
            if isinstance(error, OutOfMemoryError):
                self.model.offer_cpu(error)
        else:
            self.show_message(f"Something unexpected happened: {error}")
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self._shows_error = True

    def _show(self, annotation: AnnotationController | None) -> None:
        self.setup.unfold(annotation is None)  # what is needed once takes no room afterwards
        for panel in self.panels:
            panel.show_annotation(annotation)
        self._refresh()

    def _refresh(self) -> None:
        if self.annotation is not None:
            stack, session = self.annotation.stack, self.annotation.session
            self.setup.summarize(f"{stack.layer.name} · {stack.dims} · {session.model_name}")
            if self._shows_hint or not self.message.text():
                self.show_hint(next_step(self.annotation))
        for panel in self.panels:
            panel.refresh()

    def _show_progress(self, progress: Progress) -> None:
        for panel in self.panels:
            panel.show_progress(progress)

    def _on_slider(self, event: Any) -> None:
        if self.annotation is not None:
            for panel in self.panels:
                panel.show_frame(self.annotation.shown_frame)

    def _on_review_item_chosen(self, item: ReviewItem) -> None:
        if self.annotation is not None:
            self.annotation.go_to(item.object_id, item.frame, self._canvas_context.size)

    # ------------------------------------------------------------------ fine-tuning

    def fine_tune(self) -> None:
        """Open the dialog that trains on the session of the chosen image."""
        if self.annotation is None:
            self.show_message("Open an image first: a model is fine-tuned on what was annotated in it.")
        else:
            self.training.show_for(self.annotation)

    def _on_new_weights(self, annotation: AnnotationController, model: str) -> None:
        if annotation is self.annotation:
            self.model.choose(model)
        elif not annotation.closed:
            use_model(annotation, model)

    # ------------------------------------------------------------------ keys, and the end

    def _press(self, one: Button) -> Callable[[], None]:
        """Return what a key does: what its button does, or say why that is gray."""

        def pressed() -> None:
            if one.isEnabled():
                one.click()
            elif one.lacking:
                self.show_message(f"{one.lacking}.")

        return pressed

    def _keys(self) -> dict[str, Callable[[], None]]:
        return {
            keys.NEW_OBJECT: self.objects.new.click,
            keys.EXCLUDE: self.objects.toggle_excluding,
            keys.TOOL: self.objects.next_tool,
            keys.PREVIOUS_OBJECT: lambda: self.objects.step(-1),
            keys.NEXT_OBJECT: lambda: self.objects.step(1),
            keys.PROPAGATE: self.propagation.start_or_stop,
            keys.RESUME: self.propagation.continue_tracking,
            keys.PREVIOUS_DOUBT: self._press(self.review.previous),
            keys.NEXT_DOUBT: self._press(self.review.next),
            keys.VERIFY: self._press(self.review.verify),
            keys.UNVERIFY: self._press(self.review.unverify),
            keys.PROPAGATE_FROM_SHOWN: self._press(self.review.propagate),
            keys.UNDO: self.history.undo_last,
            keys.REDO: self.history.redo_last,
        }

    def _bind_keys(self) -> None:
        self._bound = [keys.key_of(action) for action in self._keys()]
        for key, act in zip(self._bound, self._keys().values()):
            self.viewer.bind_key(key, lambda _, act=act: act(), overwrite=True)

    def event(self, event: QEvent) -> bool:
        """Notice that the dock was opened, and that it was closed: its inner widget loses its parent then."""
        if event.type() == QEvent.Type.Show:
            self._canvas_context.find_window()
        elif event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        return bool(super().event(event))

    def show_in_window(self) -> None:
        """Show the dock, wherever it is hidden in the window."""
        holder = self.parentWidget()
        if isinstance(holder, QDockWidget):
            holder.show()
            holder.raise_()

    def release(self) -> None:
        """Stop all work and release the viewer; masks stay in their layers."""
        if self._closed:
            return
        self._closed = True
        self.training.release()
        self.images.close()
        self._show(None)
        self.viewer.dims.events.point.disconnect(self._on_slider)
        self._canvas_context.close()
        self.image.disconnect_viewer()
        self.automatic.disconnect_viewer()
        for key in self._bound:
            self.viewer.bind_key(key, None)


def dock_of(viewer: Viewer) -> AnnotationDock | None:
    """Return the dock in a viewer's window, if there is one."""
    docked = viewer.window.dock_widgets.values()
    return next((one for one in docked if isinstance(one, AnnotationDock)), None)


def _message_line() -> QLabel:
    line = QLabel()
    line.setWordWrap(True)
    policy = line.sizePolicy()  # as high as its lines need, and no more
    policy.setHorizontalPolicy(QSizePolicy.Policy.Ignored)
    policy.setVerticalPolicy(QSizePolicy.Policy.Ignored)
    line.setSizePolicy(policy)
    return line


def _tabs(pages: dict[str, tuple[Panel, ...]]) -> QTabWidget:
    """Return tabs by name; the first panel of each takes the room that is left."""
    tabs = QTabWidget()
    tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
    tabs.tabBar().setFocusPolicy(Qt.FocusPolicy.NoFocus)
    for name, panels in pages.items():
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(4, 0, 4, 4)
        for number, panel in enumerate(panels):
            column.addWidget(panel, int(number == 0))
        scroll = VerticalScroll(page, _LEAST_PAGE)
        scroll.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)  # what is left
        tabs.addTab(scroll, name)
    return tabs
