"""Find and track all, in a real window: progress, stop, what is drawn, and one undo."""

from typing import Any

import numpy as np
import pytest
from dock_steps import WAIT, Open, annotation_of, labels, show_tab
from numpy.typing import NDArray

from sam2_engine.masks import CompressedMask
from sam2_plugins.everything.run import TrackedEverything
from sam2_plugins.session.masks import MaskScores
from sam2_plugins.session.readable import LongWork

pytestmark = pytest.mark.gui


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, discs: NDArray[np.uint8]) -> list[Any]:
    """Let a run find the brighter disc on every frame; returns the sessions it was asked for."""
    asked: list[Any] = []

    def track(session: Any, settings: Any, kept: Any) -> Any:
        asked.append(session)
        for frame in range(6):
            yield frame, 6
        masks = {frame: CompressedMask.from_array(image == 220) for frame, image in enumerate(discs)}
        scores = dict.fromkeys(masks, MaskScores(1.0, 0.8, 0.9))
        object_id = session.import_track(masks, scores, undo_group=object())
        yield 6, 6
        return TrackedEverything((object_id,), looked_at=tuple(range(6)))

    monkeypatch.setattr("napari_plugin.widgets.panels.everything_panel.track_everything", LongWork(track))
    return asked


def test_everything_is_drawn_and_one_undo_takes_it_back(
    open_dock: Open, discs: NDArray[np.uint8], runs: list[Any], qtbot: Any
) -> None:
    dock = open_dock(discs)
    show_tab(dock, "Find")
    dock.everything.start.click()
    assert not dock.everything.start.isEnabled()
    qtbot.waitUntil(lambda: "1 object, looked for on 6 frames" in dock.message.text(), timeout=WAIT)
    assert runs == [annotation_of(dock).session]
    assert dock.everything.start.isEnabled()
    qtbot.waitUntil(lambda: bool(((labels(dock) > 0) == (discs == 220)).all()), timeout=WAIT)
    annotation_of(dock).undo()
    qtbot.waitUntil(lambda: not (labels(dock) > 0).any(), timeout=WAIT)


def test_a_single_image_is_not_offered_it(open_dock: Open, discs: NDArray[np.uint8]) -> None:
    dock = open_dock(discs[0])
    show_tab(dock, "Find")
    assert not dock.everything.isVisible()
