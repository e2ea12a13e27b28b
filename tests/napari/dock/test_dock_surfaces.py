"""Objects of a volume as meshes in three dimensions, by the command of the menu."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Surface
from numpy.typing import NDArray

from napari_plugin.contributions.commands import show_surfaces
from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, Open, annotation_of

pytestmark = pytest.mark.gui


def surfaces(dock: AnnotationDock) -> list[Surface]:
    return [layer for layer in dock.viewer.layers if isinstance(layer, Surface)]


def paint(dock: AnnotationDock) -> None:
    """Two boxes, the second in a plane more."""
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:30, 10:40], masks[1, 35:55, 50:70] = True, True
    session = annotation_of(dock).session
    for frame in range(1, 4):
        session.import_masks(frame, {1: masks[0], 2: masks[1]} if frame < 3 else {2: masks[1]})


def test_meshes_lie_on_their_objects_and_are_shown_once(open_dock: Open, qtbot: Any) -> None:
    dock = open_dock(np.zeros((6, 60, 80), np.uint8), name="ct", axis_labels=("z", "y", "x"))
    paint(dock)
    image = annotation_of(dock).stack.layer
    image.scale, image.units = (3.0, 0.5, 0.5), ("mm", "mm", "mm")
    show_surfaces(dock.viewer)
    qtbot.waitUntil(lambda: bool(surfaces(dock)), timeout=WAIT)
    (layer,) = surfaces(dock)
    assert (layer.name, dock.viewer.dims.ndisplay) == ("surfaces of ct", 3)
    np.testing.assert_allclose(layer.scale, image.scale)
    assert layer.units == image.units
    np.testing.assert_allclose(
        layer.extent.data, [[0.5, 9.5, 9.5], [3.5, 54.5, 69.5]], atol=0.6
    )  # rounded edges push sides out
    colors = np.unique(np.round(layer.vertex_colors[:, :3], 3), axis=0)
    assert len(colors) == 2
    show_surfaces(dock.viewer)
    qtbot.waitUntil(lambda: surfaces(dock) not in ([], [layer]), timeout=WAIT)
    assert len(surfaces(dock)) == 1


def test_at_a_time_point_of_volumes(open_dock: Open, qtbot: Any, discs: NDArray[np.uint8]) -> None:
    dock = open_dock(np.zeros((3, 6, 60, 80), np.uint8), name="ct", axis_labels=("t", "z", "y", "x"))
    dock.image.along.setCurrentText("through the planes")
    before = dock.annotation
    dock.image.along.activated.emit(dock.image.along.currentIndex())
    qtbot.waitUntil(lambda: dock.annotation not in (None, before), timeout=WAIT)
    paint(dock)
    show_surfaces(dock.viewer)
    qtbot.waitUntil(lambda: bool(surfaces(dock)), timeout=WAIT)
    (layer,) = surfaces(dock)
    assert layer.ndim == 4
    assert set(layer.vertices[:, 0]) == {float(annotation_of(dock).stack.fixed["T"])}


def test_what_has_no_surface_is_said(open_dock: Open, discs: NDArray[np.uint8]) -> None:
    dock = open_dock(discs, name="movie")
    show_surfaces(dock.viewer)
    assert "are times, and volumes are of planes" in dock.message.text()
    assert not surfaces(dock)
