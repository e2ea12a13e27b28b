"""Masks of other tools in the dock: taken over with their ids, as one step, or refused in a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.label_source import labels_for
from napari_plugin.widgets.dock import AnnotationDock
from sam2_engine import InputError
from tests.napari.dock_steps import WAIT, Open, annotation_of, labels, shown_when_idle, start
from tests.napari.dock_steps import wait_until_tracked as tracked

LARGE = 70_001


@pytest.fixture
def cells() -> NDArray[np.int32]:
    """(6, 60, 80) labels as other tools give them: 3 on all frames, one of a large id from frame 2 on."""
    found = np.zeros((6, 60, 80), np.int32)
    for t in range(6):
        found[t, 12:28, 12 + 2 * t : 28 + 2 * t] = 3
    found[2:, 40:50, 50:60] = LARGE
    return found


def take_layer(dock: AnnotationDock, layer: Any, qtbot: Any) -> None:
    dock.viewer.layers.selection.active = layer
    dock.importing.layer.click()
    qtbot.waitUntil(lambda: dock.message.text().startswith("Imported"), timeout=WAIT)
    shown_when_idle(dock, qtbot)


@pytest.mark.gui
def test_a_labels_layer_becomes_objects_and_one_undo_takes_them_back(
    open_dock: Open, discs: NDArray[np.uint8], cells: NDArray[np.int32], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    layer = dock.viewer.add_labels(cells, name="cellpose")
    take_layer(dock, layer, qtbot)
    assert dock.message.text() == "Imported from layer 'cellpose': 2 objects on 6 frames."
    np.testing.assert_array_equal(labels(dock), cells)
    assert list(annotation.session.objects) == [3, LARGE]
    assert not layer.visible
    assert dock.viewer.layers.selection.active == annotation.prompts.points
    assert annotation.session.verified(3) == frozenset()
    dock.history.undo.click()
    assert not shown_when_idle(dock, qtbot).any()
    assert list(annotation.session.objects) == []
    dock.importing.verify.value = True
    take_layer(dock, layer, qtbot)
    np.testing.assert_array_equal(labels(dock), cells)
    assert annotation.session.verified(LARGE) == {2, 3, 4, 5}


@pytest.mark.gui
def test_one_label_image_goes_to_the_shown_frame_and_is_tracked_from_there(
    open_dock: Open, discs: NDArray[np.uint8], cells: NDArray[np.int32], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 2)
    take_layer(dock, dock.viewer.add_labels(cells[2], name="stardist"), qtbot)
    assert dock.message.text() == "Imported from layer 'stardist': 2 objects on 1 frame."
    assert {i: annotation.session.frames_of(i) for i in (3, LARGE)} == {3: [2], LARGE: [2]}
    start(dock)
    tracked(dock, qtbot)
    assert annotation.session.frames_of(LARGE) == [2, 3, 4, 5]
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot)[2], cells[2])


@pytest.mark.gui
def test_files_and_folders_of_every_format(
    open_dock: Open, discs: NDArray[np.uint8], cells: NDArray[np.int32], qtbot: Any, tmp_path: Path
) -> None:
    dock = open_dock(discs)
    cells[cells == LARGE] = 9
    tifffile.imwrite(tmp_path / "masks.tif", cells.astype(np.uint16))
    challenge = tmp_path / "01_RES"
    challenge.mkdir()
    for frame, one in enumerate(cells.astype(np.uint16)):
        tifffile.imwrite(challenge / f"mask{frame:03}.tif", one)
    (challenge / "res_track.txt").write_text("3 0 5 0\n9 2 5 0\n")
    for path in (tmp_path / "masks.tif", challenge):
        dock.importing.start(str(path), str(path))
        expected = f"Imported from {path}: 2 objects on 6 frames."
        qtbot.waitUntil(lambda expected=expected: dock.message.text() == expected, timeout=WAIT)
        np.testing.assert_array_equal(shown_when_idle(dock, qtbot), cells)
        dock.history.undo.click()
        assert not shown_when_idle(dock, qtbot).any()
    dock.importing.start(str(tmp_path / "nothing.tif"), "nothing.tif")
    qtbot.waitUntil(lambda: "cannot be opened" in dock.message.text(), timeout=WAIT)
    assert dock.importing.file.isEnabled()


@pytest.mark.gui
def test_what_cannot_be_imported_is_said_in_a_sentence(
    open_dock: Open, discs: NDArray[np.uint8], cells: NDArray[np.int32], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    dock.importing.layer.click()
    assert dock.message.text().startswith("Select a Labels, Points or Shapes layer")
    dock.viewer.layers.selection.active = annotation.masks.layer
    dock.importing.layer.click()
    assert dock.message.text().startswith("These are the objects themselves")
    dock.viewer.layers.selection.active = dock.viewer.add_labels(cells[:, :40], name="small")
    dock.importing.layer.click()
    assert dock.message.text() == (
        "Layer 'small' is 6 × 40 × 80, but the image is 6 × 60 × 80; choose labels of this very image, or of "
        "one of its frames."
    )
    negative = cells.copy()
    negative[5, 0, 0] = -2
    dock.viewer.layers.selection.active = dock.viewer.add_labels(negative, name="negative")
    dock.importing.layer.click()
    qtbot.waitUntil(lambda: "below 0" in dock.message.text(), timeout=WAIT)
    assert not shown_when_idle(dock, qtbot).any()
    assert annotation.session.undo_name is None


@pytest.mark.parametrize(
    ("shape", "axes", "place"),
    [
        ((6, 60, 80), "TYX", ()),
        ((6, 3, 60, 80), "TCYX", (slice(None), 0)),
        ((6, 4, 60, 80), "TZYX", (slice(None), 2)),
    ],
)
def test_labels_with_further_axes(shape: tuple[int, ...], axes: str, place: tuple[Any, ...]) -> None:
    viewer_model = pytest.importorskip("napari.components").ViewerModel()
    image = viewer_model.add_image(np.zeros(shape, np.uint8))
    stack = ImageStack.of(image, axes, fixed={"Z": 2})
    everything = np.random.default_rng(0).integers(0, 9, shape)
    whole = viewer_model.add_labels(everything)
    np.testing.assert_array_equal(labels_for(whole, stack), everything[place or ...])
    alone = viewer_model.add_labels(everything[place or ...])
    np.testing.assert_array_equal(labels_for(alone, stack), everything[place or ...])
    with pytest.raises(InputError, match="but the image is"):
        labels_for(viewer_model.add_labels(everything[:5]), stack)


@pytest.mark.gui
def test_a_layer_painted_on_one_of_its_frames_is_prompts(
    open_dock: Open, discs: NDArray[np.uint8], cells: NDArray[np.int32], qtbot: Any
) -> None:
    dock = open_dock(discs)
    session = annotation_of(dock).session
    cells[1:], cells[0, 40:50, 50:60] = 0, 9
    take_layer(dock, dock.viewer.add_labels(cells, name="mine"), qtbot)
    assert dock.message.text() == "Imported from layer 'mine': 2 objects on 1 frame."
    start(dock)
    tracked(dock, qtbot)
    assert {i: session.frames_of(i) for i in (3, 9)} == {3: list(range(6)), 9: list(range(6))}


@pytest.mark.gui
def test_points_and_shapes_become_prompts_of_an_object_each(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs, scale=(2, 0.5, 0.5))
    session = annotation_of(dock).session
    points = dock.viewer.add_points([[1, 20, 22], [1, 39, 60], [1, 90, 90]], scale=(2, 0.5, 0.5), name="dots")
    take_layer(dock, points, qtbot)
    assert dock.message.text() == "Imported from layer 'dots': clicks, boxes or masks of 2 objects."
    assert {i: session.frames_of(i) for i in session.objects} == {1: [1], 2: [1]}
    assert session.prompts_of(2)[1][0].points.coordinates.tolist() == [[60, 39]]
    assert not points.visible
    square = np.array([[10, 10], [10, 30], [30, 30], [30, 10]])
    shapes = dock.viewer.add_shapes(
        [square, square], shape_type=["rectangle", "ellipse"], scale=(0.5, 0.5), name="forms"
    )
    annotation_of(dock).stack.show_frame(dock.viewer, 4)
    take_layer(dock, shapes, qtbot)
    box, ellipse = session.prompts_of(3)[4][0].box, session.mask(4, 4)
    assert box is not None
    assert ellipse is not None
    assert box.corners.tolist() == [[10.5, 10.5], [29.5, 29.5]]
    assert ellipse.sum() == pytest.approx(np.pi * 100, rel=0.1)
    dock.history.undo.click()
    shown_when_idle(dock, qtbot)
    assert list(session.objects) == [1, 2]


@pytest.mark.gui
def test_shapes_become_finished_masks(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    session = annotation_of(dock).session
    square = np.array([[2, 10, 10], [2, 10, 30], [2, 30, 30], [2, 30, 10]])
    shapes = dock.viewer.add_shapes(
        [square, square + np.array([0, 5, 30])], shape_type=["rectangle", "polygon"], name="forms"
    )
    dock.importing.kind.value = False
    take_layer(dock, shapes, qtbot)
    assert dock.message.text() == "Imported from layer 'forms': masks of 2 objects."
    assert session.prompts_of(1) == {}  # to be corrected, not to be tracked from
    assert session.mask(1, 2).sum() == pytest.approx(400, rel=0.11)
    dock.history.undo.click()
    shown_when_idle(dock, qtbot)
    assert session.objects == {}
    dock.importing.verify.value = True
    take_layer(dock, shapes, qtbot)
    assert session.verified(2 + 1) == {2}
    dots = dock.viewer.add_points([[2, 20, 20]], name="dots")
    dock.viewer.layers.selection.active = dots
    dock.importing.layer.click()
    assert dock.message.text() == "Layer 'dots' holds points, no masks; count them as “to track from”."
