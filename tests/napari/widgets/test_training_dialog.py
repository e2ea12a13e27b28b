"""Fine-tuning from the window, by real steps of a small model: start, stop, continue, use."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from sam2_engine.weights.locations import find
from sam2_plugins import fine_tuning
from tests.napari.dock_steps import WAIT, Open, annotation_of, shown_when_idle


@pytest.fixture
def checked(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, monkeypatch: Any) -> AnnotationDock:
    """The first disc, verified on five of the six frames."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    dock = open_dock(discs, name="cells")
    y, x = np.mgrid[:60, :80]
    session = annotation_of(dock).session
    for t in range(6):
        session.import_masks(t, {1: (x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100})
    session.verify(1, range(5))
    shown_when_idle(dock, qtbot)
    return dock


def test_it_stops_continues_and_says_the_gain_before_anything_uses_it(
    checked: AnnotationDock, qtbot: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(fine_tuning, "_is_gain", lambda outcome: True)  # six steps gain now this, now that
    dock = checked
    dock.model.fine_tune.trigger()
    dialog = dock.training
    assert dialog.isVisible()
    assert dialog.frames.text() == "It trains on 5 of 6 frames of cells."
    assert not dialog.resume.isEnabled()
    dialog.steps.value = 6
    dialog.start.click()
    assert not dialog.start.isEnabled()
    qtbot.waitUntil(lambda: dialog.prompt_bar.sentence.text().startswith("Step "), timeout=WAIT)
    annotation_of(dock).prompts.points.add([0, 60, 40])  # the window works meanwhile
    dialog.prompt_bar.decline.click()
    qtbot.waitUntil(lambda: not dialog.training.running, timeout=10 * WAIT)
    assert dialog.prompt_bar.sentence.text() == "Stopped; Continue goes on from there."

    dialog.resume.click()
    qtbot.waitUntil(lambda: not dialog.training.running, timeout=10 * WAIT)
    question = dialog.prompt_bar.sentence.text()
    assert question.startswith("Gain on 1 held-out frame: IoU after one click")
    assert question.endswith("Use the new weights?")
    assert annotation_of(dock).session.model_name == "small"
    assert find("cells-tuned") is None

    dialog.prompt_bar.accept.click()
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == "cells-tuned", timeout=WAIT)
    assert dock.model.combo.currentData() == "cells-tuned"
    assert "cells-tuned" in dialog.prompt_bar.sentence.text()
    assert annotation_of(dock).session.verified(1) == set(range(5))


def test_what_is_no_better_is_not_used(checked: AnnotationDock, qtbot: Any) -> None:
    dialog = checked.training
    dialog.show_for(annotation_of(checked))
    dialog._offer(SimpleNamespace(improvement="Gain: none.", is_better=False, model="training/1/run"))
    said = "Gain: none. No better: not used. The new model stays in training/1/run."
    assert dialog.prompt_bar.sentence.text() == said
    assert not dialog.prompt_bar.accept.isVisible()
    assert annotation_of(checked).session.model_name == "small"


def test_a_dock_that_is_closed_meanwhile_stops_it_and_it_can_be_continued(
    checked: AnnotationDock, qtbot: Any
) -> None:
    dock = checked
    annotation, dialog = annotation_of(dock), dock.training
    dock.fine_tune()
    dialog.steps.value = 600
    dialog.start.click()
    qtbot.waitUntil(lambda: dialog.prompt_bar.sentence.text().startswith("Step "), timeout=2 * WAIT)
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()
    qtbot.waitUntil(lambda: dialog.training.unfinished(annotation) is not None, timeout=2 * WAIT)
    assert not dialog.isVisible()


def test_too_few_frames_are_said_in_a_sentence(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    dock.fine_tune()
    dock.training.start.click()
    assert "nothing was done here yet" in dock.message.text()
    dock.objects.new.click()
    dock.training.start.click()
    qtbot.waitUntil(
        lambda: "too little to train on" in dock.training.prompt_bar.sentence.text(), timeout=WAIT
    )
    assert "verify more" in dock.message.text()
    assert dock.training.start.isEnabled()


def test_from_napari_s_menu(make_napari_viewer_proxy: Any) -> None:
    viewer = make_napari_viewer_proxy()
    get_app_model().commands.execute_command("sam2-plugins.fine_tune").result()
    (dock,) = viewer.window.dock_widgets.values()
    assert "Open an image first" in dock.message.text()
