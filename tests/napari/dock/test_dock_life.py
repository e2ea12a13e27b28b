"""Whatever happens around the dock while it works: nothing breaks, finished masks stay."""

from typing import Any

import numpy as np
import pytest
from dock_steps import WAIT, Open, annotation_of, click, labels, shown_when_idle, start, wait_until_tracked
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtGui import QOpenGLContext
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from napari_plugin.widgets.dock import AnnotationDock

pytestmark = pytest.mark.gui


def begin_a_long_run(dock: AnnotationDock, qtbot: Any) -> None:
    click(dock, 0, 20, 20)
    start(dock)
    qtbot.waitUntil(lambda: labels(dock)[1].any(), timeout=WAIT)


def names(dock: AnnotationDock) -> list[str]:
    return [layer.name for layer in dock.viewer.layers]


def choose(dock: AnnotationDock, number: int, qtbot: Any) -> None:
    """Choose the image of a number in the list of layers."""
    dock.image.choose([layer for layer in dock.viewer.layers if isinstance(layer, Image)][number])
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)


@pytest.fixture
def long_stack(discs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([discs] * 30)


@pytest.mark.parametrize(
    "which",
    [
        "image",
        pytest.param("prompts", marks=pytest.mark.slow),
        pytest.param("boxes", marks=pytest.mark.slow),
        "objects",
    ],
)
def test_a_layer_removed_while_working_ends_the_annotation_in_words(
    open_dock: Open, long_stack: NDArray[np.uint8], qtbot: Any, which: str
) -> None:
    dock = open_dock(long_stack)
    begin_a_long_run(dock, qtbot)
    annotation, masks = annotation_of(dock), annotation_of(dock).masks.layer
    removed = {
        "image": annotation.stack.layer,
        "prompts": annotation.prompts.points,
        "boxes": annotation.prompts.boxes,
        "objects": masks,
    }[which]
    dock.viewer.layers.remove(removed)
    qtbot.waitUntil(lambda: dock.annotation is None, timeout=WAIT)
    assert dock.message.text() == f"Layer '{removed.name}' was removed, so annotating has ended."
    assert masks.data[1].any()
    assert masks.editable
    assert not dock.propagation.stop.isEnabled()
    left = [masks] if which in ("prompts", "boxes") else []
    assert [layer for layer in dock.viewer.layers if layer in annotation.layers] == left
    if which != "image":  # and it can begin anew
        qtbot.wait(50)  # the canvas is drawn without the layer
        dock.image.choose(annotation.stack.layer)
        dock.image.chosen.emit()
        qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
        click(dock, 0, 20, 20)
        qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)


def test_all_layers_may_go_at_once(open_dock: Open, long_stack: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(long_stack)
    begin_a_long_run(dock, qtbot)
    dock.viewer.layers.clear()
    qtbot.waitUntil(lambda: dock.annotation is None, timeout=WAIT)
    assert dock.image.combo.count() == 1


def test_layers_are_removed_in_the_context_of_the_canvas(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    canvas = dock.window().centralWidget().findChild(QOpenGLWidget)
    canvas.doneCurrent()
    contexts = []
    dock.viewer.layers.events.removed.connect(lambda _: contexts.append(QOpenGLContext.currentContext()))
    dock.viewer.layers.remove(annotation_of(dock).masks.layer)
    assert contexts == [canvas.context()]


def test_replaced_pixels_end_the_annotation(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    annotation_of(dock).stack.layer.data = discs[:, :40, :40]
    qtbot.waitUntil(lambda: dock.annotation is None, timeout=WAIT)
    assert "were replaced" in dock.message.text()


def test_closing_the_dock_stops_work_and_keeps_masks(
    open_dock: Open, long_stack: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(long_stack)
    begin_a_long_run(dock, qtbot)
    viewer, annotation = dock.viewer, annotation_of(dock)
    session, masks = annotation.session, annotation.masks.layer
    viewer.window.remove_dock_widget(dock)
    assert [layer for layer in viewer.layers if layer in annotation.layers] == [masks]
    done = len(session.frames_of(1))
    qtbot.wait(300)
    assert len(session.frames_of(1)) <= done + 1  # the frame at hand was finished
    assert masks.data[1].any()
    again = AnnotationDock(viewer, dock._application)
    viewer.window.add_dock_widget(again, name="again")
    qtbot.waitUntil(lambda: again.annotation is not None, timeout=WAIT)
    assert annotation_of(again).masks.layer is masks
    assert names(again) == ["image", "objects of image", "boxes on image", "clicks on image"]


def test_closing_the_window_stops_work(open_dock: Open, long_stack: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(long_stack)
    begin_a_long_run(dock, qtbot)
    session = annotation_of(dock).session
    queue = dock._application.worker.queue
    dock.viewer.close()
    qtbot.wait(50)
    queue.submit(lambda: None).result(WAIT)
    done = len(session.frames_of(1))
    queue.submit(lambda: None).result(WAIT)
    assert len(session.frames_of(1)) == done < 180


def test_each_image_keeps_its_own_annotation(
    open_dock: Open, long_stack: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(long_stack, long_stack[:10])
    short = annotation_of(dock)
    first, second = dock.image._layers[1], dock.image._layers[0]
    assert short.stack.layer == second
    dock.image.choose(first)
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation not in (None, short), timeout=WAIT)
    begin_a_long_run(dock, qtbot)
    long = annotation_of(dock)
    dock.image.choose(second)
    dock.image.chosen.emit()
    assert dock.annotation is short
    assert long.propagation.running  # goes on in the background
    assert dock.propagation.buttons[next(iter(dock.propagation.buttons))].isEnabled()
    seen = len(long.session.frames_of(1))
    qtbot.waitUntil(lambda: len(long.session.frames_of(1)) > seen, timeout=WAIT)
    dock.image.choose(first)
    dock.image.chosen.emit()
    dock.propagation.stop.click()
    wait_until_tracked(dock, qtbot)


def test_hasty_choices_end_with_the_last_one(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs, discs[:3], wait=False)
    for layer in (*dock.image._layers, dock.image._layers[0]):
        dock.image.choose(layer)
        dock.image.chosen.emit()
    last = dock.image._layers[0]
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    assert annotation_of(dock).stack.layer == last
    shown_when_idle(dock, qtbot)
    assert annotation_of(dock).stack.layer == last
    assert sum(layer.name.startswith("clicks") for layer in dock.viewer.layers) == 1


def test_renamed_and_new_images_are_in_the_list(open_dock: Open, discs: NDArray[np.uint8]) -> None:
    dock = open_dock(discs)
    annotation_of(dock).stack.layer.name = "renamed"
    dock.viewer.add_image(discs, name="another")
    assert [dock.image.combo.itemText(i) for i in range(3)] == ["choose an image", "another", "renamed"]
    assert dock.image.combo.currentText() == "renamed"


def test_an_image_without_a_number_in_it_is_refused(open_dock: Open, qtbot: Any) -> None:
    dock = open_dock(np.full((3, 20, 30), np.nan, np.float32), wait=False)
    qtbot.waitUntil(lambda: "finite" in dock.message.text(), timeout=WAIT)
    assert dock.annotation is None


def test_other_axes_and_other_choices_leave_one_set_of_layers(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs, name="cells")
    expected = ["cells", "objects of cells", "boxes on cells", "clicks on cells"]
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)
    for axes in ("ZYX", "TYX"):
        dock.image.axes.setText(axes)
        dock.image.axes.returnPressed.emit()
        qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
        assert names(dock) == expected
        shown_when_idle(dock, qtbot)
    for number in range(3):
        dock.viewer.layers.remove(annotation_of(dock).layers[number])
        qtbot.waitUntil(lambda: dock.annotation is None, timeout=WAIT)
        qtbot.wait(50)
        choose(dock, 0, qtbot)
        assert sorted(names(dock)) == sorted(expected)
        qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)
    annotation_of(dock).stack.layer.name = "nuclei"
    assert sorted(names(dock)) == sorted(name.replace("cells", "nuclei") for name in expected)
    dock.viewer.layers.remove(annotation_of(dock).stack.layer)
    qtbot.waitUntil(lambda: not dock.viewer.layers, timeout=WAIT)


def test_only_the_chosen_image_shows_its_layers(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs, discs[:3])
    second = annotation_of(dock)
    choose(dock, 0, qtbot)
    first = annotation_of(dock)
    assert first is not second
    assert [one.masks.layer.visible for one in (first, second)] == [True, False]
    assert [one.prompts.points.visible for one in (first, second)] == [True, False]
    first.masks.layer.visible = False  # as the user wants it
    choose(dock, 1, qtbot)
    assert second.masks.layer.visible
    assert dock.viewer.layers.selection.active == second.prompts.points
    choose(dock, 0, qtbot)
    assert not first.masks.layer.visible
    assert first.prompts.points.visible
    first.stack.layer.visible = False
    assert not first.prompts.points.visible
    first.stack.layer.visible = True
    assert first.prompts.points.visible
