"""Which session the dock goes on with, and that to open it is not yet to work in it."""

from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import tifffile
from dock_input import Hand
from dock_steps import WAIT, Open, annotation_of, click, labels, shown_when_idle
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from sam2_plugins import open_session
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder

pytestmark = pytest.mark.gui


def open_file(open_dock: Open, path: Path, qtbot: Any, plugin: str = "napari") -> Any:
    dock = open_dock(wait=False)
    image, *_ = dock.viewer.open(path, plugin=plugin)
    dock.image.choose(image)
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    return dock


def everything_below(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def movie(discs: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "work" / "movie.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    return path


def begin_session(movie: Path, name: str = "cell") -> Path:
    """Leave a session of a movie beside it, as another program would."""
    session = AnnotationSession(tifffile.imread(movie), ModelStore("cpu"), axes="TYX")
    folder = SessionFolder.create(
        movie.with_suffix(".sam2"), session, source=movie, opening={"axes": "TYX", "channel": None}
    )
    cell = session.add_object(name)
    mask = np.zeros(session.shape, bool)
    mask[10:30, 10:30] = True
    session.import_masks(2, {cell: mask})
    folder.close()
    return folder.path


def test_opening_the_dock_writes_nothing_until_the_first_click(
    open_dock: Open, movie: Path, qtbot: Any
) -> None:
    before = everything_below(movie.parent)
    dock = open_file(open_dock, movie, qtbot)
    shown_when_idle(dock, qtbot)
    assert annotation_of(dock).session.objects == {}
    assert dock.objects.list.topLevelItemCount() == 0
    assert "from the first click on" in dock.export.saved_in.text()
    assert everything_below(movie.parent) == before
    Hand(dock, qtbot).click(60, 37)
    qtbot.waitUntil(lambda: labels(dock).any(), timeout=WAIT)
    assert dock.objects.list.topLevelItemCount() == 1
    assert annotation_of(dock).session.undo_name is not None
    assert str(movie.with_suffix(".sam2")) in dock.export.saved_in.text()
    assert annotation_of(dock).folder is not None
    assert [call["do"] for call in annotation_of(dock).folder.calls()][:2] == ["add_object", "add_prompt"]


def test_the_first_stroke_makes_the_first_object(open_dock: Open, movie: Path, qtbot: Any) -> None:
    dock = open_file(open_dock, movie, qtbot)
    hand = Hand(dock, qtbot)
    dock.objects.paint.click()
    hand.drag((20, 20), (30, 20))
    qtbot.waitUntil(lambda: annotation_of(dock).session.objects != {}, timeout=WAIT)
    shown_when_idle(dock, qtbot)
    assert annotation_of(dock).session.frames_of(1) != []
    assert annotation_of(dock).current == 1


def test_a_session_that_is_only_looked_at_stays_as_it_is(open_dock: Open, movie: Path, qtbot: Any) -> None:
    begin_session(movie)
    before = everything_below(movie.parent)
    dock = open_file(open_dock, movie, qtbot)
    qtbot.waitUntil(lambda: (labels(dock)[2] == 1).any(), timeout=WAIT)
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()
    assert everything_below(movie.parent) == before


def test_two_docks_may_look_and_the_first_click_decides(open_dock: Open, movie: Path, qtbot: Any) -> None:
    dock, other = (open_file(open_dock, movie, qtbot) for _ in range(2))
    click(other, 0, 60, 40)
    qtbot.waitUntil(lambda: labels(other)[0].any(), timeout=WAIT)
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: dock.annotation is None, timeout=WAIT)
    qtbot.waitUntil(lambda: "is open in another window" in dock.message.text(), timeout=WAIT)
    assert [path.name for path in movie.parent.glob("*.sam2")] == ["movie.sam2"]


def test_a_session_folder_opened_as_layers_is_gone_on_with(
    open_dock: Open, movie: Path, qtbot: Any, tmp_path: Path
) -> None:
    path = begin_session(movie)
    dock = open_file(open_dock, path, qtbot, plugin="sam2-plugins")
    annotation = annotation_of(dock)
    assert annotation.folder is not None
    assert annotation.folder.path == path
    qtbot.waitUntil(lambda: (labels(dock)[2] == 1).any(), timeout=WAIT)
    assert annotation.masks.layer.name == "objects of movie"
    as_read = [layer for layer in dock.viewer.layers if layer.name.endswith("(as read)")]
    assert [layer.visible for layer in as_read] == [False] * len(as_read)
    assert len(as_read) == 2  # masks and tracks, which were not ours to delete
    click(dock, 0, 60, 40)
    dock.objects.new.click()
    shown_when_idle(dock, qtbot)
    dock.release()
    assert not (tmp_path / "sessions").exists()
    session, folder = open_session(path, ModelStore("cpu"))  # from its file, as before
    assert session.prompts_of(1)[0]
    folder.close()


def test_an_image_in_memory_goes_on_with_its_session(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    dock = open_dock(discs, name="Moving cells")
    assert not (tmp_path / "sessions").exists()
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    dock.release()
    again = open_dock(discs, name="Moving cells")
    assert annotation_of(again).session.prompts_of(1)[0]
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == ["Moving cells.sam2"]


def test_a_click_while_the_model_loads_outlives_the_dock(
    open_dock: Open, movie: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = open_file(open_dock, movie, qtbot)
    load, may_load = ModelStore.load, Event()
    monkeypatch.setattr(ModelStore, "load", lambda *given: may_load.wait(60) and load(*given))
    Hand(dock, qtbot).click(60, 37)
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()
    may_load.set()
    again = open_file(open_dock, movie, qtbot)
    assert annotation_of(again).session.prompts_of(1) != {}
    assert annotation_of(again).session.accepted(1, annotation_of(again).shown_frame) is not None


@pytest.fixture
def unsaved(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path) -> Any:
    """A dock with a mask that could not be saved anywhere."""
    (tmp_path / "sessions").write_text("no folder")
    dock = open_dock(discs, name="cells")
    click(dock, 0, 20, 20)
    assert shown_when_idle(dock, qtbot)[0].any()
    return dock


def test_masks_that_are_saved_nowhere_outlive_their_layer_and_the_dock(unsaved: Any, qtbot: Any) -> None:
    dock, masks = unsaved, annotation_of(unsaved).masks.layer
    dock.viewer.layers.remove(masks)
    qtbot.waitUntil(lambda: dock.annotation is None, timeout=WAIT)
    assert masks in dock.viewer.layers
    assert "The masks stay in the layer 'objects of cells'" in dock.message.text()
    dock.viewer.layers.remove("cells")
    assert masks in dock.viewer.layers
    assert masks.data[0].any()


def test_axes_are_not_read_otherwise_as_long_as_work_is_saved_nowhere(unsaved: Any, qtbot: Any) -> None:
    dock, annotation = unsaved, annotation_of(unsaved)
    dock.setup.unfold()
    dock.image.axes.setFocus()
    dock.image.axes.setText("ZYX")
    qtbot.keyClick(dock.image.axes, Qt.Key.Key_Return)
    assert dock.annotation is annotation
    assert dock.image.axes.text() == "TYX"
    assert "export it first" in dock.message.text()
    dock.viewer.window.remove_dock_widget(dock)
    dock.viewer.layers.remove("cells")
    assert annotation.masks.layer in dock.viewer.layers
