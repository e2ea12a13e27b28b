"""What was done in the dock is there again when the image is opened the next time."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_plugin.propagation import Direction
from tests.napari.dock_steps import WAIT


def test_closed_and_opened_again(open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path) -> None:
    dock = open_dock(discs, name="cells")
    annotation = dock.annotation
    annotation.prompts.points.add([0, 20, 20])
    qtbot.waitUntil(lambda: annotation.session.frames_of(1) == [0], timeout=WAIT)
    annotation.propagate(Direction.FORWARD)
    qtbot.waitUntil(lambda: not annotation.propagation.running, timeout=WAIT)
    expected = np.asarray(annotation.masks.layer.data).copy()
    assert expected[5].any()
    dock.viewer.window.remove_dock_widget(dock)
    dock.shut()
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == ["cells.sam2"]

    again = open_dock(discs, name="cells")
    layer = again.annotation.masks.layer
    qtbot.waitUntil(lambda: np.array_equal(np.asarray(layer.data), expected), timeout=WAIT)
    np.testing.assert_allclose(again.annotation.prompts.points.data, [[0, 20, 20]])
    assert again.annotation.current == 1
    qtbot.waitUntil(lambda: "where you left off" in again.message.text(), timeout=WAIT)


def test_a_file_is_kept_beside_itself(open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    dock = open_dock(wait=False)
    dock.viewer.open(path, plugin="napari")
    dock.image.choose(dock.viewer.layers["movie"])
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    assert dock.annotation.folder.path == tmp_path / "movie.sam2"


def test_an_image_given_up_while_it_opens_leaves_nothing_locked(
    open_dock: Any, qtbot: Any, discs: Any
) -> None:
    dock = open_dock(discs, name="cells", wait=False)
    dock.image.choose(None)
    dock.image.chosen.emit()
    dock.image.choose(dock.viewer.layers["cells"])
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    assert dock.annotation.folder is not None
