"""The table of measurements and the plot below it, in a window, with what was really measured."""

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_plugin.widgets.line_plot import LinePlot
from napari_plugin.widgets.measurement_table import MeasurementView
from sam2_engine.masks import CompressedMask
from sam2_plugins.measure import MeasurementTable, measure
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject

pytestmark = pytest.mark.gui

ABSENT = 3
BIG = 2**32 - 1


class Session(AnnotationSession):
    """Object 1 grows and is away on one frame; another, of the largest id, stays as it is."""

    def __init__(self, stack: Any) -> None:
        super().__init__(stack, ModelStore("cpu"), axes="TYX", undo_bytes=0)
        for frame in range(len(stack)):
            first, other = np.zeros((2, *self.shape), bool)
            if frame != ABSENT:
                first[10 : 15 + frame, 10 + frame : 20 + frame] = True
            other[40:50, 50:60] = True
            self.import_masks(
                frame, {1: CompressedMask.from_array(first), BIG: CompressedMask.from_array(other)}
            )
        self.edit_object(1, name="mother", color=(255, 128, 0))


@pytest.fixture
def objects_and_table(discs: Any) -> tuple[dict[int, AnnotatedObject], MeasurementTable]:
    session = Session(discs)
    scale = PhysicalScale((0.5, 0.5), "µm", 2.0, "min")
    return dict(session.objects), measure(session, scale)


@pytest.fixture
def panel(qtbot: Any, objects_and_table: Any) -> MeasurementView:
    panel = MeasurementView()
    qtbot.addWidget(panel)
    panel.resize(700, 460)
    objects, table = objects_and_table
    panel.show_table(table, objects)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


def column_of(panel: MeasurementView, header: str) -> int:
    titles = [panel.model.headerData(i, Qt.Orientation.Horizontal) for i in range(panel.model.columnCount())]
    return titles.index(header)


def shown(panel: MeasurementView, column: int) -> list[str]:
    return [panel.model.data(panel.model.index(row, column)) for row in range(panel.model.rowCount())]


def test_every_value_is_there_under_its_name_and_unit(panel: MeasurementView, objects_and_table: Any) -> None:
    _, table = objects_and_table
    assert panel.model.rowCount() == len(table) == 12
    assert panel.model.columnCount() == len(table.columns)
    for number, column in enumerate(table.columns):
        assert column_of(panel, column.header.replace("_", " ")) == number
    assert shown(panel, column_of(panel, "area (µm²)"))[:4] == ["12.5", "25", "15", "25"]
    assert shown(panel, column_of(panel, "time (min)"))[::2] == ["0", "2", "4", "6", "8", "10"]
    assert shown(panel, column_of(panel, "object id"))[:2] == ["1", str(BIG)]
    hidden = [column.name for i, column in enumerate(table.columns) if panel.view.isColumnHidden(i)]
    assert hidden == ["class", "parents"]


def test_a_click_on_a_header_sorts_and_what_is_unknown_stays_last(panel: MeasurementView, qtbot: Any) -> None:
    column = column_of(panel, "speed (µm/min)")
    panel.choose(1, 4)
    header = panel.view.horizontalHeader()
    panel.view.scrollTo(panel.model.index(0, column))
    place = QPoint(header.sectionViewportPosition(column) + 10, header.height() // 2)
    orders = []
    for _ in range(2):
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
        values = shown(panel, column)
        known = [float(value) for value in values if value]
        assert values[len(known) :] == [""] * 3
        assert len(known) == 9
        assert known in (sorted(known), sorted(known, reverse=True))
        assert panel.chosen == (1, 4)
        orders.append(known)
    assert orders[0] == orders[1][::-1] != orders[1]


def test_a_click_tells_object_and_frame(panel: MeasurementView, qtbot: Any) -> None:
    panel.view.sortByColumn(column_of(panel, "frame"), Qt.SortOrder.DescendingOrder)
    picked: list[tuple[int, int]] = []
    panel.picked.connect(lambda object_id, frame: picked.append((object_id, frame)))
    for row in (0, 1):
        place = panel.view.visualRect(panel.model.index(row, 0)).center()
        qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert picked == [(1, 5), (BIG, 5)]


def test_the_plot_shows_the_chosen_column_of_the_chosen_object(panel: MeasurementView, qtbot: Any) -> None:
    panel.column.setCurrentIndex(panel.column.findData("centroid_x"))
    panel.choose(1, 0)
    before, after = panel.plot.segments()  # broken where the object is away
    assert [len(before), len(after)] == [3, 2]
    steps = np.diff([place.x() for place in before])
    np.testing.assert_allclose(steps, steps[0])
    assert after[0].x() - before[-1].x() == pytest.approx(2 * steps[0])
    heights = [place.y() for place in before + after]
    assert heights == sorted(heights, reverse=True)  # it moves to the right
    assert panel.title.text() == "mother"
    pixels = panel.plot.grab().toImage()
    dot, ratio = before[1], pixels.devicePixelRatio()
    color = pixels.pixelColor(int(dot.x() * ratio), int(dot.y() * ratio))
    assert color.getRgb()[:3] == (255, 128, 0)
    picked: list[tuple[int, int]] = []
    panel.picked.connect(lambda object_id, frame: picked.append((object_id, frame)))
    qtbot.mouseClick(panel.plot, Qt.MouseButton.LeftButton, pos=after[-1].toPoint())
    assert picked == [(1, 5)]
    panel.choose(BIG, 0)
    (line_of_other,) = panel.plot.segments()
    assert len({place.y() for place in line_of_other}) == 1


def test_a_new_measurement_keeps_choice_order_and_column(
    panel: MeasurementView, objects_and_table: Any, discs: Any
) -> None:
    objects, _ = objects_and_table
    panel.view.sortByColumn(column_of(panel, "area (µm²)"), Qt.SortOrder.DescendingOrder)
    panel.column.setCurrentIndex(panel.column.findData("mean_intensity"))
    panel.choose(1, 4)
    panel.show_table(measure(Session(discs[:5])), objects)
    assert panel.chosen == (1, 4)
    assert panel.column.currentData() == "mean_intensity"
    areas = [float(value) for value in shown(panel, column_of(panel, "area (pixel²)"))]
    assert areas == sorted(areas, reverse=True)
    assert len(areas) == 10


def test_an_empty_table_is_shown_as_such(panel: MeasurementView) -> None:
    empty = Session(np.ones((2, 60, 80), np.uint8))
    for object_id in (1, BIG):
        empty.remove_object(object_id)
    panel.show_table(measure(empty), {})
    assert panel.model.rowCount() == 0
    assert panel.chosen is None
    assert not panel.plot.segments()
    panel.grab()


def test_a_plot_of_one_value_or_none(qtbot: Any) -> None:
    plot = LinePlot()
    qtbot.addWidget(plot)
    plot.resize(200, 120)
    for values in ([3.0], [None], [float("nan")], [float("inf")]):
        plot.show_values([0.0], values)
        plot.grab()
    plot.show_values([0.0], [3.0])
    ((place,),) = plot.segments()
    assert plot.rect().contains(place.toPoint())
    assert plot.index_at(-5) == plot.index_at(500) == 0
