"""Whatever goes wrong around the dock: one sentence that says what to do, and nothing lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from sam2_engine.errors import InputError
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.manifest import FORMAT_VERSION
from tests.napari.dock_steps import (
    WAIT,
    Open,
    annotation_of,
    click,
    labels,
    shown_when_idle,
    start,
    wait_until_tracked,
)

pytestmark = pytest.mark.gui


def close(dock: AnnotationDock) -> None:
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()


def test_a_disk_that_is_full_for_a_while(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = open_dock(discs, name="cells")

    def full(self: Journal, entries: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", full)
        click(dock, 0, 20, 20)
        qtbot.waitUntil(lambda: "not saved" in dock.message.text(), timeout=WAIT)
        assert (
            "No space left on device; make space there. It is written as soon as that" in dock.message.text()
        )
        assert annotation_of(dock).autosave.unsaved_reason is not None
        assert shown_when_idle(dock, qtbot)[0].any()
    dock.objects.new.click()
    click(dock, 2, 60, 38)
    qtbot.waitUntil(lambda: dock.message.text() == "Everything is saved again.", timeout=WAIT)
    before = shown_when_idle(dock, qtbot).copy()
    folder = annotation_of(dock).folder
    assert folder is not None
    asked = [(call["do"], call.get("object_id")) for call in folder.calls()]
    assert asked == [("add_object", 1), ("add_prompt", 1), ("add_object", 2), ("add_prompt", 2)]
    close(dock)
    again = open_dock(discs, name="cells")
    qtbot.waitUntil(lambda: np.array_equal(labels(again), before), timeout=WAIT)


def test_layers_renamed_in_the_middle_of_work(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs, name="cells")
    click(dock, 0, 20, 20)
    start(dock)
    for number, layer in enumerate(list(dock.viewer.layers)):
        layer.name = f"renamed {number}"
    wait_until_tracked(dock, qtbot)
    assert shown_when_idle(dock, qtbot)[5].any()
    assert dock.annotation is not None
    assert dock.image.combo.currentText() == "renamed 0"


def test_labels_that_somebody_gives_another_shape_are_put_back(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    before = shown_when_idle(dock, qtbot).copy()
    annotation_of(dock).masks.layer.data = np.zeros((3, 20, 20), np.uint8)
    assert (labels(dock) == before).all()
    click(dock, 1, 60, 39)
    assert shown_when_idle(dock, qtbot)[1].any()


def test_neighbors_of_other_shapes_change_nothing(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    dock.viewer.add_image(np.zeros((2, 3, 4, 50, 50), np.uint8), name="larger")
    dock.viewer.add_image(np.zeros((300, 10), np.uint8), name="smaller")
    dock.viewer.add_labels(np.zeros((7, 20, 20), np.uint8), name="shorter")
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 3)
    assert annotation.shown_frame == 3
    click(dock, 3, 26, 20)
    assert shown_when_idle(dock, qtbot)[3].any()
    assert not np.delete(labels(dock), 3, axis=0).any()


def test_nothing_selected_is_said_and_breaks_nothing(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    dock.objects.remove.click()
    qtbot.waitUntil(lambda: not annotation_of(dock).session.objects, timeout=WAIT)
    for act in (
        dock.objects.remove.click,
        lambda: dock.objects.step(1),
        lambda: annotation_of(dock).verify(True),
        lambda: annotation_of(dock).propagate_from_shown(),
        lambda: start(dock),
    ):
        act()
        shown_when_idle(dock, qtbot)
        wait_until_tracked(dock, qtbot)
        assert "unexpected" not in dock.message.text()
    click(dock, 0, 20, 20)
    assert shown_when_idle(dock, qtbot)[0].any()


def test_ids_beyond_sixteen_and_beyond_thirty_two_bits(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    mask = discs[0] > 200
    annotation.edit(lambda session: session.import_masks(0, {70_000: mask}))
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot)[0] == 70_000, mask)
    annotation.edit(lambda session: session.import_masks(1, {2**32: mask}))
    shown_when_idle(dock, qtbot)
    assert "at most 4294967295" in dock.message.text()
    assert list(annotation.session.objects) == [70_000]
    click(dock, 2, 24, 20)
    assert labels(dock).dtype == np.uint32
    assert shown_when_idle(dock, qtbot)[2].any()


def test_a_session_of_a_newer_version_is_left_alone_and_said(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    dock = open_dock(discs, name="cells")
    dock.objects.new.click()
    close(dock)
    about = tmp_path / "sessions" / "cells.sam2" / "session.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "version": FORMAT_VERSION + 1}))
    again = open_dock(discs, name="cells")
    qtbot.waitUntil(lambda: "written by a newer version" in again.message.text(), timeout=WAIT)
    assert "a new session begins, and that folder stays as it is." in again.message.text()
    again.objects.new.click()
    folder = annotation_of(again).folder
    assert folder is not None
    assert folder.path.name == "cells-2.sam2"


def test_a_tip_leaves_an_error_alone_but_news_replace_it(open_dock: Any, discs: NDArray[np.uint8]) -> None:
    dock = open_dock(discs)
    dock.show_hint("Click on an object.")
    assert dock.message.text() == "Click on an object."
    dock.show_failure(InputError("The disk is full; free some room."))
    dock.show_hint("Click on an object.")
    assert dock.message.text() == "The disk is full; free some room."
    dock.show_message("Saved.")
    dock.show_hint("Click on an object.")
    assert dock.message.text() == "Click on an object."
