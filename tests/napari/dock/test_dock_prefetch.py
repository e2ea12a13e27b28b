"""The shown frame is ready before the first click on it, its neighbors next; what was passed by is not."""

import threading
from typing import Any

import numpy as np
import pytest
from dock_steps import WAIT, Open, annotation_of
from numpy.typing import NDArray

from napari_plugin.annotation.prefetch import neighbors
from sam2_plugins.session.annotation_session import AnnotationSession

pytestmark = pytest.mark.gui


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames that were made ready, in order."""
    frames: list[int] = []
    original = AnnotationSession.iter_prefetch

    def prefetch(session: AnnotationSession, wanted: Any) -> Any:
        for frame in original(session, wanted):
            frames.append(frame)
            yield frame

    monkeypatch.setattr(AnnotationSession, "iter_prefetch", prefetch)
    return frames


def test_the_shown_frame_and_then_its_neighbors_are_ready_before_a_click(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, encoded: list[int]
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    shown = annotation.shown_frame
    wanted = [shown, shown, *neighbors(shown, len(discs))]
    qtbot.waitUntil(lambda: encoded == wanted, timeout=WAIT)
    cache = annotation.session._cache
    assert len(cache) == len(set(wanted))


def test_frames_that_the_slider_passes_are_left_out_and_clicks_go_ahead(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, encoded: list[int]
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    shown = annotation.shown_frame
    qtbot.waitUntil(lambda: encoded == [shown, shown, *neighbors(shown, len(discs))], timeout=WAIT)
    queue, gate, order = dock._application.worker.queue, threading.Event(), []
    queue.submit(gate.wait)
    encoded.clear()
    for frame in (1, 2, 4):
        annotation.stack.show_frame(dock.viewer, frame)
    qtbot.waitUntil(lambda: dock.images._prefetch._ready[:1] == (4,), timeout=WAIT)
    annotation.stack.show_frame(dock.viewer, 5)  # elsewhere, before anything of it was done
    qtbot.waitUntil(lambda: dock.images._prefetch._ready[:1] == (5,), timeout=WAIT)
    queue.submit(lambda: order.append(list(encoded)))  # a click
    gate.set()
    qtbot.waitUntil(lambda: encoded == [5, 5, *neighbors(5, len(discs))], timeout=WAIT)
    assert order == [[]]


def test_nearest_frames_first() -> None:
    assert neighbors(5, 100) == [6, 4, 7, 3, 8, 2, 9, 1]
    assert neighbors(0, 3) == [1, 2]
    assert neighbors(2, 3) == [1, 0]
    assert neighbors(0, 1) == []
