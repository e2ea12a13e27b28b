"""The Import section: masks of another tool as objects, from a layer, a file or a folder."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox, ComboBox
from napari import Viewer
from napari.layers import Labels, Layer, Points, Shapes
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.layers import Tool
from napari_plugin.layers.label_source import labels_for
from napari_plugin.layers.prompts.prompt_source import prompts_in_layer
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.file_dialogs import ask_for_file, ask_for_folder
from napari_plugin.widgets.form import form
from napari_plugin.widgets.heading import heading
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.remembered import remember_field
from napari_plugin.widgets.task_progress_row import TaskProgressRow
from sam2_engine import InputError
from sam2_engine.wording import counted
from sam2_plugins.importing.masks import ImportSummary, import_masks, open_masks
from sam2_plugins.importing.prompts import place_masks, place_prompts

__all__ = ["ImportPanel"]

_KINDS = [
    ("what they look like", None),
    ("to track from", True),
    ("finished", False),
]
_ENDINGS = "Label images, COCO (*.tif *.tiff *.png *.json);;All files (*)"


class ImportPanel(Panel):
    """Imports masks with their ids; a single label image goes to the shown frame.

    Parameters
    ----------
    viewer
        Whose selected layer is meant.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer = button(
            "From the selected layer",
            "What is selected in the list of layers: labels, with their ids; points as clicks; shapes: "
            "rectangles as boxes, others as masks (all as masks where they count as finished). Each point or "
            "shape is an object of its own, unless its features have a column 'object'.",
        )
        self.file = button("From a file…", "Label images (TIFF, OME-TIFF, PNG) or COCO run lengths")
        self.folder = button(
            "From a folder…", "Cell Tracking Challenge, OME-Zarr, or a folder of label images"
        )
        self.kind = ComboBox(
            label="Count as",
            choices=_KINDS,
            tooltip="Objects are tracked from them as from what you click or paint; or they are finished, "
            "there to be corrected. Masks on one frame, or with gaps between, look as if to track from.",
        )
        self.verify = CheckBox(
            text="verify them",
            tooltip="Count the masks as right: objects are tracked from them, nothing changes them",
        )
        remember_field(self.kind, "count_as")  # not what counts as verified: that is said each time
        self.progress_row = TaskProgressRow(self.layer, self.file, self.folder)
        grid = QGridLayout()
        grid.addWidget(self.layer, 0, 0, 1, 2)
        grid.addWidget(self.file, 1, 0)
        grid.addWidget(self.folder, 1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Import masks of another tool"))
        layout.addLayout(grid)
        layout.addLayout(form(self.kind, self.verify))
        layout.addWidget(self.progress_row)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.layer.clicked.connect(self._on_layer)
        self.file.clicked.connect(self._on_file)
        self.folder.clicked.connect(self._on_folder)
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Import into another annotation."""
        super().show_annotation(annotation)
        self.progress_row.clear_if_closed()

    def start(self, source: Any, name: str, layer: Layer | None = None) -> None:
        """Import what ``open_masks`` opens; a layer that it comes from is hidden then."""
        annotation, verify = self.annotation, self.verify.value
        if annotation is None:
            return
        session, shown = annotation.session, annotation.shown_frame
        as_prompts = self.kind.value

        def steps() -> Generator[int, None, ImportSummary]:
            with open_masks(source, session.shape, len(session), frame=shown) as masks:
                return (yield from import_masks.steps(session, masks, verify=verify, as_prompts=as_prompts))

        def imported(summary: ImportSummary) -> None:
            if layer is not None:
                layer.visible = False
            self._show(annotation)
            self.status_message.emit(f"Imported from {name}: {summary}")

        def stopped() -> None:
            self._show(annotation)
            self.status_message.emit("Stopped; what was imported already stays, and can be undone.")

        self.progress_row.start(
            annotation, "Importing", steps(), 2 * len(session), imported, stopped, self.failed.emit
        )

    def _start_prompts(self, annotation: AnnotationController, layer: Points | Shapes) -> None:
        """Give each object of a Points or Shapes layer its clicks, box or mask; the layer is hidden then."""
        session, verify, as_masks = annotation.session, self.verify.value, self.kind.value is False
        placed = prompts_in_layer(
            layer, annotation.stack, self._viewer, session.annotations.next_id, as_masks or verify
        )

        def placed_all(count: int) -> None:
            layer.visible = False
            self._show(annotation)
            what = "masks" if as_masks or verify else "clicks, boxes or masks"
            objects = counted(count, "object")
            self.status_message.emit(f"Imported from layer '{layer.name}': {what} of {objects}.")

        def stopped() -> None:
            self._show(annotation)
            self.status_message.emit("Stopped; what was imported already stays, and can be undone.")

        steps = (
            place_masks(session, placed, verify)
            if as_masks or verify
            else place_prompts.steps(session, placed)
        )
        self.progress_row.start(
            annotation, "Importing", steps, len(placed), placed_all, stopped, self.failed.emit
        )

    def _show(self, annotation: AnnotationController) -> None:
        annotation.edit(lambda _: None)  # all layers show what is known now
        annotation.tools.use(Tool.CLICK)

    def _on_layer(self) -> None:
        annotation, layer = self.annotation, self._viewer.layers.selection.active
        if annotation is None:
            return
        try:
            prompts = (annotation.prompts.points, annotation.prompts.boxes)
            if not isinstance(layer, Labels | Points | Shapes) or layer in prompts:
                raise InputError("Select a Labels, Points or Shapes layer in the list of layers first.")
            if layer == annotation.masks.layer:
                raise InputError("These are the objects themselves; select the labels of another tool.")
            if isinstance(layer, Labels):
                self.start(labels_for(layer, annotation.stack), f"layer '{layer.name}'", layer)
            else:
                self._start_prompts(annotation, layer)
        except InputError as error:
            self.failed.emit(error)

    def _on_file(self) -> None:
        path = ask_for_file(self, "masks", "Masks of another tool", _ENDINGS, self._near())
        if path is not None:
            self.start(path, str(path))

    def _on_folder(self) -> None:
        path = ask_for_folder(self, "masks", "Masks of another tool", self._near())
        if path is not None:
            self.start(path, str(path))

    def _near(self) -> Path | None:
        """Return the folder of the image, if it is a file."""
        file = None if self.annotation is None else self.annotation.stack.file
        return None if file is None else file.parent
