"""Masks written into a Labels layer of the user's, and taken back by that layer's own undo."""

from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from dock_steps import WAIT, Open, annotation_of, labels, shown_when_idle
from napari.layers import Labels
from numpy.typing import NDArray

from napari_plugin.layers import ImageStack
from napari_plugin.layers.label_target import commit_masks
from napari_plugin.widgets.dock import AnnotationDock
from sam2_engine import InputError
from sam2_plugins import AnnotationSession, ModelStore
from sam2_plugins.session.readable import run_to_end

pytestmark = pytest.mark.gui


@pytest.fixture
def masked(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """Objects 1 on frame 0 and 2 on frames 0 and 3."""
    dock = open_dock(discs)
    one, two = np.zeros((2, 60, 80), bool)
    one[10:20, 10:20] = two[30:40, 30:40] = True
    annotation_of(dock).edit(lambda session: session.import_masks(0, {1: one, 2: two}))
    annotation_of(dock).edit(lambda session: session.import_masks(3, {2: two}))
    shown_when_idle(dock, qtbot)
    return dock


@pytest.fixture
def mine() -> NDArray[np.uint8]:
    """Labels 1 (elsewhere than object 1), 7 below object 2, and 9 beside everything."""
    there = np.zeros((6, 60, 80), np.uint8)
    there[0, 50:55, 50:55] = 1
    there[0, 35:45, 35:45] = 7
    there[2, 0:5, 0:5] = 9
    return there


def commit(dock: AnnotationDock, layer: Labels, qtbot: Any) -> None:
    dock.viewer.layers.selection.active = layer
    dock.commit.selected.click()
    qtbot.waitUntil(lambda: "written into layer" in dock.message.text(), timeout=WAIT)


def test_same_number_same_object_and_the_layers_undo_takes_it_back(
    masked: AnnotationDock, mine: NDArray[np.uint8], qtbot: Any
) -> None:
    dock, before = masked, mine.copy()
    expected = np.where(labels(dock) > 0, labels(dock), before)
    expected[0, 50:55, 50:55] = 0  # label 1 was object 1
    layer = dock.viewer.add_labels(mine, name="mine")
    commit(dock, layer, qtbot)
    assert dock.message.text() == (
        "2 objects on 2 frames written into layer 'mine'. 25 pixels of other labels were written over. "
        "With that layer selected, Ctrl+Z takes it back."
    )
    np.testing.assert_array_equal(layer.data, expected)
    Hand(dock, qtbot).press("Z", "Control")
    np.testing.assert_array_equal(layer.data, before)
    assert annotation_of(dock).session.frames_of(2) == [0, 3]  # the session was asked nothing


def test_beside_labels_that_stay(masked: AnnotationDock, mine: NDArray[np.uint8], qtbot: Any) -> None:
    dock, before = masked, mine.copy()
    dock.commit.there.value = True
    layer = dock.viewer.add_labels(mine, name="mine")
    commit(dock, layer, qtbot)
    assert "Object 1 is label 10 there" in dock.message.text()
    np.testing.assert_array_equal(layer.data[before > 0], before[before > 0])
    assert (layer.data == 10).sum() == 100
    assert (layer.data == 11).sum() == 200 - 25


def test_into_a_new_layer(masked: AnnotationDock, qtbot: Any) -> None:
    dock = masked
    dock.commit.new.click()
    qtbot.waitUntil(lambda: "labels of image" in dock.viewer.layers, timeout=WAIT)
    layer = dock.viewer.layers["labels of image"]
    np.testing.assert_array_equal(layer.data, labels(dock))
    assert isinstance(layer.data, np.ndarray)


def test_what_cannot_be_written_into_is_said(masked: AnnotationDock, qtbot: Any) -> None:
    dock = masked
    dock.commit.selected.click()
    assert dock.message.text().startswith("Select a Labels layer of yours")
    dock.viewer.layers.selection.active = dock.viewer.add_labels(np.zeros((5, 60, 80), int), name="other")
    dock.commit.selected.click()
    qtbot.waitUntil(lambda: "but the image is" in dock.message.text(), timeout=WAIT)


@pytest.mark.parametrize(
    ("shape", "axes", "place"),
    [
        ((6, 3, 60, 80), "TCYX", (0, slice(None))),
        ((6, 4, 60, 80), "TZYX", (0, 2)),
        ((60, 80), "YX", ()),
    ],
)
def test_layers_with_further_axes(shape: tuple[int, ...], axes: str, place: tuple[Any, ...]) -> None:
    viewer_model = pytest.importorskip("napari.components").ViewerModel()
    stack = ImageStack.of(viewer_model.add_image(np.zeros(shape, np.uint8)), axes, fixed={"Z": 2})
    session = AnnotationSession(stack.open(), ModelStore("cpu"))
    mask = np.zeros((60, 80), bool)
    mask[5:9, 5:9] = True
    session.import_masks(0, {300: mask})
    layer = viewer_model.add_labels(np.zeros(shape, np.uint16))
    run_to_end(commit_masks(session, layer, stack, 0, beside=False)).write()
    expected = np.zeros(shape, np.uint16)
    expected[(*place, mask)] = 300
    np.testing.assert_array_equal(layer.data, expected)
    layer.undo()
    assert not layer.data.any()
    with pytest.raises(InputError, match="cannot hold label 300"):
        run_to_end(commit_masks(session, Labels(np.zeros(shape, np.uint8)), stack, 0, beside=False))
