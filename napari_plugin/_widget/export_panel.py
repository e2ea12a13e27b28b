"""What can be written from a session."""

from collections.abc import Iterator
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_plugin._widget.buttons import button
from napari_plugin.annotation import Annotation
from sam2_plugins.export.label_tiff import write_label_tiff

__all__ = ["ExportPanel"]


class ExportPanel(QWidget):
    """Files to save.

    Attributes
    ----------
    told, failed
        Emitted with a sentence, or an error, for the user.
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._annotation: Annotation | None = None
        self.tiff = button("Save label stack as TIFF…", "One number per object, 0 for background")
        words = QLabel("For Fiji, scikit-image, TrackMate, CellProfiler: one number per object, 0 outside.")
        words.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tiff)
        layout.addWidget(words)
        layout.addStretch()
        self.tiff.clicked.connect(self._on_tiff)
        self.show_annotation(None)

    def show_annotation(self, annotation: Annotation | None) -> None:
        """Export from an annotation, or offer nothing."""
        self._annotation = annotation
        self.setEnabled(annotation is not None)

    def _on_tiff(self) -> None:
        assert self._annotation is not None
        proposed = f"{self._annotation.masks.layer.name}.tif"
        chosen, _ = QFileDialog.getSaveFileName(self, "Save label stack", proposed, "TIFF (*.tif *.tiff)")
        if chosen:
            path = Path(chosen)
            self.save_tiff(path if path.suffix else path.with_suffix(".tif"))

    def save_tiff(self, path: Path) -> None:
        """Write the label stack frame by frame on the worker's thread; an existing file is replaced."""
        annotation = self._annotation
        assert annotation is not None
        total = len(annotation.session)

        def steps() -> Iterator[int]:
            yield from write_label_tiff(annotation.session, path, overwrite=True)  # the dialog has asked

        self.tiff.setEnabled(False)
        annotation.run_steps(
            steps(),
            on_step=lambda frame: self.told.emit(f"Writing frame {frame + 1} of {total} …"),
            then=lambda _: self._end(f"Saved {path}."),
            failed=self._fail,
        )

    def _end(self, sentence: str) -> None:
        self.tiff.setEnabled(True)
        self.told.emit(sentence)

    def _fail(self, error: BaseException) -> None:
        self.tiff.setEnabled(True)
        self.failed.emit(error)
