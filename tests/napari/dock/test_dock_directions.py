"""Every object goes both ways from its own prompts, whatever was stopped, undone or closed in between."""

from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.session.propagation_plan import Direction
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
LEFT_DISC, RIGHT_DISC = 1, 2


@pytest.fixture
def clicked(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """Two objects of 24 frames: one clicked on frame 5, the other on frame 20."""
    dock = open_dock(np.concatenate([discs] * 4))
    hand, stack = Hand(dock, qtbot), annotation_of(dock).stack
    stack.show_frame(dock.viewer, 5)
    hand.click(30, 20)
    qtbot.waitUntil(lambda: labels(dock)[5].any(), timeout=WAIT)
    stack.show_frame(dock.viewer, 20)
    hand.press("N")
    hand.click(60, 38)
    qtbot.waitUntil(lambda: (labels(dock)[20] == RIGHT_DISC).any(), timeout=WAIT)
    return dock


def frames_of(dock: AnnotationDock) -> dict[int, list[int]]:
    session = annotation_of(dock).session
    return {object_id: session.frames_of(object_id) for object_id in session.objects}


EVERYWHERE = {LEFT_DISC: list(range(24)), RIGHT_DISC: list(range(24))}


def test_both_tracks_every_object_in_both_directions(clicked: AnnotationDock, qtbot: Any) -> None:
    start(clicked, Direction.BOTH)
    wait_until_tracked(clicked, qtbot)
    assert frames_of(clicked) == EVERYWHERE
    clicked.propagation._estimate_soon.flush()
    assert not clicked.propagation.resume.isEnabled()  # nothing is left


@pytest.mark.parametrize("after", [3, 26])
def test_what_was_stopped_on_either_way_is_finished(clicked: AnnotationDock, qtbot: Any, after: int) -> None:
    dock, panel = clicked, clicked.propagation
    done: list[Any] = []
    annotation_of(dock).propagation.stepped.connect(lambda *step: done.append(step))
    start(dock, Direction.BOTH)
    qtbot.waitUntil(lambda: len(done) >= after, timeout=WAIT)
    panel.stop.click()
    wait_until_tracked(dock, qtbot)
    assert frames_of(dock) != EVERYWHERE
    qtbot.waitUntil(panel.resume.isEnabled, timeout=WAIT)
    assert panel.resume.text() == "Continue"
    Hand(dock, qtbot).press("G", "Shift")
    wait_until_tracked(dock, qtbot)
    assert frames_of(dock) == EVERYWHERE


def test_what_is_missing_is_tracked_after_an_undo_and_in_another_dock(
    clicked: AnnotationDock, open_dock: Open, qtbot: Any
) -> None:
    dock, viewer = clicked, clicked.viewer
    start(dock)
    qtbot.waitUntil(lambda: labels(dock)[7].any(), timeout=WAIT)
    dock.history.undo.click()  # stops it, and takes it back
    wait_until_tracked(dock, qtbot)
    shown_when_idle(dock, qtbot)
    qtbot.waitUntil(dock.propagation.resume.isEnabled, timeout=WAIT)
    assert dock.propagation.resume.text() == "Track missing"
    viewer.window.remove_dock_widget(dock)
    again = AnnotationDock(viewer, dock._application)
    viewer.window.add_dock_widget(again, name="again")
    qtbot.waitUntil(lambda: again.annotation is not None, timeout=WAIT)
    qtbot.waitUntil(again.propagation.resume.isEnabled, timeout=WAIT)
    again.propagation.resume.click()
    wait_until_tracked(again, qtbot)
    assert frames_of(again) == EVERYWHERE


def test_nothing_to_track_leaves_nothing_to_continue(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    start(dock)
    qtbot.waitUntil(lambda: "nothing to track yet" in dock.message.text(), timeout=WAIT)
    dock.propagation._estimate_soon.flush()
    assert not dock.propagation.resume.isEnabled()
    dock.viewer.dims.set_point(0, 0)
    Hand(dock, qtbot).click(20, 20)
    qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)
    qtbot.waitUntil(dock.propagation.resume.isEnabled, timeout=WAIT)
    start(dock)
    wait_until_tracked(dock, qtbot)
    Hand(dock, qtbot).press("H")  # the only prompted frame is verified
    shown_when_idle(dock, qtbot)
    dock.propagation._estimate_soon.flush()
    backward = dock.propagation.buttons[Direction.BACKWARD]
    assert backward.toolTip().endswith("nothing left to track")
    backward.click()
    wait_until_tracked(dock, qtbot)
    assert dock.message.text() == "There was nothing left to track."
