"""The list of objects, and the tools whose prompts belong to the current one."""

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.guide import tool_hint
from napari_plugin.layers import Tool
from napari_plugin.widgets import keys
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.heading import heading
from napari_plugin.widgets.objects.object_list import ObjectList
from napari_plugin.widgets.objects.object_menu import object_menu
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.remembered import remember_tick
from napari_plugin.widgets.sentence import Sentence
from sam2_plugins.runtime.jobs import Progress

__all__ = ["ObjectPanel"]

_MANY = 8
"""Objects from which on a line to filter them is shown."""


class ObjectPanel(Panel):
    """List of objects with their colors, how much is known and verified of each, and its worst doubt."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = ObjectList()
        self.list.currentItemChanged.connect(self._on_selected)
        self.list.itemChanged.connect(self._on_renamed)
        self.list.customContextMenuRequested.connect(self._on_menu_wanted)
        self.new = button("New object", "Begin another object", keys.NEW_OBJECT)
        self.remove = button("Remove", "Remove the object with its clicks, boxes and masks")
        adds, removes = "Clicks add to the object", "Clicks take away; so does Ctrl+click, once"
        self.include = button("+ include", adds, keys.EXCLUDE, checkable=True)
        self.exclude = button("− exclude", removes, keys.EXCLUDE, checkable=True)
        self.click = button("Click", "Place clicks", keys.TOOL, checkable=True)
        self.box = button("Draw box", "Drag a box around the object", keys.TOOL, checkable=True)
        self.lasso = button("Lasso", "Draw a line around the object", keys.TOOL, checkable=True)
        self.paint = button("Paint", "Paint its mask with napari's brush", keys.TOOL, checkable=True)
        self._tools = (self.click, self.box, self.lasso, self.paint)
        self._groups = [_exclusive(self, self.include, self.exclude), _exclusive(self, *self._tools)]
        self.correct = button("Edit ▾", "Merge, split, swap, divide, absent here, end: the current object")
        self.correct.clicked.connect(self._on_correct)
        self.each_new = QCheckBox("each click a new one")
        self.each_new.setToolTip("Clicks and boxes begin objects; Shift+click does the opposite, once")
        self.each_new.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        remember_tick(self.each_new, "each_click_new")
        self.each_new.toggled.connect(lambda _: self._set_each_new())
        self.names = QCheckBox("names")
        self.names.setToolTip("Write the names of objects at their masks, where they have none their numbers")
        self.names.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        remember_tick(self.names, "names")
        self.names.clicked.connect(self._on_names)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("filter by name")
        self.filter.setClearButtonEnabled(True)
        self.filter.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.filter.textChanged.connect(self.list.filter)
        self.hint = Sentence(lines=2)
        tools = QGridLayout()
        for number, one in enumerate(self._tools):
            tools.addWidget(one, 0, number)
        for number, kind in enumerate((self.include, self.exclude)):
            tools.addWidget(kind, 1, 2 * number, 1, 2)
        row = QHBoxLayout()
        for acting in (self.new, self.correct, self.remove):
            row.addWidget(acting, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Objects", self.names, self.each_new))
        layout.addLayout(tools)
        layout.addWidget(self.hint)
        layout.addWidget(self.filter)
        layout.addWidget(self.list, 1)
        layout.addLayout(row)
        self.new.clicked.connect(self._with(lambda one: one.add_object()))
        self.remove.clicked.connect(self._with(lambda one: one.remove_object(one.current)))
        self.include.clicked.connect(self._with(lambda one: one.set_excluding(False)))
        self.exclude.clicked.connect(self._with(lambda one: one.set_excluding(True)))
        for tool, one in zip(Tool, self._tools):
            one.clicked.connect(partial(self._use, tool))
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Show the objects of an annotation, or nothing."""
        if self.annotation is not None:
            self.annotation.tool_changed.disconnect(self._show_tool)
        super().show_annotation(annotation)
        if annotation is not None:
            annotation.tool_changed.connect(self._show_tool)
        self._set_each_new()
        self._show_tool()

    def _set_each_new(self) -> None:
        if self.annotation is not None:
            self.annotation.prompts.each_new = self.each_new.isChecked()
        self._show_hint()

    def _on_names(self, shown: bool) -> None:
        if self.annotation is not None:
            self.annotation.names.show(shown)

    def _use(self, tool: Tool, checked: bool = True) -> None:
        if self.annotation is None:
            return
        self.annotation.tools.use(tool)
        self._show_tool()

    def _show_tool(self) -> None:
        """Let the tool be pressed that works; none, if the mouse does something else."""
        active = None if self.annotation is None else self.annotation.tools.active
        self._groups[1].setExclusive(False)  # else one stays pressed
        for tool, one in zip(Tool, self._tools):
            one.setChecked(tool is active)
        self._groups[1].setExclusive(True)
        self._show_hint()

    def _show_hint(self) -> None:
        self.hint.setText("" if self.annotation is None else tool_hint(self.annotation))

    def refresh(self) -> None:
        """Show what is known now."""
        annotation = self.annotation
        objects = {} if annotation is None else annotation.session.objects
        self.list.show_objects(objects, 0 if annotation is None else annotation.current)
        self.filter.setVisible(len(objects) >= _MANY)
        self.count_frames()
        for acting in (self.remove, self.correct):
            acting.offer(annotation is not None and annotation.current in objects, "There is no object yet")
        if annotation is not None:
            self.names.setChecked(annotation.names.shown)
            (self.exclude if annotation.excluding else self.include).setChecked(True)
        self._show_hint()

    def show_progress(self, progress: Progress) -> None:
        """Count the frames."""
        self.count_frames()

    def count_frames(self) -> None:
        """Show beside each name how many frames are known and verified, and the worst doubt."""
        if self.annotation is not None:
            self.list.count_frames(self.annotation)

    def step(self, by: int) -> None:
        """Make the next (1) or the previous (-1) object the current one."""
        self.list.step(by)

    def toggle_excluding(self) -> None:
        """Let clicks do the opposite from now on."""
        (self.include if self.exclude.isChecked() else self.exclude).click()

    def next_tool(self) -> None:
        """Go on from clicks to boxes, to the lasso, to the brush, and to clicks again."""
        chosen = next((number for number, tool in enumerate(self._tools) if tool.isChecked()), -1)
        self._tools[(chosen + 1) % len(self._tools)].click()

    def _on_selected(self, item: QTreeWidgetItem | None) -> None:
        if self.annotation is not None and item is not None:
            self.annotation.select_object(self.list.id_of(item))

    def _on_renamed(self, item: QTreeWidgetItem, column: int) -> None:
        object_id, name = self.list.id_of(item), item.text(0).strip()
        if self.annotation is None or object_id not in self.annotation.session.objects:
            return
        if name:
            self.annotation.edit(lambda session: session.edit_object(object_id, name=name))
        else:
            self.refresh()  # a name cannot be empty: the old one is shown again

    def _on_menu_wanted(self, position: QPoint) -> None:
        self._open_menu(self.list.itemAt(position), self.list.viewport().mapToGlobal(position))

    def _on_correct(self) -> None:
        self._open_menu(self.list.currentItem(), self.correct.mapToGlobal(self.correct.rect().bottomLeft()))

    def _open_menu(self, item: QTreeWidgetItem | None, place: QPoint) -> None:
        if self.annotation is not None and item is not None:
            object_id = self.list.id_of(item)
            object_menu(self.annotation, object_id, lambda: self.list.editItem(item, 0), self).popup(place)

    def _with(self, act: Callable[[AnnotationController], None]) -> Callable[[], None]:
        def clicked() -> None:
            if self.annotation is not None:
                act(self.annotation)

        return clicked


def _exclusive(parent: QWidget, *buttons: QPushButton) -> QButtonGroup:
    group = QButtonGroup(parent)
    for one in buttons:
        group.addButton(one)
    return group
