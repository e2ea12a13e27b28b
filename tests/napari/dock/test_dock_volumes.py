"""Volumes over time in the dock: tracked along one axis at one place, every place with its own objects."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from dock_input import Hand
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins import open as open_work
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.measure.physical_scale import PhysicalScale
from tests.napari.dock_steps import (
    WAIT,
    Open,
    annotation_of,
    labels,
    shown_when_idle,
    start,
    wait_until_tracked,
)

pytestmark = pytest.mark.gui


@pytest.fixture
def volumes(discs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(6, 5, 60, 80): the discs in five planes, brighter from plane to plane."""
    return np.stack([discs + 5 * plane for plane in range(5)], axis=1).astype(np.uint8)


def go_to(dock: AnnotationDock, *places: int) -> None:
    """Move the sliders."""
    dock.viewer.dims.set_point(range(len(places)), places)


def work_here(dock: AnnotationDock, qtbot: Any) -> None:
    """Press the button that is offered."""
    before = dock.annotation
    assert dock.image.here.isVisibleTo(dock)
    dock.image.here.click()
    qtbot.waitUntil(lambda: dock.annotation not in (None, before), timeout=WAIT)


def choose_axis(dock: AnnotationDock, words: str, qtbot: Any) -> None:
    before = dock.annotation
    dock.image.along.setCurrentText(words)
    dock.image.along.activated.emit(dock.image.along.currentIndex())
    qtbot.waitUntil(lambda: dock.annotation not in (None, before), timeout=WAIT)


def planes_with_masks(dock: AnnotationDock) -> dict[int, list[int]]:
    """Return by plane the time points on which something is drawn."""
    drawn = labels(dock).any(axis=(-2, -1))
    return {int(z): np.flatnonzero(drawn[:, z]).tolist() for z in np.flatnonzero(drawn.any(axis=0))}


def click_here(dock: AnnotationDock, qtbot: Any, x: float = 20, y: float = 20) -> None:
    Hand(dock, qtbot).click(x, y)
    shown_when_idle(dock, qtbot)


def test_tracked_through_time_in_the_plane_that_is_shown(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(volumes, name="cells", wait=False)
    go_to(dock, 0, 2)
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    assert dock.image.axes.text() == "TZYX"
    assert dock.image.description.text() == (
        "6 time points, 5 planes, 60 × 80 pixels, uint8; tracked through time in plane 2"
    )
    click_here(dock, qtbot)
    assert planes_with_masks(dock) == {2: [0]}
    start(dock)
    wait_until_tracked(dock, qtbot)
    assert planes_with_masks(dock) == {2: [0, 1, 2, 3, 4, 5]}
    session = annotation_of(dock).session
    np.testing.assert_array_equal(session.frames[3], volumes[3, 2])
    for frame in range(6):
        np.testing.assert_array_equal(labels(dock)[frame, 2], session.label_image(frame))


def save_all_places(dock: AnnotationDock, path: Path) -> None:
    """Save the layer of masks as napari does, with planes in it that have no session."""
    annotation_of(dock).masks.layer.save(str(path), plugin="sam2-plugins")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "TZYX"
        np.testing.assert_array_equal(tiff.asarray(), labels(dock))


def test_every_plane_has_objects_of_its_own(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    dock = open_dock(volumes, name="cells")
    go_to(dock, 0, 0)
    if dock.image.here.isVisibleTo(dock):
        work_here(dock, qtbot)
    click_here(dock, qtbot)
    start(dock)
    wait_until_tracked(dock, qtbot)
    first = labels(dock)[:, 0].copy()
    go_to(dock, 3, 1)
    assert dock.image.here.text() == "Work in plane 1"
    work_here(dock, qtbot)
    assert not dock.image.here.isVisibleTo(dock)
    assert "in plane 1" in dock.image.description.text()
    assert annotation_of(dock).session.objects == {}
    click_here(dock, qtbot, 60, 36)
    assert planes_with_masks(dock) == {0: [0, 1, 2, 3, 4, 5], 1: [3]}
    save_all_places(dock, tmp_path / "labels.tif")
    go_to(dock, 3, 0)
    work_here(dock, qtbot)
    shown_when_idle(dock, qtbot)
    np.testing.assert_array_equal(labels(dock)[:, 0], first)
    assert planes_with_masks(dock)[1] == [3]
    np.testing.assert_allclose(annotation_of(dock).prompts.points.data, [[0, 0, 20, 20]], atol=0.5)
    names = [layer.name for layer in dock.viewer.layers]
    assert names == ["cells", "objects of cells", "boxes on cells", "clicks on cells"]
    folders = sorted(path.name for path in (dock._application.sessions or Path()).iterdir())
    assert folders[:2] == ["cells Z0.sam2", "cells Z1.sam2"]


def test_tracked_through_the_planes_at_a_time_point(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    dock = open_dock(volumes, name="cells")
    go_to(dock, 3, 0)
    choose_axis(dock, "through the planes", qtbot)
    assert dock.image.description.text().endswith("tracked through the planes at time point 3")
    click_here(dock, qtbot, 26, 20)
    start(dock)
    wait_until_tracked(dock, qtbot)
    assert planes_with_masks(dock) == {0: [3], 1: [3], 2: [3], 3: [3], 4: [3]}
    assert dock.propagation.isVisibleTo(dock)
    dock.export.format.value = FORMATS["tiff"]
    dock.export.write(tmp_path / "labels.tif")
    qtbot.waitUntil(lambda: "Exported" in dock.message.text(), timeout=WAIT)
    written = tifffile.imread(tmp_path / "labels.tif")
    np.testing.assert_array_equal(written, labels(dock)[3])
    assert "the objects at time point 3; for the masks of all places, select" in dock.message.text()


def test_a_box_and_a_brush_stroke_count_only_where_objects_are_tracked(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(volumes, name="cells")
    annotation = annotation_of(dock)
    here = annotation.stack.fixed["Z"]
    go_to(dock, 1, here)
    dock.objects.next_tool()
    # While the dock fills, its height may change, and with it where on the canvas a pixel is.
    qtbot.waitUntil(lambda: dock.message.text().startswith("Click on an object"), timeout=WAIT)
    qtbot.waitUntil(lambda: not dock.contrast.thumbnail.pixmap().isNull(), timeout=WAIT)
    Hand(dock, qtbot).drag((22, 10), (42, 30))
    shown_when_idle(dock, qtbot)
    assert planes_with_masks(dock) == {here: [1]}
    ((object_id, frame),) = annotation.prompts.read()
    assert frame == 1
    elsewhere = (here + 1) % 5
    go_to(dock, 2, elsewhere)
    Hand(dock, qtbot).drag((30, 20), (50, 50))
    shown_when_idle(dock, qtbot)
    assert "elsewhere was left out" in dock.message.text()
    assert list(annotation.prompts.read()) == [(object_id, 1)]
    dock.objects.paint.click()
    annotation.masks.layer.brush_size = 5
    Hand(dock, qtbot).drag((40, 30), (50, 30))
    shown_when_idle(dock, qtbot)
    assert "painted elsewhere was taken away" in dock.message.text()
    assert planes_with_masks(dock) == {here: [1]}
    go_to(dock, 2, here)
    Hand(dock, qtbot).drag((40, 30), (50, 30))
    shown_when_idle(dock, qtbot)
    assert planes_with_masks(dock) == {here: [1, 2]}
    np.testing.assert_array_equal(labels(dock)[2, here], annotation.session.label_image(2))


def test_it_is_there_again_when_the_image_is_opened_at_the_same_place(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    path = tmp_path / "cells.tif"
    channels = np.stack([volumes, 255 - volumes], axis=2)
    tifffile.imwrite(path, channels, imagej=True, metadata={"axes": "TZCYX"})
    before: list[Any] = []
    for _ in range(2):
        dock = open_dock(wait=False)
        dock.viewer.open(path, plugin="napari")
        go_to(dock, 0, 3, 0)
        dock.image.choose(dock.viewer.layers["cells"])
        dock.image.chosen.emit()
        qtbot.waitUntil(lambda dock=dock: dock.annotation is not None, timeout=WAIT)
        assert dock.image.axes.text() == "TZCYX"
        if not before:
            click_here(dock, qtbot)
            before.append(labels(dock).copy())
            assert before[0][0, 3, 0].any()
        assert annotation_of(dock).folder.path == tmp_path / "cells Z3.sam2"  # type: ignore[union-attr]
        qtbot.waitUntil(lambda dock=dock: np.array_equal(labels(dock), before[0]), timeout=WAIT)
        dock.viewer.window.remove_dock_widget(dock)
        dock.release()


def test_work_that_is_not_on_disk_is_not_left_by_a_button(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    (tmp_path / "sessions").write_text("no folder")
    dock = open_dock(volumes, name="cells")
    annotation = annotation_of(dock)
    go_to(dock, 0, annotation.stack.fixed["Z"])
    click_here(dock, qtbot)
    go_to(dock, 0, (annotation.stack.fixed["Z"] + 1) % 5)
    dock.image.here.click()
    assert "It would be lost by working elsewhere" in dock.message.text()
    assert dock.annotation is annotation


def test_sizes_that_the_layer_had_once_are_there_when_it_has_none(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(volumes, name="cells", scale=(60, 2, 0.5, 0.25), units=("s", "um", "um", "um"))
    known = PhysicalScale((0.5, 0.25), "um", 60.0, "s", 2.0)
    assert annotation_of(dock).autosave.scale == known
    dock.objects.new.click()
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()
    again = open_dock(volumes, name="cells")
    assert annotation_of(again).autosave.scale == known
    assert str(known) in again.export.sizes.text()


def test_objects_are_carried_on_to_the_next_time_point_under_their_ids(
    open_dock: Open, volumes: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(volumes, name="cells")
    assert not dock.carry.isVisibleTo(dock)  # it is tracked through time
    go_to(dock, 0, 0)
    choose_axis(dock, "through the planes", qtbot)
    assert dock.carry.isVisibleTo(dock)
    assert not dock.carry.before.isVisibleTo(dock)  # there is no time before
    assert dock.carry.after.lacking == "No object has a mask yet"
    click_here(dock, qtbot)
    annotation_of(dock).edit(lambda session: session.edit_object(1, name="HeLa"))
    start(dock)
    wait_until_tracked(dock, qtbot)
    qtbot.waitUntil(dock.carry.after.isEnabled, timeout=WAIT)
    assert dock.carry.after.text() == "time point 1 ▶"
    dock.carry.after.click()
    qtbot.waitUntil(lambda: "1 object carried on" in dock.message.text(), timeout=WAIT)
    assert dock.image.here.text() == "Work at time point 1"
    work_here(dock, qtbot)
    session = annotation_of(dock).session
    assert {i: one.name for i, one in session.objects.items()} == {1: "HeLa"}
    assert session.frames_of(1) == [0, 1, 2, 3, 4]
    shown_when_idle(dock, qtbot)
    assert planes_with_masks(dock)[0] == [0, 1]
    assert dock.carry.before.text() == "◀ time point 0"
    dock.carry.before.click()
    qtbot.waitUntil(lambda: "annotated there already" in dock.message.text(), timeout=WAIT)
    assert "object 1 (HeLa)" in dock.message.text()


@pytest.mark.parametrize(("along", "axis"), [("Y", 1), ("X", 2)])
def test_a_volume_is_tracked_across_its_planes_in_the_session_that_scripts_have(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path, along: str, axis: int
) -> None:
    path = tmp_path / "ct.tif"
    volume = np.concatenate([discs] * 8)
    tifffile.imwrite(path, volume, imagej=True, metadata={"axes": "ZYX", "spacing": 3, "unit": "um"})
    with open_work(path, along=along) as work:
        cut = work.frames
        known = np.asarray(work.add_prompt(20, work.add_object("tube"), box=(10, 10, 30, 30)))
        scale = work.scale
    dock = open_dock(wait=False)
    dock.viewer.open(path, plugin="napari")
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    if dock.image.along.currentText() != f"across the planes, along {along}":
        choose_axis(dock, f"across the planes, along {along}", qtbot)
    stack, session = annotation_of(dock).stack, annotation_of(dock).session
    assert (dock.image.axes.text(), len(session)) == ("ZYX", volume.shape[axis])
    np.testing.assert_array_equal(session.frames[20], np.take(volume, 20, axis))
    assert session.frames.volume_order == cut.volume_order
    assert annotation_of(dock).autosave.scale.is_like(scale)
    np.testing.assert_array_equal(session.mask(1, 20), known)  # it is the very session
    assert not stack.is_rolled(dock.viewer)
    shown_when_idle(dock, qtbot)
    np.testing.assert_array_equal(np.take(labels(dock), 20, axis) == 1, known)
    stack.show_frame(dock.viewer, 21)
    Hand(dock, qtbot)
    annotation_of(dock).prompts.click_at(stack.position(dock.viewer, 21, 25, 12))
    shown_when_idle(dock, qtbot)
    choose_axis(dock, "through the planes", qtbot)
    assert not annotation_of(dock).stack.is_rolled(dock.viewer)
    assert annotation_of(dock).session.objects == {}  # each way has objects of its own
    choose_axis(dock, f"across the planes, along {along}", qtbot)
    assert sorted(annotation_of(dock).session.prompts_of(1)) == [20, 21]
