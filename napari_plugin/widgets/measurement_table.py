"""The table of measurements, and a plot of one of its columns over time."""

from collections.abc import Iterable, Mapping
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_plugin.widgets.line_plot import LinePlot
from sam2_plugins.measure import Column, MeasurementTable
from sam2_plugins.session.annotations import AnnotatedObject

__all__ = ["EMPTY_TABLE", "MeasurementModel", "MeasurementView"]

EMPTY_TABLE = MeasurementTable((Column("frame", "", ()),))
"""Where nothing was measured yet."""

_DISPLAY = Qt.ItemDataRole.DisplayRole
_NOT_PLOTTED = {"frame", "time", "z", "object_id"}
_FIRST_PLOTTED = "area"
_MEASURED_ROWS = 50  # are measured for the width of a column


class MeasurementModel(QAbstractTableModel):
    """A ``MeasurementTable`` for Qt, sorted by any of its columns; rows without a value come last."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = EMPTY_TABLE
        self._rows: list[int] = []
        self._row_of: dict[tuple[int, int], int] = {}

    def show_table(self, table: MeasurementTable) -> None:
        """Show another table, in its own order."""
        self.beginResetModel()
        self.table = table
        self._order(range(len(table)))
        self.endResetModel()

    def place_of(self, row: int) -> tuple[int, int]:
        """Return the object id and frame of a row as it is shown."""
        number = self._rows[row]
        return self._whole("object_id", number), self._whole("frame", number)

    def row_of(self, object_id: int, frame: int) -> int | None:
        """Return where an object's row of a frame is shown."""
        return self._row_of.get((object_id, frame))

    def _order(self, rows: Iterable[int]) -> None:
        self._rows = list(rows)
        self._row_of = {self.place_of(row): row for row in range(len(self._rows))}

    def _whole(self, name: str, number: int) -> int:
        value = self.table[name][number]
        assert isinstance(value, int)
        return value

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return how many objects and frames there are."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return how many measurements there are."""
        return 0 if parent is not None and parent.isValid() else len(self.table.columns)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = _DISPLAY
    ) -> str | None:
        """Return a measurement's name and unit."""
        if role != _DISPLAY or orientation != Qt.Orientation.Horizontal:
            return None
        return self.table.columns[section].header.replace("_", " ")

    def data(self, index: QModelIndex, role: int = _DISPLAY) -> Any:
        """Return a value as people read it, and numbers to the right."""
        value = self.table.columns[index.column()].values[self._rows[index.row()]]
        if role == _DISPLAY:
            return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
        if role == Qt.ItemDataRole.TextAlignmentRole and isinstance(value, int | float):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; rows with equal values keep their order."""
        if not 0 <= column < len(self.table.columns):
            return
        values = self.table.columns[column].values
        down = order == Qt.SortOrder.DescendingOrder
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        numbers = [self._rows[index.row()] for index in before]
        known = [number for number in self._rows if values[number] is not None]
        unknown = [number for number in self._rows if values[number] is None]
        known.sort(key=lambda number: values[number], reverse=down)  # type: ignore[arg-type,return-value]
        self._order(known + unknown)
        places = {number: row for row, number in enumerate(self._rows)}
        after = [self.index(places[number], index.column()) for number, index in zip(numbers, before)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()


class MeasurementView(QWidget):
    """The table, and below it one column of the chosen row's object over time.

    Attributes
    ----------
    picked
        Emitted with object id and frame when a row, or a place in the plot, is clicked.
    """

    picked = Signal(object, int)  # an id may have 32 bits, which Qt's own integers do not hold

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colors: dict[int, str] = {}
        self._plotted: list[tuple[int, int]] = []
        self.model = MeasurementModel(self)
        self.view = _table_view(self.model)
        self.column = QComboBox()
        self.column.setToolTip("The measurement that is drawn over time")
        self.column.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.column.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.title = QElidingLabel()
        self.plot = LinePlot()
        below, row = QWidget(), QHBoxLayout()
        row.addWidget(self.column)
        row.addWidget(self.title, 1)
        under = QVBoxLayout(below)
        under.setContentsMargins(0, 0, 0, 0)
        under.addLayout(row)
        under.addWidget(self.plot, 1)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.view)
        splitter.addWidget(below)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter)
        self.view.clicked.connect(lambda index: self.picked.emit(*self.model.place_of(index.row())))
        self.view.selectionModel().currentRowChanged.connect(lambda *_: self._draw())
        self.column.currentIndexChanged.connect(lambda _: self._draw())
        self.plot.picked.connect(lambda index: self.picked.emit(*self._plotted[index]))

    def show_table(self, table: MeasurementTable, objects: Mapping[int, AnnotatedObject]) -> None:
        """Show measurements; ``objects`` give the colors. Sorting, choice and drawn column stay.

        A column in which nothing is known, as that of classes where there are none, is hidden.
        """
        chosen, drawn = self.chosen, self.column.currentData() or _FIRST_PLOTTED
        header = self.view.horizontalHeader()
        sorted_by, order = header.sortIndicatorSection(), header.sortIndicatorOrder()
        self._colors = {i: "#{:02x}{:02x}{:02x}".format(*one.color) for i, one in objects.items()}
        self.model.show_table(table)
        self.model.sort(sorted_by, order)
        for number, column in enumerate(table.columns):
            self.view.setColumnHidden(number, all(value is None for value in column.values))
        self.view.resizeColumnsToContents()
        self._offer_columns(drawn)
        row = None if chosen is None else self.model.row_of(*chosen)
        if len(table):
            self.view.selectRow(row or 0)
        self._draw()

    @property
    def chosen(self) -> tuple[int, int] | None:
        """Object id and frame of the chosen row."""
        index = self.view.currentIndex()
        return self.model.place_of(index.row()) if index.isValid() else None

    def choose(self, object_id: int, frame: int) -> None:
        """Choose an object's row of a frame, if there is one."""
        row = self.model.row_of(object_id, frame)
        if row is not None and row != self.view.currentIndex().row():
            self.view.selectRow(row)

    def _offer_columns(self, drawn: str) -> None:
        self.column.blockSignals(True)
        self.column.clear()
        for column in self.model.table.columns:
            numbers = any(isinstance(value, int | float) for value in column.values)
            if numbers and column.name not in _NOT_PLOTTED:
                self.column.addItem(column.header.replace("_", " "), column.name)
        self.column.setCurrentIndex(max(self.column.findData(drawn), 0))
        self.column.blockSignals(False)

    def _draw(self) -> None:
        """Draw the column over time for the object of the chosen row."""
        chosen, name, table = self.chosen, self.column.currentData(), self.model.table
        if chosen is None or name is None:
            self._plotted = []
            self.title.setText("")
            self.plot.show_values([], [])
            return
        object_id = chosen[0]
        along, measured = table.columns[1], next(one for one in table.columns if one.name == name)
        rows = [number for number, owner in enumerate(table["object_id"]) if owner == object_id]
        self._plotted = [(object_id, int(table["frame"][number])) for number in rows]  # type: ignore[arg-type]
        self.title.setText(str(table["name"][rows[0]]))
        self.plot.show_values(
            [along.values[number] for number in rows],  # type: ignore[misc]
            [measured.values[number] for number in rows],  # type: ignore[misc]
            (along.header, measured.header.replace("_", " ")),
            self._colors.get(object_id, "white"),
        )
        self.plot.mark(self._plotted.index(chosen))


def _table_view(model: MeasurementModel) -> QTableView:
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.horizontalHeader().setResizeContentsPrecision(_MEASURED_ROWS)
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + 6)
    view.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
    view.setSortingEnabled(True)
    view.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
    view.setToolTip("A click on a row goes to its object and frame, a click on a title sorts by it")
    return view
