"""Names of objects on the canvas: those of the shown frame, in their colors, as long as they are wanted."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Points
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, Open, annotation_of, shown_when_idle

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """One object named nucleus on all frames, one without a name on frame 2."""
    dock = open_dock(discs, name="cells")
    masks = np.zeros((2, *discs.shape[1:]), bool)
    masks[0, 12:28, 14:30] = masks[1, 30:50, 50:70] = True

    def act(session: Any) -> None:
        for frame in range(len(discs)):
            session.import_masks(frame, {1: np.roll(masks[0], frame, axis=1)})
        session.import_masks(2, {2: masks[1]})
        session.edit_object(1, name="nucleus")

    annotation_of(dock).edit(act)
    shown_when_idle(dock, qtbot)
    return dock


def names_layer(dock: AnnotationDock) -> Points | None:
    found = [layer for layer in dock.viewer.layers if layer.name == "names on cells"]
    return found[0] if found else None


def written(dock: AnnotationDock) -> list[tuple[str, list[float]]]:
    annotation_of(dock).names.update_soon.flush()
    layer = names_layer(dock)
    assert layer is not None
    return [(str(word), place.tolist()) for word, place in zip(layer.text.values, layer.data)]


def test_they_stand_at_the_masks_of_the_shown_frame(dock: AnnotationDock, qtbot: Any) -> None:
    annotation, active = annotation_of(dock), dock.viewer.layers.selection.active
    annotation.stack.show_frame(dock.viewer, 2)
    dock.objects.names.click()
    assert written(dock) == [("nucleus", [2, 11.5, 15.5]), ("2", [2, 29.5, 49.5])]
    assert dock.viewer.layers.selection.active == active  # clicks go on where they went
    layer = names_layer(dock)
    assert layer is not None
    colors = np.array([one.color for one in annotation.session.objects.values()]) / 255
    np.testing.assert_allclose(layer.text.color._values[:, :3], colors, atol=0.01)
    annotation.stack.show_frame(dock.viewer, 3)
    assert written(dock) == [("nucleus", [3, 11.5, 16.5])]
    annotation.edit(lambda session: session.edit_object(1, name="HeLa"))
    qtbot.waitUntil(lambda: written(dock)[0][0] == "HeLa", timeout=WAIT)
    dock.viewer.dims.ndisplay = 3
    assert written(dock) == []
    dock.viewer.dims.ndisplay = 2
    assert [name for name, _ in written(dock)] == ["HeLa"]


def test_they_are_switched_off_by_the_box_or_with_their_layer(dock: AnnotationDock) -> None:
    dock.objects.names.click()
    layer = names_layer(dock)
    assert layer is not None
    dock.viewer.layers[0].scale = (1, 2, 2)
    np.testing.assert_allclose(layer.scale, (1, 2, 2))
    dock.objects.names.click()
    assert names_layer(dock) is None
    dock.objects.names.click()
    layer = names_layer(dock)
    assert layer is not None
    dock.viewer.layers.remove(layer)
    assert not dock.objects.names.isChecked()


def test_they_come_again_with_another_image_and_another_dock(
    dock: AnnotationDock, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock.objects.names.click()
    viewer = dock.viewer
    viewer.add_image(discs[:3], name="others")
    dock.image.choose(viewer.layers["others"])
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: "names on others" in viewer.layers, timeout=WAIT)
    assert not viewer.layers["names on cells"].visible
    for place in (2, 0, 2, 1):  # the hidden ones let be what they cannot draw
        viewer.dims.set_point(0, place)
        qtbot.wait(80)
    viewer.dims.ndisplay = 3
    qtbot.wait(80)
    viewer.dims.ndisplay = 2
    viewer.window.remove_dock_widget(dock)
    again = AnnotationDock(viewer, dock._application)
    viewer.window.add_dock_widget(again, name="again")
    qtbot.waitUntil(lambda: again.annotation is not None, timeout=WAIT)
    assert again.objects.names.isChecked()
    assert annotation_of(again).names.shown
