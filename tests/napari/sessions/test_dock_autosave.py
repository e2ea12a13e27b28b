"""What was done in the dock is there again when the image is opened the next time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_plugin.contributions.readers import read_session_folder
from sam2_plugins.session.propagation_plan import Direction
from tests.napari.dock_steps import WAIT, click, shown_when_idle

pytestmark = pytest.mark.gui


def correct_axes(dock: Any, axes: str, qtbot: Any) -> None:
    before = dock.annotation
    dock.image.axes.setText(axes)
    dock.image.axes.returnPressed.emit()
    qtbot.waitUntil(lambda: dock.annotation not in (None, before), timeout=WAIT)


def close(dock: Any) -> None:
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()


def open_file(open_dock: Any, path: Path, qtbot: Any) -> Any:
    dock = open_dock(wait=False)
    (layer,) = dock.viewer.open(path, plugin="napari")
    dock.image.choose(layer)
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    return dock


def test_closed_and_opened_again(open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path) -> None:
    dock = open_dock(discs, name="cells")
    annotation = dock.annotation
    annotation.prompts.points.add([0, 20, 20])
    qtbot.waitUntil(lambda: annotation.session.frames_of(1) == [0], timeout=WAIT)
    annotation.propagate(Direction.FORWARD)
    qtbot.waitUntil(lambda: not annotation.propagation.running, timeout=WAIT)
    expected = np.asarray(annotation.masks.layer.data).copy()
    assert expected[5].any()
    close(dock)
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == ["cells.sam2"]

    again = open_dock(discs, name="cells")
    layer = again.annotation.masks.layer
    qtbot.waitUntil(lambda: np.array_equal(np.asarray(layer.data), expected), timeout=WAIT)
    np.testing.assert_allclose(again.annotation.prompts.points.data, [[0, 20, 20]])
    assert again.annotation.current == 1
    qtbot.waitUntil(lambda: "where you left off" in again.message.text(), timeout=WAIT)


def test_a_session_is_saved_beside_its_file(open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    dock = open_file(open_dock, path, qtbot)
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    assert dock.annotation.folder.path == tmp_path / "movie.sam2"


def test_an_image_cancelled_while_it_opens_leaves_nothing_locked(
    open_dock: Any, qtbot: Any, discs: Any
) -> None:
    dock = open_dock(discs, name="cells", wait=False)
    dock.image.choose(None)
    dock.image.chosen.emit()
    dock.image.choose(dock.viewer.layers["cells"])
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    assert dock.annotation.folder is not None


def test_corrected_axes_hold_wherever_the_session_is_opened(
    open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path
) -> None:
    path = tmp_path / "volume.tif"
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    dock = open_file(open_dock, path, qtbot)
    assert "6 time points" in dock.image.description.text()
    click(dock, 0, 20, 20)
    before = shown_when_idle(dock, qtbot).copy()
    assert before[0].any()
    correct_axes(dock, "zyx", qtbot)
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot), before)  # what was clicked is still there
    close(dock)

    again = open_file(open_dock, path, qtbot)
    assert again.image.axes.text() == "ZYX"
    assert "6 planes" in again.image.description.text()
    assert again.annotation.folder.path == tmp_path / "volume.sam2"
    np.testing.assert_array_equal(shown_when_idle(again, qtbot), before)
    (_, options, _), *_ = read_session_folder(str(tmp_path / "volume.sam2"))  # dragged into napari
    assert options["axis_labels"] == ("z", "y", "x")


def test_axes_that_make_other_frames_are_there_again_too(open_dock: Any, qtbot: Any, discs: Any) -> None:
    """What is taken for two channels is two planes, and has a session of its own."""
    stack = np.stack([discs, 255 - discs])
    dock = open_dock(stack, name="cells")
    assert dock.image.axes.text() == "CTYX"
    correct_axes(dock, "ZTYX", qtbot)
    dock.image.along.setCurrentIndex(dock.image.along.findData("Z"))
    correct_axes(dock, "ZTYX", qtbot)
    close(dock)
    again = open_dock(stack, name="cells")
    assert again.image.axes.text() == "ZTYX"
    assert again.image.along.currentData() == "Z"
    assert "tracked through the planes" in again.image.description.text()


def test_the_chosen_channel_is_chosen_again(open_dock: Any, qtbot: Any, discs: Any) -> None:
    stack = np.stack([discs, 255 - discs], axis=1)
    dock = open_dock(stack, name="cells")
    before = dock.annotation
    assert dock.image.channel.currentText() == "all channels"
    dock.image.channel.setCurrentIndex(2)
    dock.image.channel.activated.emit(2)
    qtbot.waitUntil(lambda: dock.annotation not in (None, before), timeout=WAIT)
    close(dock)
    again = open_dock(stack, name="cells")
    assert again.image.channel.currentText() == "channel 1"
    np.testing.assert_array_equal(again.annotation.session.frames[2], 255 - discs[2])
