"""The list of objects: what is known of each, sorted and filtered as the user wants it."""

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.rows import keep_rows
from sam2_plugins.session.annotations import AnnotatedObject

__all__ = ["ObjectList"]

_ID, _COLOR, _ORDER = (Qt.ItemDataRole.UserRole + number for number in range(3))
_SWATCH = 14
_COLUMNS = ("Object", "Frames", "Verified", "Doubt")


class _Row(QTreeWidgetItem):
    """An object; numbers are compared as numbers, and names in the order of their ids."""

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        column = self.treeWidget().sortColumn()
        mine, theirs = (one.data(column, _ORDER) or 0 for one in (self, other))
        return bool(mine < theirs)


class ObjectList(QTreeWidget):
    """One row per object, with its color."""

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(len(_COLUMNS))
        self.setHeaderLabels(list(_COLUMNS))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setToolTip(
            "The next click or box belongs to the object that is chosen here (keys J and K). "
            "A click on a title sorts, a double click on a name renames, Edit merges, splits, swaps, divides."
        )
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        keep_rows(self)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._wanted = ""

    @staticmethod
    def id_of(item: QTreeWidgetItem) -> int:
        """Return the object of a row."""
        return int(item.data(0, _ID))

    @property
    def rows(self) -> list[QTreeWidgetItem]:
        """All rows, in the order in which they are shown."""
        return [self.topLevelItem(row) for row in range(self.topLevelItemCount())]

    def show_objects(self, objects: Mapping[int, AnnotatedObject], current: int) -> None:
        """Show these objects with their names and colors, and scroll to the current one."""
        with QSignalBlocker(self):
            if {self.id_of(item) for item in self.rows} != set(objects):
                self.clear()
                self.addTopLevelItems([self._row(object_id) for object_id in objects])
            for item in self.rows:
                self._describe(item, objects[self.id_of(item)])
            chosen = next((item for item in self.rows if self.id_of(item) == current), None)
            self.setCurrentItem(chosen)
            if chosen is not None:
                self.scrollToItem(chosen)
        self.filter(self._wanted)

    def _row(self, object_id: int) -> QTreeWidgetItem:
        item = _Row()
        item.setData(0, _ID, object_id)
        item.setData(0, _ORDER, object_id)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        return item

    def _describe(self, item: QTreeWidgetItem, one: AnnotatedObject) -> None:
        if item.text(0) != one.name:
            item.setText(0, one.name)
        if item.data(0, _COLOR) != one.color:  # else a name being typed would be overwritten
            item.setData(0, _COLOR, one.color)
            item.setIcon(0, _swatch(one.color))

    def count_frames(self, annotation: AnnotationController) -> None:
        """Show beside each name how many frames are known and verified, and the worst doubt."""
        session, review = annotation.session, annotation.review
        with QSignalBlocker(self):
            for item in self.rows:
                object_id = self.id_of(item)
                if object_id in session.objects:
                    worst = review.worst(object_id)
                    frames, verified = len(session.frames_of(object_id)), len(session.verified(object_id))
                    shown = (str(frames), str(verified or ""), "" if worst is None else f"{worst:.0%}")
                    for column, (text, order) in enumerate(zip(shown, (frames, verified, worst)), start=1):
                        if item.text(column) != text or item.data(column, _ORDER) != order:
                            item.setText(column, text)
                            item.setData(column, _ORDER, order)

    def filter(self, wanted: str) -> None:
        """Show only objects whose name holds these letters, and the current one."""
        self._wanted = wanted = wanted.strip().lower()
        for item in self.rows:
            item.setHidden(wanted not in item.text(0).lower() and item is not self.currentItem())

    def step(self, by: int) -> None:
        """Make the next (1) or the previous (-1) row that is shown the current one."""
        shown = [item for item in self.rows if not item.isHidden()]
        row = shown.index(self.currentItem()) + by if self.currentItem() in shown else 0
        if 0 <= row < len(shown):
            self.setCurrentItem(shown[row])


def _swatch(color: tuple[int, int, int]) -> QIcon:
    pixmap = QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(QColor(*color))
    return QIcon(pixmap)
