"""What a person does in the dock, for tests in a real window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtWidgets import QTreeWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.session.propagation_plan import Direction

WAIT = 60_000  # ms: until something happens, however slow the machine
Open = Callable[..., AnnotationDock]


def annotation_of(dock: AnnotationDock) -> AnnotationController:
    assert dock.annotation is not None
    return dock.annotation


def click(dock: AnnotationDock, frame: int, x: float, y: float) -> None:
    annotation_of(dock).prompts.points.add([frame, y, x])


def labels(dock: AnnotationDock) -> NDArray[np.uint16]:
    return np.asarray(annotation_of(dock).masks.layer.data)


def show_tab(dock: AnnotationDock, name: str) -> None:
    names = [dock.tabs.tabText(number) for number in range(dock.tabs.count())]
    dock.tabs.setCurrentIndex(names.index(name))


def start(dock: AnnotationDock, direction: Direction = Direction.FORWARD) -> None:
    dock.propagation.buttons[direction].click()


def wait_until_tracked(dock: AnnotationDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not annotation_of(dock).propagation.running, timeout=WAIT)


def shown_when_idle(dock: AnnotationDock, qtbot: Any) -> NDArray[np.uint16]:
    """Return the labels after everything that was queued has arrived."""
    sync = annotation_of(dock).sync
    for _ in range(2):  # what is read after an edit is queued once more
        qtbot.waitUntil(lambda: not sync._edits and not sync._read_timer.isActive(), timeout=WAIT)
        done: list[int] = []
        annotation_of(dock)._task_runner.run_steps(
            iter([1]), on_step=done.append, then=done.append, failed=pytest.fail
        )
        qtbot.waitUntil(lambda done=done: len(done) == 2, timeout=WAIT)
    return labels(dock)


def rows_of(tree: QTreeWidget) -> list[list[str]]:
    """Return name and number of frames, the first two columns of every row."""
    items = [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]
    return [[item.text(0), item.text(1)] for item in items]
