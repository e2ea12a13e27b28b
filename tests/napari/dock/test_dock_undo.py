"""Undo and redo in the dock: the layers show what the session knows again."""

from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from dock_steps import (
    WAIT,
    Open,
    annotation_of,
    click,
    labels,
    shown_when_idle,
    start,
    wait_until_tracked,
)
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock

pytestmark = pytest.mark.gui


def layers_of(dock: AnnotationDock) -> dict[str, Any]:
    annotation = annotation_of(dock)
    return {
        "points": annotation.prompts.points,
        "boxes": annotation.prompts.boxes,
        "image": annotation.stack.layer,
        "masks": annotation.masks.layer,
    }


def state(dock: AnnotationDock, qtbot: Any) -> tuple[Any, ...]:
    """What a person sees, once all work is done: masks, clicks, boxes, objects."""
    shown = shown_when_idle(dock, qtbot).copy()
    annotation = annotation_of(dock)
    return shown.tolist(), annotation.prompts.read(), list(annotation.session.objects)


def test_keys_undo_and_redo_whichever_layer_is_active(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    dock.objects.new.click()
    click(dock, 0, 20, 20)
    before = state(dock, qtbot)
    hand = Hand(dock, qtbot)
    for active in layers_of(dock).values():
        dock.viewer.layers.selection.active = active
        hand.press("Z", "Control")
        assert state(dock, qtbot)[1:] == ({}, [1]), active.name
        assert not labels(dock).any()
        assert dock.message.text() == "Undone: click on object 1."
        assert dock.history.redo.toolTip() == "Redo: click on object 1 (key Ctrl+Shift+Z)"
        hand.press("Z", "Control", "Shift")
        assert state(dock, qtbot) == before, active.name
    assert before[0] != np.zeros_like(labels(dock)).tolist()


def test_everything_is_undone_step_by_step_and_done_again(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    states = [state(dock, qtbot)]

    def after(act: Any) -> None:
        act()
        states.append(state(dock, qtbot))

    after(lambda: click(dock, 0, 20, 20))
    after(lambda: click(dock, 0, 60, 40))
    after(lambda: annotation.prompts.points.remove_selected())
    after(lambda: dock.objects.new.click())
    outline = np.array([[0, 30, 50], [0, 30, 70], [0, 50, 70], [0, 50, 50]])
    after(lambda: annotation.prompts.boxes.add_rectangles([outline]))
    start(dock)
    wait_until_tracked(dock, qtbot)
    states.append(state(dock, qtbot))
    after(lambda: dock.objects.remove.click())
    assert states[-1][2] == [1]
    for earlier in reversed(states[:-1]):
        dock.history.undo.click()
        assert state(dock, qtbot) == earlier
    for later in states[1:]:
        dock.history.redo.click()
        assert state(dock, qtbot) == later
    assert not dock.history.redo.isEnabled()


def test_a_click_of_just_now_outlives_the_undo_of_another(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    dock.history.undo.click()
    click(dock, 0, 24, 20)  # before the undo has come back
    shown_when_idle(dock, qtbot)
    session = annotation_of(dock).session
    (object_id,) = session.objects
    (prompt,) = session.prompts_of(object_id)[0]
    assert prompt.points is not None
    assert prompt.points.coordinates.tolist() == [[24, 20]]
    assert len(annotation_of(dock).prompts.points.data) == 1


def test_undo_while_tracking_ends_it_and_takes_it_back(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(np.concatenate([discs] * 10))
    click(dock, 0, 20, 20)
    start(dock)
    qtbot.waitUntil(lambda: labels(dock)[2].any(), timeout=WAIT)
    dock.history.undo.click()
    wait_until_tracked(dock, qtbot)
    shown_when_idle(dock, qtbot)
    assert annotation_of(dock).session.frames_of(1) == [0]
    assert not labels(dock)[1:].any()
    assert labels(dock)[0].any()
