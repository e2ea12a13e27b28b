"""Tracks in the dock: a layer while it is wanted, which goes along with what is known."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Tracks
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, Open, annotation_of, click, start, wait_until_tracked

pytestmark = pytest.mark.gui


def tracks_in(dock: AnnotationDock) -> list[Any]:
    return [layer for layer in dock.viewer.layers if isinstance(layer, Tracks)]


def places(dock: AnnotationDock) -> list[list[int]]:
    """Return track and frame of every row that is shown."""
    return [[int(row[0]), int(row[1])] for layer in tracks_in(dock) for row in layer.data]


def test_tracks_are_shown_while_they_are_wanted(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs, name="cells")
    annotation = annotation_of(dock)
    mask = np.zeros(annotation.session.shape, bool)
    mask[10:20, 30:40] = True
    annotation.edit(lambda session: session.import_masks(0, {1: mask}))
    annotation.edit(lambda session: session.import_masks(2, {1: mask}))
    qtbot.waitUntil(lambda: annotation.session.frames_of(1) == [0, 2], timeout=WAIT)
    assert not tracks_in(dock)
    dock.propagation.tracks.click()
    qtbot.waitUntil(lambda: places(dock) == [[1, 0], [1, 2]], timeout=WAIT)
    (layer,) = tracks_in(dock)
    assert layer.name == "tracks of cells"
    np.testing.assert_allclose(layer.data[:, 2:], [[14.5, 34.5]] * 2)
    assert dock.viewer.layers.selection.active == annotation.prompts.points
    annotation.edit(lambda session: session.lineage.divide(1, 2))
    annotation.edit(lambda session: session.import_masks(2, {2: mask}))
    qtbot.waitUntil(lambda: places(dock) == [[1, 0], [2, 2]], timeout=WAIT)
    assert layer.graph == {2: [1]}
    dock.history.undo.click()
    dock.history.undo.click()
    qtbot.waitUntil(lambda: places(dock) == [[1, 0], [1, 2]], timeout=WAIT)
    dock.propagation.tracks.click()
    assert not tracks_in(dock)


def test_tracks_grow_while_objects_are_tracked(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    dock.propagation.tracks.click()  # before anything is there to show
    click(dock, 0, 20, 20)
    start(dock)
    wait_until_tracked(dock, qtbot)
    session = annotation_of(dock).session

    def seen() -> list[list[int]]:
        known = [(frame, session.accepted(1, frame)) for frame in session.frames_of(1)]
        return [[1, frame] for frame, one in known if one is not None and not one.mask.is_empty]

    qtbot.waitUntil(lambda: bool(seen()) and places(dock) == seen(), timeout=WAIT)


def test_removing_the_layer_ends_it_and_nothing_else(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    dock.propagation.tracks.click()
    qtbot.waitUntil(lambda: len(tracks_in(dock)) == 1, timeout=WAIT)
    dock.viewer.layers.remove(tracks_in(dock)[0])
    assert dock.annotation is not None
    assert not dock.propagation.tracks.isChecked()
    click(dock, 2, 24, 20)
    qtbot.waitUntil(lambda: annotation_of(dock).review.idle, timeout=WAIT)
    assert not tracks_in(dock)
    dock.propagation.tracks.click()
    qtbot.waitUntil(lambda: len(tracks_in(dock)) == 1, timeout=WAIT)
