"""Masks appear in the order in which they were computed, whatever is asked for in between."""

from typing import Any

import numpy as np
import pytest
from dock_steps import WAIT, Open, annotation_of, click, labels, shown_when_idle, start, wait_until_tracked
from numpy.typing import NDArray

pytestmark = pytest.mark.gui


def test_an_older_preview_is_never_shown_over_a_newer_one(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    view, masks = annotation.sync.stale_frames, annotation.masks
    compute, write = view.label_image, masks.write
    computed: list[NDArray[Any]] = []
    shown: list[int] = []

    def label_image(frame: int) -> NDArray[Any]:
        computed.append(compute(frame))
        return computed[-1]

    def show(frame: int, image: NDArray[Any]) -> None:
        shown.append(next(number for number, one in enumerate(computed) if one is image))
        write(frame, image)

    monkeypatch.setattr(view, "label_image", label_image)
    monkeypatch.setattr(masks, "write", show)
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: bool(shown), timeout=WAIT)
    start(dock)
    for x in (22, 40, 60):  # faster than they are computed, and while frames are tracked
        click(dock, 0, x, 30)
        qtbot.wait(1)
    click(dock, 3, 30, 20)
    dock.history.undo_last()
    click(dock, 0, 24, 24)
    wait_until_tracked(dock, qtbot)
    shown_when_idle(dock, qtbot)
    assert shown == sorted(shown)
    assert len(set(shown)) == len(shown)
    for frame in range(len(discs)):
        np.testing.assert_array_equal(labels(dock)[frame], annotation.session.label_image(frame))
