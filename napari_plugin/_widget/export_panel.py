"""What can be written from a session, in which format, and where the session itself is kept."""

from collections.abc import Generator
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_plugin._widget.buttons import button
from napari_plugin._widget.panel import Panel
from napari_plugin.annotation import Annotation
from sam2_plugins.export.formats import FORMATS, ExportFormat
from sam2_plugins.export.targets import ExportSummary
from sam2_plugins.physical_scale import PhysicalScale

__all__ = ["ExportPanel"]


class ExportPanel(Panel):
    """Every format that a session can be written in."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.formats = QComboBox()
        self.formats.addItems([one.title for one in FORMATS.values()])
        self.formats.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.save = button("Save…", "Write everything that is known of the objects, in this format")
        self.sizes, self.kept = QLabel(), QLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.formats)
        layout.addWidget(self.save)
        for words in (self.sizes, self.kept):
            words.setWordWrap(True)
            layout.addWidget(words)
        self.kept.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout.addStretch()
        self.save.clicked.connect(self._on_save)
        self.show_annotation(None)

    @property
    def chosen(self) -> ExportFormat:
        """The chosen format."""
        return tuple(FORMATS.values())[int(self.formats.currentIndex())]

    def show_annotation(self, annotation: Annotation | None) -> None:
        """Export from an annotation, or offer nothing."""
        super().show_annotation(annotation)
        if annotation is None:
            self.sizes.clear()
            self.kept.clear()
            return
        self.sizes.setText(
            f"Measured in {_in_words(annotation.stack.physical_scale)}, as the image layer says."
        )
        folder = annotation.folder
        self.kept.setText(
            "The session is not kept on disk." if folder is None else f"The session is kept in {folder.path}."
        )

    def _on_save(self) -> None:
        assert self.annotation is not None
        chosen = self.chosen
        name = f"{self.annotation.stack.layer.name} {chosen.name}{chosen.suffix}"
        folder = self.annotation.folder
        proposed = str(folder.path.parent / name) if folder is not None else name
        endings = "" if chosen.is_folder else f"{chosen.title} (*{chosen.suffix})"
        picked, _ = QFileDialog.getSaveFileName(self, f"Save: {chosen.title}", proposed, endings)
        if picked:
            path = Path(picked)
            missing = chosen.suffix and not path.name.lower().endswith(chosen.suffix)
            self.write(path.with_name(path.name + chosen.suffix) if missing else path)

    def write(self, path: Path) -> None:
        """Write in the chosen format, frame by frame on the worker's thread; the dialog has asked already."""
        annotation = self.annotation
        assert annotation is not None
        session, scale, total = annotation.session, annotation.stack.physical_scale, len(annotation.session)
        chosen, summaries = self.chosen, list[ExportSummary]()

        def steps() -> Generator[int, None, None]:
            summaries.append((yield from chosen.write(session, path, scale, True)))

        self.save.setEnabled(False)
        annotation.run_steps(
            steps(),
            on_step=lambda frame: self.told.emit(f"Writing frame {frame + 1} of {total} …"),
            then=lambda _: self._end(summaries),
            failed=self._fail,
        )

    def _end(self, summaries: list[ExportSummary]) -> None:
        self.save.setEnabled(True)
        if summaries:  # none if it was stopped
            (summary,) = summaries
            self.told.emit(" ".join((f"Saved {summary.path}.", *summary.changes)))

    def _fail(self, error: BaseException) -> None:
        self.save.setEnabled(True)
        self.failed.emit(error)


def _in_words(scale: PhysicalScale) -> str:
    height, width = scale.pixel_size
    size = f"{width:g}" if height == width else f"{height:g} × {width:g}"
    return f"pixels of {size} {scale.unit}" if scale.is_physical else "pixels"
