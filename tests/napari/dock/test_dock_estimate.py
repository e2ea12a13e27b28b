"""What tracking will take is said before it begins, once something was measured."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_plugins.session.propagation_plan import Direction
from tests.napari.dock_steps import WAIT, Open, annotation_of, click, labels, start, wait_until_tracked


def test_the_estimate_stands_beside_the_buttons(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    panel = dock.propagation
    assert panel.estimate.text() == ""  # there is nothing to track
    click(dock, 1, 22, 20)
    qtbot.waitUntil(lambda: labels(dock)[1].any(), timeout=WAIT)
    qtbot.waitUntil(
        lambda: (
            re.fullmatch(
                r"Forward: 5 frames, [\d.]+ kB, time not known before the first ones", panel.estimate.text()
            )
            is not None
        ),
        timeout=WAIT,
    )
    assert panel.estimate.isVisible()
    assert "2 frames" in panel.buttons[Direction.BACKWARD].toolTip()
    with annotation_of(dock).session.annotations.lock:  # tracking does not end meanwhile
        start(dock)
        qtbot.waitUntil(lambda: panel.estimate.text() == "", timeout=WAIT)
    wait_until_tracked(dock, qtbot)
    qtbot.waitUntil(lambda: panel.estimate.text().startswith("Forward: 5 frames, about "), timeout=WAIT)
    dock.viewer.dims.set_point(0, 4)
    panel.from_shown.setChecked(True)
    qtbot.waitUntil(lambda: panel.estimate.text().startswith("Forward: 2 frames, about "), timeout=WAIT)
