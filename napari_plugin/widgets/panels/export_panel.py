"""The Export section: the session in any format, and where its folder is."""

from pathlib import Path

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.layers import in_words
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.file_dialogs import ask_where_to_save
from napari_plugin.widgets.form import form
from napari_plugin.widgets.heading import heading
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.remembered import remember_field
from napari_plugin.widgets.task_progress_row import TaskProgressRow
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.export.targets import ExportSummary

__all__ = ["ExportPanel"]

_EXPORT = "Write everything that is known of the objects, in this format"


class ExportPanel(Panel):
    """Every format that a session can be written in."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.format = ComboBox(
            choices=[(one.title, one) for one in FORMATS.values()],
            label="",
            tooltip="What is written; each format says in the end what it cannot hold",
        )
        self.format.native.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        remember_field(self.format, "export_format")
        self.save = button("Export…", _EXPORT)
        self.progress_row = TaskProgressRow(self.save)
        self.why_not, self.sizes, self.saved_in = QLabel(), QLabel(), QLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Export"))
        layout.addLayout(form(self.format))
        layout.addWidget(self.save)
        layout.addWidget(self.progress_row)
        for words in (self.why_not, self.sizes, self.saved_in):
            words.setWordWrap(True)
            layout.addWidget(words)
        self.saved_in.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout.addStretch()
        self.save.clicked.connect(self._on_save)
        self.format.changed.connect(self._show_obstacle)
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Export from an annotation, or offer nothing."""
        super().show_annotation(annotation)
        self.progress_row.clear_if_closed()
        if annotation is None:
            self.sizes.clear()
            self.saved_in.clear()
            return
        self.sizes.setText(
            f"Measured in {annotation.autosave.scale}, as the image layer or the session says."
        )

    def refresh(self) -> None:
        """Say where the session is, and which formats cannot hold it."""
        self._show_obstacles()
        if self.annotation is None:
            return
        folder, reason = self.annotation.folder, self.annotation.autosave.save_error
        if folder is not None:
            self.saved_in.setText(f"The session is saved in {folder.path}.")
        elif reason is not None:
            self.saved_in.setText(f"The session is not saved: {reason}")
        else:
            self.saved_in.setText("Nothing was done yet; the session is saved from the first click on.")

    def _show_obstacles(self) -> None:
        """Let formats that cannot be written be gray in the list, with the reason as their tooltip."""
        model, session = self.format.native.model(), self.annotation and self.annotation.session
        for row, one in enumerate(FORMATS.values()):
            reason = one.why_not(session) if session else None
            item = model.item(row)
            item.setEnabled(reason is None)
            item.setToolTip(reason or one.title)
        self._show_obstacle()

    def _show_obstacle(self) -> None:
        reason = self.format.value.why_not(self.annotation.session) if self.annotation else None
        self.progress_row.allow(reason is None)
        self.save.setToolTip(reason or _EXPORT)
        self.why_not.setText(reason or "")
        self.why_not.setVisible(reason is not None)

    def _on_save(self) -> None:
        assert self.annotation is not None
        path = ask_where_to_save(self, self.annotation, self.format.value)
        if path is not None:
            self.write(path)

    def write(self, path: Path) -> None:
        """Write in the chosen format, frame by frame on the worker's thread; the dialog has asked already."""
        assert self.annotation is not None
        session, scale = self.annotation.session, self.annotation.autosave.scale
        left_out = _left_out(self.annotation)

        def written(summary: ExportSummary) -> None:
            self.status_message.emit(" ".join((f"Exported {summary.path}.", *summary.changes, *left_out)))

        self.progress_row.start(
            self.annotation,
            "Exporting",
            self.format.value.steps(session, path, scale, True),
            len(session),
            then=written,
            stopped=lambda: self.status_message.emit("Exporting was stopped; nothing was left behind."),
            failed=self.failed.emit,
        )


def _left_out(annotation: AnnotationController) -> list[str]:
    """Say that there are other places in the image, each with a session of its own."""
    places = annotation.stack.fixed
    if not places:
        return []
    return [
        f"These are the objects {in_words(places)}; for the masks of all places, select the layer "
        f"'{annotation.masks.layer.name}' ▸ File ▸ Save Selected Layers…"
    ]
