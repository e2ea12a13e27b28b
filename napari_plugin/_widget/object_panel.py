"""The objects: which there are, which one is current, and what the next click does to it."""

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_plugin._widget import keys
from napari_plugin._widget.buttons import button
from napari_plugin._widget.heading import heading
from napari_plugin.annotation import Annotation

__all__ = ["ObjectPanel"]

_ID = Qt.ItemDataRole.UserRole
_SWATCH = 14


class ObjectPanel(QWidget):
    """List of objects with their colours and how many frames are known of each."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._annotation: Annotation | None = None
        self.list = QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setToolTip("The next click or box belongs to the object that is chosen here (keys J and K)")
        self.list.setMinimumHeight(90)
        self.list.currentItemChanged.connect(self._on_selected)
        self.new = button("New object", "Begin another object", keys.NEW_OBJECT)
        self.remove = button("Remove", "Remove the object with its clicks, boxes and masks")
        adds, removes = "Clicks add to the object", "Clicks take away; so does Ctrl+click, once"
        self.include = button("+ include", adds, keys.EXCLUDE, checkable=True)
        self.exclude = button("− exclude", removes, keys.EXCLUDE, checkable=True)
        self.click = button("Click", "Place clicks", keys.BOX, checkable=True)
        self.box = button("Draw box", "Drag a box around the object", keys.BOX, checkable=True)
        self._groups = [_exclusive(self, self.include, self.exclude), _exclusive(self, self.click, self.box)]
        tools = QGridLayout()
        for number, tool in enumerate((self.click, self.box, self.include, self.exclude)):
            tools.addWidget(tool, number // 2, number % 2)
        row = QHBoxLayout()
        row.addWidget(self.new)
        row.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Objects"))
        layout.addLayout(tools)
        layout.addWidget(self.list, 1)
        layout.addLayout(row)
        self.new.clicked.connect(self._with(lambda one: one.add_object()))
        self.remove.clicked.connect(self._with(lambda one: one.remove_object(one.current)))
        self.include.clicked.connect(self._with(lambda one: one.set_excluding(False)))
        self.exclude.clicked.connect(self._with(lambda one: one.set_excluding(True)))
        self.click.clicked.connect(self._with(lambda one: one.prompts.point()))
        self.box.clicked.connect(self._with(lambda one: one.prompts.box()))
        self.show_annotation(None)

    def show_annotation(self, annotation: Annotation | None) -> None:
        """Show the objects of an annotation, or nothing."""
        self._annotation = annotation
        self.setEnabled(annotation is not None)
        self.click.setChecked(True)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known now."""
        with QSignalBlocker(self.list):
            self.list.clear()
            if self._annotation is None:
                return
            for one in self._annotation.session.objects.values():
                item = QListWidgetItem(_swatch(one.color), one.name)
                item.setData(_ID, one.id)
                self.list.addItem(item)
                if one.id == self._annotation.current:
                    self.list.setCurrentItem(item)
        self.count_frames()
        (self.exclude if self._annotation.excluding else self.include).setChecked(True)

    def count_frames(self) -> None:
        """Show beside each name how many frames are known of the object."""
        if self._annotation is None:
            return
        session = self._annotation.session
        for item in (self.list.item(row) for row in range(self.list.count())):
            one = session.objects.get(item.data(_ID))
            if one is not None:
                frames = len(session.frames_of(one.id))
                item.setText(f"{one.name}  ·  {frames} frame{'s' * (frames != 1)}")

    def step(self, by: int) -> None:
        """Make the next (1) or the previous (-1) object the current one."""
        row = self.list.currentRow() + by
        if 0 <= row < self.list.count():
            self.list.setCurrentRow(row)

    def toggle_excluding(self) -> None:
        """Let clicks do the opposite from now on."""
        (self.include if self.exclude.isChecked() else self.exclude).click()

    def toggle_tool(self) -> None:
        """Change between clicks and boxes."""
        (self.click if self.box.isChecked() else self.box).click()

    def _on_selected(self, item: QListWidgetItem | None) -> None:
        if self._annotation is not None and item is not None:
            self._annotation.select_object(int(item.data(_ID)))

    def _with(self, act: Callable[[Annotation], None]) -> Callable[[], None]:
        def clicked() -> None:
            if self._annotation is not None:
                act(self._annotation)

        return clicked


def _exclusive(parent: QWidget, *buttons: QPushButton) -> QButtonGroup:
    group = QButtonGroup(parent)
    for one in buttons:
        group.addButton(one)
    return group


def _swatch(color: tuple[int, int, int]) -> QIcon:
    pixmap = QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(QColor(*color))
    return QIcon(pixmap)
