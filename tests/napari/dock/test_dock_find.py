"""The Find tab: everything on a frame, chosen by clicks in a real window, made objects and tracked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from dock_steps import WAIT, Open, annotation_of, labels, shown_when_idle, wait_until_tracked
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from napari_plugin.widgets.panels.automatic_panel import AutomaticPanel
from sam2_engine.masks import CompressedMask
from sam2_plugins.session.automatic_segmentation import FoundObject
from sam2_plugins.session.masks import MaskScores
from sam2_plugins.session.readable import LongWork

pytestmark = pytest.mark.gui
PREVIEW = "found on image"


@pytest.fixture
def found() -> list[FoundObject]:
    """Three squares, of which the surer is the larger one."""
    made = []
    for number, (top, left, side) in enumerate(((10, 10, 20), (35, 50, 14), (8, 60, 6))):
        mask = np.zeros((60, 80), bool)
        mask[top : top + side, left : left + side] = True
        score = 0.9 - 0.25 * number
        scores = MaskScores(1.0, score, 1.0)
        made.append(FoundObject(CompressedMask.from_array(mask), side * side, score, scores))
    return made


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch, found: list[FoundObject]) -> list[tuple[Any, ...]]:
    """Let the search find the three squares; returns what was asked for."""
    asked: list[tuple[Any, ...]] = []

    def find_objects(store: Any, model: str, image: Any, window: Any, settings: Any) -> Any:
        asked.append((image, settings))
        yield 1, 2
        yield 2, 2
        return found

    monkeypatch.setattr("napari_plugin.widgets.panels.automatic_panel.find_objects", LongWork(find_objects))
    return asked


def search(dock: AnnotationDock, qtbot: Any) -> AutomaticPanel:
    dock.automatic.confidence.setValue(0.25)
    dock.automatic.find.click()
    assert not dock.automatic.find.isEnabled()
    qtbot.waitUntil(dock.automatic.find.isEnabled, timeout=WAIT)
    return dock.automatic


def test_real_search_makes_a_choice(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    dock.automatic.min_area.value = 1
    panel = search(dock, qtbot)
    assert panel.found or "Nothing was found" in dock.message.text()
    assert all(one.score >= 0.15 for one in panel.found)


def test_clicks_choose_and_one_undo_takes_all_back(
    open_dock: Open, discs: NDArray[np.uint8], searches: list[tuple[Any, ...]], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 2)
    panel = search(dock, qtbot)
    np.testing.assert_array_equal(searches[0][0], discs[2])
    layer = dock.viewer.layers[PREVIEW]
    assert dock.viewer.layers.selection.active == layer
    assert (layer.data[2] > 0).sum() == 400 + 196 + 36
    assert not layer.data[[0, 1, 3, 4, 5]].any()
    assert panel.chosen == [1, 2, 3]
    hand = Hand(dock, qtbot)
    hand.click(20, 20)
    assert panel.chosen == [2, 3]
    hand.click(20, 20)
    hand.click(57, 42)
    assert panel.chosen == [1, 3]
    hand.click(75, 55)  # the background
    assert panel.chosen == [1, 3]
    assert "2 chosen" in panel.summary.text()
    panel.add.click()
    shown = shown_when_idle(dock, qtbot)
    assert PREVIEW not in dock.viewer.layers
    assert sorted(annotation.session.objects) == [1, 2]
    assert (shown[2] == 1).sum() == 400
    assert (shown[2] == 2).sum() == 36
    annotation.undo()
    assert not shown_when_idle(dock, qtbot).any()
    assert sorted(annotation.session.objects) == []


def test_the_models_confidence_counts_until_a_person_chooses_one(
    open_dock: Open, discs: NDArray[np.uint8], searches: list[tuple[Any, ...]], qtbot: Any
) -> None:
    dock = open_dock(discs)
    panel = dock.automatic
    model = panel._store.get(annotation_of(dock).session.model_name)
    for own, shown in ((0.76, [1]), (0.5, [1, 2])):
        model.config = replace(model.config, confidence=own)
        panel.find.click()
        qtbot.waitUntil(panel.find.isEnabled, timeout=WAIT)
        assert panel.confidence.value() == pytest.approx(own)
        assert panel.shown == shown
    panel.confidence.setValue(0.6)
    model.config = replace(model.config, confidence=0.2)
    panel.find.click()
    qtbot.waitUntil(panel.find.isEnabled, timeout=WAIT)
    assert panel.confidence.value() == pytest.approx(0.6)


def test_limits_hide_without_new_work(
    open_dock: Open, discs: NDArray[np.uint8], searches: list[tuple[Any, ...]], qtbot: Any
) -> None:
    dock = open_dock(discs)
    panel = search(dock, qtbot)
    assert panel.shown == [1, 2, 3]
    panel.confidence.setValue(0.6)
    assert panel.shown == [1, 2]
    panel.confidence.setValue(0.2)
    panel.min_area.value = 300
    assert panel.shown == [1]
    panel.min_area.value = 1
    panel.max_objects.value = 2
    assert panel.shown == [1, 2]
    panel.none.click()
    assert panel.chosen == []
    assert not panel.add.isEnabled()
    panel.all.click()
    assert panel.chosen == [1, 2]
    assert len(searches) == 1


def test_the_chosen_are_tracked(
    open_dock: Open, discs: NDArray[np.uint8], searches: list[tuple[Any, ...]], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 3)
    panel = search(dock, qtbot)
    panel.max_objects.value = 2
    panel.propagate.click()
    qtbot.waitUntil(lambda: annotation.session.frames_of(2) == list(range(6)), timeout=WAIT)
    wait_until_tracked(dock, qtbot)
    assert annotation.session.frames_of(1) == list(range(6))
    assert (labels(dock)[3] == 1).sum() == 400


def test_stop_discard_and_another_image(
    open_dock: Open, discs: NDArray[np.uint8], searches: list[tuple[Any, ...]], qtbot: Any
) -> None:
    dock = open_dock(discs)
    panel = dock.automatic
    panel.find.click()
    panel.prompt_bar.decline.click()
    qtbot.waitUntil(panel.find.isEnabled, timeout=WAIT)
    search(dock, qtbot)
    panel.discard.click()
    assert PREVIEW not in dock.viewer.layers
    assert panel.found == []
    search(dock, qtbot)
    dock.viewer.layers.remove(PREVIEW)  # by hand
    assert panel.found == []
    search(dock, qtbot)
    other = dock.viewer.add_image(discs[:3], name="other")
    dock.image.choose(other)
    dock.image.chosen.emit()
    qtbot.waitUntil(
        lambda: dock.annotation is not None and dock.annotation.stack.layer == other, timeout=WAIT
    )
    assert PREVIEW not in dock.viewer.layers
