"""The section that writes masks into a Labels layer of the user's."""

from magicgui.widgets import ComboBox
from napari import Viewer
from napari.layers import Labels
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.layers.label_target import Committed, commit_masks, empty_layer
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.form import form
from napari_plugin.widgets.heading import heading
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.remembered import remember_field
from napari_plugin.widgets.task_progress_row import TaskProgressRow
from sam2_engine import InputError

__all__ = ["CommitPanel"]


class CommitPanel(Panel):
    """Writes the masks into the selected Labels layer, or into a new one, as one step of that layer's undo.

    Parameters
    ----------
    viewer
        Whose selected layer is meant.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.selected = button(
            "Into the selected layer",
            "Write all masks into the Labels layer that is selected in the list of layers; with that layer "
            "selected, Ctrl+Z takes them back",
        )
        self.new = button("Into a new layer", "Write all masks into a Labels layer of their own")
        self.there = ComboBox(
            label="Labels there",
            choices=[("same number, same object", False), ("stay; add beside them", True)],
            tooltip="Either object 3 is label 3: what that was goes on the frames where the object is, and "
            "masks are written over other labels. Or all labels stay, masks are written only where none is, "
            "and their numbers go on above those that are there.",
        )
        remember_field(self.there, "labels_there")
        self.progress_row = TaskProgressRow(self.selected, self.new)
        row = QHBoxLayout()
        row.addWidget(self.selected)
        row.addWidget(self.new)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Masks into a Labels layer"))
        layout.addLayout(row)
        layout.addLayout(form(self.there))
        layout.addWidget(self.progress_row)
        self.selected.clicked.connect(self._on_selected)
        self.new.clicked.connect(self._on_new)
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Write the masks of another annotation."""
        super().show_annotation(annotation)
        self.progress_row.clear_if_closed()

    def _on_selected(self) -> None:
        annotation, layer = self.annotation, self._viewer.layers.selection.active
        if annotation is None:
            return
        if not isinstance(layer, Labels) or layer == annotation.masks.layer:
            self.failed.emit(
                InputError("Select a Labels layer of yours in the list of layers first, or take a new one.")
            )
        else:
            self._write(annotation, layer)

    def _on_new(self) -> None:
        if self.annotation is not None:
            self._write(self.annotation, empty_layer(self.annotation.stack, self.annotation.session))

    def _write(self, annotation: AnnotationController, layer: Labels) -> None:
        def found(committed: Committed) -> None:
            if layer not in self._viewer.layers:
                self._viewer.layers.append(layer)
            committed.write()
            self.status_message.emit(str(committed))

        steps = commit_masks(
            annotation.session, layer, annotation.stack, annotation.shown_frame, beside=self.there.value
        )
        self.progress_row.start(
            annotation,
            "Writing",
            steps,
            None,
            then=found,
            stopped=lambda: self.status_message.emit("Stopped; nothing was written."),
            failed=self.failed.emit,
        )
