"""The Measure tab: measured when asked for, linked to objects and frames, saved as it is shown."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, annotation_of, show_tab

pytestmark = pytest.mark.gui


@pytest.fixture
def measured(open_dock: Any, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """Object 1 grows on frames 0 to 3, object 5 stands still on frame 2; all have been measured."""
    dock: AnnotationDock = open_dock(
        discs, name="cells", scale=(300, 0.5, 0.5), units=("s", "um", "um"), axis_labels="tyx"
    )
    for frame in range(4):
        given = {1: square(10, 10, 4 + frame)} | ({5: square(40, 50, 6)} if frame == 2 else {})
        annotation_of(dock).edit(lambda session, f=frame, given=given: session.import_masks(f, given))
    show_tab(dock, "Measure")
    measure(dock, qtbot, 5)
    return dock


def square(top: int, left: int, side: int) -> NDArray[np.bool_]:
    mask = np.zeros((60, 80), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def measure(dock: AnnotationDock, qtbot: Any, rows: int) -> None:
    dock.measure.measure.click()
    assert not dock.measure.measure.isEnabled()
    qtbot.waitUntil(lambda: dock.measure.measure.isEnabled(), timeout=WAIT)
    qtbot.waitUntil(lambda: dock.measure.view.model.rowCount() == rows, timeout=WAIT)


def test_rows_and_the_viewer_go_together(measured: AnnotationDock, qtbot: Any) -> None:
    view, annotation = measured.measure.view, annotation_of(measured)
    assert measured.measure.state.text() == "Measured in pixels of 0.5 µm."
    row = view.model.row_of(5, 2)
    assert row is not None
    place = view.view.visualRect(view.model.index(row, 0)).center()
    qtbot.mouseClick(view.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert (annotation.current, annotation.shown_frame) == (5, 2)
    assert view.chosen == (5, 2)
    annotation.select_object(1)
    assert view.chosen == (1, 2)
    annotation.stack.show_frame(measured.viewer, 3)
    assert view.chosen == (1, 3)
    assert [len(segment) for segment in view.plot.segments()] == [4]
    qtbot.mouseClick(view.plot, Qt.MouseButton.LeftButton, pos=view.plot.segments()[0][1].toPoint())
    assert annotation.shown_frame == 1
    annotation.stack.show_frame(measured.viewer, 5)  # where nothing was measured
    assert view.chosen == (1, 1)


def test_a_change_is_shown_until_it_is_measured_again(measured: AnnotationDock, qtbot: Any) -> None:
    annotation_of(measured).select_object(1)
    assert "measure again" not in measured.measure.state.text()  # nothing has changed by that
    annotation_of(measured).edit(lambda session: session.remove_object(5))
    qtbot.waitUntil(lambda: "measure again" in measured.measure.state.text(), timeout=WAIT)
    measure(measured, qtbot, 4)
    assert "measure again" not in measured.measure.state.text()


def test_what_is_shown_is_what_is_saved(measured: AnnotationDock, qtbot: Any, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    measured.measure.write(path)
    qtbot.waitUntil(lambda: measured.message.text() == f"Exported {path}.", timeout=WAIT)
    with path.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["area (µm²)"]) for row in rows] == [4, 6.25, 9, 9, 12.25]
    assert [row["time (s)"] for row in rows] == ["0", "300", "600", "600", "900"]
    measured.measure.write(tmp_path / "nowhere" / "cells.csv")
    qtbot.waitUntil(lambda: "make it first" in measured.message.text(), timeout=WAIT)


def test_measuring_can_be_stopped_and_another_image_begins_empty(
    measured: AnnotationDock, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    with annotation_of(measured).session.annotations.lock:  # the worker cannot go far meanwhile
        measured.measure.measure.click()
        assert measured.measure.progress_row.decline.text() == "Stop"
        measured.measure.progress_row.decline.click()
    qtbot.waitUntil(lambda: measured.message.text() == "Measuring was stopped.", timeout=WAIT)
    assert measured.measure.view.model.rowCount() == 5
    measured.viewer.add_image(discs[:2], name="other")
    first = measured.annotation
    measured.image.choose(measured.image._layers[0])
    measured.image.chosen.emit()
    qtbot.waitUntil(lambda: measured.annotation not in (None, first), timeout=WAIT)
    assert measured.measure.view.model.rowCount() == 0
    assert not measured.measure.save.isEnabled()
