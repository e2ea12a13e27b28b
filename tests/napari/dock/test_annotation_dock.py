"""The dock in a real window: what a person does, and what they see of it."""

import gc
from typing import Any

import dask.array as da
import numpy as np
import pytest
from dock_steps import (
    WAIT,
    Open,
    annotation_of,
    click,
    labels,
    rows_of,
    shown_when_idle,
    start,
    wait_until_tracked,
)
from numpy.typing import NDArray

from sam2_plugins.session.propagation_plan import Direction

pytestmark = pytest.mark.gui


def test_a_click_shows_a_mask_of_the_current_object(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    name = annotation_of(dock).stack.layer.name
    made = [layer.name for layer in dock.viewer.layers][1:]
    assert made == [f"objects of {name}", f"boxes on {name}", f"clicks on {name}"]
    assert dock.viewer.layers.selection.active == annotation_of(dock).prompts.points
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: (labels(dock)[0] == 1).any(), timeout=WAIT)
    dock.objects.new.click()
    click(dock, 2, 60, 40)
    qtbot.waitUntil(lambda: (labels(dock)[2] == 2).any(), timeout=WAIT)
    assert not (labels(dock)[2] == 1).any()
    assert rows_of(dock.objects.list) == [["object 1", "1"], ["object 2", "1"]]
    assert dock.model.device.currentData() == "cpu"
    dock.model.show_device("tcp://gpu-node:8786")
    assert dock.model.device.currentText() == "gpu-node:8786"


def test_what_is_shown_is_what_the_session_holds(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    session = annotation_of(dock).session
    for x in (20, 24, 28, 32):  # faster than masks can be computed
        click(dock, 0, x, 20)
    annotation_of(dock).set_excluding(True)
    click(dock, 0, 60, 40)
    qtbot.waitUntil(lambda: len(clicks_of(session)) == 5, timeout=WAIT)
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot)[0], session.label_image(0))


def clicks_of(session: Any) -> list[Any]:
    if 1 not in session.objects:
        return []
    return [point for one in session.prompts_of(1).get(0, ()) for point in one.points.coordinates]


def test_a_drawn_box_shows_a_mask(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    dock.objects.box.click()
    boxes = annotation_of(dock).prompts.boxes
    assert dock.viewer.layers.selection.active == boxes
    boxes.add_rectangles([np.array([[1, 10, 10], [1, 10, 32], [1, 30, 32], [1, 30, 10]])])
    qtbot.waitUntil(lambda: (labels(dock)[1] == 1).any(), timeout=WAIT)
    (prompt,) = annotation_of(dock).session.prompts_of(1)[1]
    assert prompt.box is not None


def test_removing_a_click_and_an_object_takes_their_masks_away(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: (labels(dock)[0] == 1).any(), timeout=WAIT)
    annotation_of(dock).prompts.points.remove_selected()
    qtbot.waitUntil(lambda: not labels(dock)[0].any(), timeout=WAIT)
    for frame in (0, 3):
        click(dock, frame, 20, 20)
    qtbot.waitUntil(lambda: labels(dock)[0].any() and labels(dock)[3].any(), timeout=WAIT)
    dock.objects.remove.click()
    qtbot.waitUntil(lambda: dock.objects.list.topLevelItemCount() == 0, timeout=WAIT)
    qtbot.waitUntil(lambda: not labels(dock).any(), timeout=WAIT)  # drawn anew after the list
    assert len(annotation_of(dock).prompts.points.data) == 0
    click(dock, 1, 20, 20)  # belongs to nobody, so an object is made for it
    qtbot.waitUntil(lambda: (labels(dock)[1] == 2).any(), timeout=WAIT)


@pytest.mark.parametrize(
    ("direction", "frames"), [(Direction.FORWARD, 4), (Direction.BACKWARD, 3), (Direction.BOTH, 7)]
)
def test_propagation_fills_the_labels(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, direction: Direction, frames: int
) -> None:
    dock = open_dock(discs)
    click(dock, 2, 24, 20)
    qtbot.waitUntil(lambda: labels(dock)[2].any(), timeout=WAIT)
    start(dock, direction)
    assert dock.propagation.stop.isEnabled()
    assert not dock.propagation.buttons[Direction.FORWARD].isEnabled()
    wait_until_tracked(dock, qtbot)
    session = annotation_of(dock).session
    assert (
        session.frames_of(1)
        == {
            Direction.FORWARD: [2, 3, 4, 5],
            Direction.BACKWARD: [0, 1, 2],
            Direction.BOTH: [0, 1, 2, 3, 4, 5],
        }[direction]
    )
    for frame in range(6):
        np.testing.assert_array_equal(labels(dock)[frame], session.label_image(frame))
    assert dock.propagation.bar.value() == dock.propagation.bar.maximum() == frames
    assert "frames/s" in dock.propagation.speed.text()
    assert dock.message.text() == f"{frames} frames tracked."
    assert not dock.propagation.stop.isEnabled()


def test_propagation_may_begin_at_the_shown_frame(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    annotation_of(dock).stack.show_frame(dock.viewer, 4)
    dock.propagation.from_shown.click()
    dock.propagation.show_each_frame.click()
    start(dock)
    wait_until_tracked(dock, qtbot)
    assert annotation_of(dock).session.frames_of(1) == [0, 4, 5]
    assert annotation_of(dock).stack.shown_frame(dock.viewer) == 5


def test_stop_keeps_finished_frames_and_clicks_go_ahead(
    open_dock: Open, discs: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    collecting: list[str] = []
    monkeypatch.setattr(gc, "freeze", lambda: collecting.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: collecting.append("unfreeze"))
    dock = open_dock(np.concatenate([discs] * 20))
    click(dock, 0, 20, 20)
    start(dock)
    qtbot.waitUntil(lambda: labels(dock)[2].any(), timeout=WAIT)
    qtbot.waitUntil(lambda: int(rows_of(dock.objects.list)[0][1]) > 1, timeout=WAIT)
    assert annotation_of(dock).propagation.running  # counted while they arrive
    assert collecting == ["freeze"]  # no collection of everything, which would stop the window
    dock.objects.new.click()
    click(dock, 119, 60, 40)
    qtbot.waitUntil(lambda: (labels(dock)[119] == 2).any(), timeout=WAIT)
    assert annotation_of(dock).propagation.running
    dock.propagation.stop.click()
    wait_until_tracked(dock, qtbot)
    assert collecting == ["freeze", "unfreeze"]
    frames = annotation_of(dock).session.frames_of(1)
    assert frames == list(range(len(frames)))
    assert 3 <= len(frames) < 119
    assert labels(dock)[frames[-1]].any()
    assert dock.message.text() == f"Stopped: {len(frames)} frames tracked; their masks stay."


def test_nothing_to_track_is_said_in_a_sentence(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    start(dock)
    qtbot.waitUntil(lambda: dock.message.text().startswith("There is nothing to track yet"), timeout=WAIT)
    assert not annotation_of(dock).propagation.running


def test_clicks_off_the_image_are_left_out_with_a_sentence(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    qtbot.waitUntil(lambda: dock.message.text().startswith("Click on an object"), timeout=WAIT)
    click(dock, 0, 200, 20)
    qtbot.waitUntil(lambda: dock.message.text().startswith("A click off the image"), timeout=WAIT)
    assert len(annotation_of(dock).prompts.points.data) == 0


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (np.zeros((50, 64), np.float32), {}),
        (np.zeros((50, 64, 3), np.uint8), {"rgb": True}),
        (np.zeros((4, 50, 64, 4), np.uint8), {"rgb": True}),
        (np.zeros((4, 3, 50, 64), np.uint16), {}),
        (da.zeros((4, 50, 64), chunks=(1, 50, 64), dtype=np.uint16), {"contrast_limits": (0, 9)}),
        ([np.zeros((4, 50, 64), np.uint8), np.zeros((4, 25, 32), np.uint8)], {"multiscale": True}),
        (
            np.zeros((4, 50, 64), np.uint8),
            {"scale": (30, 0.2, 0.2), "translate": (9, 5, 2), "units": ("s", "um", "um")},
        ),
    ],
    ids=["gray", "rgb", "rgba stack", "channels", "dask", "pyramid", "scaled"],
)
def test_every_kind_of_image_takes_a_click(open_dock: Open, qtbot: Any, image: Any, options: Any) -> None:
    dock = open_dock(image, **options)
    annotation = annotation_of(dock)
    image_layer = annotation.stack.layer
    position = [1] * (len(annotation.stack.dims) - 2) + [25, 30]
    world = image_layer.data_to_world(position)
    points = annotation.prompts.points
    points.add(points.world_to_data(world))
    frame = 1 if annotation.stack.plan.length > 1 else 0
    qtbot.waitUntil(lambda: annotation.session.frames_of(1) == [frame], timeout=WAIT)
    (prompt,) = annotation.session.prompts_of(1)[frame]
    assert prompt.points is not None
    np.testing.assert_allclose(prompt.points.coordinates, [[30, 25]], atol=1e-4)
    np.testing.assert_allclose(annotation.masks.layer.extent.world, image_layer.extent.world)
    assert dock.propagation.isVisible() == (annotation.stack.plan.length > 1)


def test_axes_can_be_corrected(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    assert dock.image.axes.text() == "TYX"
    assert dock.image.description.text() == "6 time points, 60 × 80 pixels, uint8; tracked through time"
    first = dock.annotation
    dock.image.axes.setText("zyx")
    dock.image.axes.returnPressed.emit()
    qtbot.waitUntil(lambda: dock.annotation not in (None, first), timeout=WAIT)
    assert annotation_of(dock).session.frames.axis == "Z"
    assert dock.image.description.text() == "6 planes, 60 × 80 pixels, uint8; tracked through the planes"
    dock.image.axes.setText("TZYX")
    dock.image.axes.returnPressed.emit()
    assert "names 4 axes, but Layer" in dock.message.text()
    assert dock.annotation is None
    assert dock.image.axes.text() == "TZYX"


def test_one_channel_can_be_chosen(open_dock: Open, qtbot: Any) -> None:
    dock = open_dock(np.random.default_rng(0).integers(0, 9, (4, 3, 50, 64)).astype(np.uint8))
    assert annotation_of(dock).session.frames.channels == 3
    first = dock.annotation
    dock.image.channel.setCurrentIndex(2)
    dock.image.channel.activated.emit(2)
    qtbot.waitUntil(lambda: dock.annotation not in (None, first), timeout=WAIT)
    assert annotation_of(dock).session.frames.channels == 1
    np.testing.assert_array_equal(
        annotation_of(dock).session.frames[3], annotation_of(dock).stack.layer.data[3, 1]
    )
