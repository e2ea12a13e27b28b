"""The Measure tab: measurements of all objects, computed on demand, shown and saved."""

from collections.abc import Generator
from pathlib import Path

from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.file_dialogs import ask_where_to_save
from napari_plugin.widgets.measurement_table import EMPTY_TABLE, MeasurementView
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.task_progress_row import TaskProgressRow
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.measure import MeasurementTable, measure
from sam2_plugins.session.history import Action
from sam2_plugins.session.readable import known_by_frame

__all__ = ["MeasurePanel"]


class MeasurePanel(Panel):
    """A table and a plot of what was measured last; a row is the object and frame that the viewer shows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: MeasurementTable | None = None
        self._outdated = False
        self._jumping = False
        self.measure = button("Measure", "Areas, positions, shapes, intensities and speeds of all masks")
        self.save = button("Export CSV…", "Write this table to a file")
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.progress_row = TaskProgressRow(self.measure)
        self.view = MeasurementView()
        grid = QGridLayout()
        grid.addWidget(self.measure, 0, 0)
        grid.addWidget(self.save, 0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.progress_row)
        layout.addWidget(self.state)
        layout.addWidget(self.view, 1)
        self.measure.clicked.connect(self._on_measure)
        self.save.clicked.connect(self._on_save)
        self.view.picked.connect(self._on_picked)
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Begin with an empty table for another annotation."""
        if annotation is not self.annotation:
            if self.annotation is not None:
                self.annotation.session.history.unsubscribe(self._on_action)
            if annotation is not None:
                annotation.session.history.subscribe(self._on_action)
            self._show_table(None)
        self.progress_row.clear_if_closed()
        super().show_annotation(annotation)

    def refresh(self) -> None:
        """Show what is current in the table, and whether the table is."""
        self.save.setEnabled(self._table is not None)
        self.state.setText(self._words())
        if self.annotation is not None:
            self.show_frame(self.annotation.shown_frame)

    def show_frame(self, frame: int) -> None:
        """Go along in the table."""
        if self.annotation is not None and self.isVisible() and not self._jumping:
            self.view.choose(self.annotation.current, frame)

    def _words(self) -> str:
        if self.annotation is None or self._table is None:
            return "One row for every object and frame, in the units of the image layer."
        measured = f"Measured in {self.annotation.autosave.scale}."
        return f"{measured} Something has changed since: measure again." if self._outdated else measured

    def _on_action(self, action: Action) -> None:
        self._outdated = True  # from whichever thread; the annotation emits that it changed

    def _on_measure(self) -> None:
        annotation = self.annotation
        if annotation is None:
            return
        session, scale = annotation.session, annotation.autosave.scale

        def measured(table: MeasurementTable) -> None:
            if annotation is self.annotation:
                self._show_table(table)
                self.refresh()

        def steps() -> Generator[object, None, MeasurementTable]:
            self._outdated = False
            return (yield from measure.steps(session, scale))

        self.progress_row.start(
            annotation,
            "Measuring",
            steps(),
            len(known_by_frame(session)),
            measured,
            lambda: self.status_message.emit("Measuring was stopped."),
            self.failed.emit,
        )

    def _show_table(self, table: MeasurementTable | None) -> None:
        self._table = table
        objects = {} if self.annotation is None else self.annotation.session.objects
        self.view.show_table(table or EMPTY_TABLE, objects)

    def _on_picked(self, object_id: int, frame: int) -> None:
        if self.annotation is not None:
            self.view.choose(object_id, frame)
            self._jumping = True  # the table is there already
            self.annotation.go_to(object_id, frame)
            self._jumping = False

    def _on_save(self) -> None:
        if self.annotation is not None:
            path = ask_where_to_save(self, self.annotation, FORMATS["csv"])
            if path is not None:
                self.write(path)

    def write(self, path: Path) -> None:
        """Write the table; the dialog has asked already."""
        annotation, table = self.annotation, self._table
        if annotation is None or table is None:
            return

        def steps() -> Generator[None, None, None]:
            table.write_csv(path, overwrite=True)
            yield

        annotation.run_steps(
            steps(), lambda _: None, lambda _: self.status_message.emit(f"Exported {path}."), self.failed.emit
        )
