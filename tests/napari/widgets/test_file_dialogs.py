"""The dialogs for files, in a real window; only Qt's own dialogs are answered by the test."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.runtime import atomic_files as files
from tests.napari.dock_steps import WAIT, annotation_of, show_tab, shown_when_idle

pytestmark = pytest.mark.gui


class Answers:
    """What the user answers in Qt's dialogs, and where each began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = ""
        self.replace: bool | None = None
        self.begun: list[str] = []
        self.asked: list[str] = []
        for name in ("getSaveFileName", "getOpenFileName"):
            monkeypatch.setattr(QFileDialog, name, lambda _, __, begin, ___: (self._answer(begin), ""))
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda _, __, begin: self._answer(begin))
        monkeypatch.setattr(QMessageBox, "question", self._question)

    def _answer(self, begin: str) -> str:
        self.begun.append(begin)
        return self.path

    def _question(self, parent: Any, title: str, text: str) -> Any:
        self.asked.append(text)
        return QMessageBox.StandardButton.Yes if self.replace else QMessageBox.StandardButton.No


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


@pytest.fixture
def dock(open_dock: Any, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path) -> AnnotationDock:
    """The dock on ``images/cells.tif``, with one object; its tab of files is shown."""
    path = tmp_path / "images" / "cells.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    dock: AnnotationDock = open_dock(wait=False)
    (layer,) = dock.viewer.open(path, plugin="napari")
    dock.image.choose(layer)
    dock.image.chosen.emit()
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    annotation_of(dock).edit(lambda session: session.import_masks(0, {1: discs[0] > 200}))
    qtbot.waitUntil(
        lambda: dock.message.text().startswith(("Click on an object", "New object")), timeout=WAIT
    )
    show_tab(dock, "Files")
    return dock


def save(dock: AnnotationDock, qtbot: Any) -> str:
    """Press Export…, and return what the dock says when that is over."""
    dock.show_message("")
    qtbot.waitUntil(lambda: dock.export.save.isEnabled(), timeout=WAIT)  # once there is something to save
    qtbot.mouseClick(dock.export.save, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.export.save.isEnabled(), timeout=WAIT)
    shown_when_idle(dock, qtbot)
    return "" if dock._shows_hint else str(dock.message.text())  # the next step


def test_where_to_save(dock: AnnotationDock, answers: Answers, qtbot: Any, tmp_path: Path) -> None:
    images, results = tmp_path / "images", tmp_path / "results"
    results.mkdir()
    qtbot.waitUntil(lambda: dock.export.save.isEnabled(), timeout=WAIT)
    before = sorted(images.iterdir())
    assert save(dock, qtbot) == ""  # cancelled
    assert answers.begun == [str(images / "cells tiff.tif")]
    assert sorted(images.iterdir()) == before

    answers.path = str(results / "masks")
    assert save(dock, qtbot) == f"Exported {results / 'masks.tif'}."
    assert answers.begun[-1] == str(images / "cells tiff.tif")  # what was cancelled is not remembered
    assert tifffile.imread(results / "masks.tif").shape == (6, 60, 80)

    (results / "masks.tif").write_text("somebody's")
    answers.replace = False
    assert save(dock, qtbot) == ""
    assert (results / "masks.tif").read_text() == "somebody's"
    assert answers.begun[-1] == str(results / "cells tiff.tif")
    answers.replace = True
    assert save(dock, qtbot) == f"Exported {results / 'masks.tif'}."
    assert answers.asked == [f"{results / 'masks.tif'} exists already. Replace it?"] * 2

    answers.path = str(results / "masks.TIF")
    (results / "masks.TIF").write_text("somebody's")
    assert save(dock, qtbot) == f"Exported {results / 'masks.TIF'}."
    assert len(answers.asked) == 2  # the dialog itself has asked
    assert tifffile.imread(results / "masks.TIF").shape == (6, 60, 80)


def test_a_folder_that_may_not_be_written(
    dock: AnnotationDock, answers: Answers, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    answers.path = str(closed / "masks.tif")

    def refused(**options: Any) -> None:
        raise PermissionError(13, "Permission denied", str(options["dir"]))

    with monkeypatch.context() as patch:  # the owner of everything, as tests may run, is refused nothing
        patch.setattr(files.tempfile, "TemporaryFile", refused)
        assert save(dock, qtbot) == f"{closed}: Permission denied."
    assert not list(closed.iterdir())
    assert save(dock, qtbot) == f"Exported {closed / 'masks.tif'}."
    assert answers.begun[-1] == str(closed / "cells tiff.tif")


def test_masks_from_a_file_or_a_folder(
    dock: AnnotationDock, answers: Answers, qtbot: Any, tmp_path: Path
) -> None:
    session = annotation_of(dock).session
    folder = tmp_path / "other" / "masks"
    folder.mkdir(parents=True)
    for button in (dock.importing.file, dock.importing.folder):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)  # cancelled
    assert answers.begun == [str(tmp_path / "images")] * 2
    labels = np.zeros((6, 60, 80), np.uint16)
    labels[:, 40:50, 60:70] = 7
    for frame, page in enumerate(labels):
        tifffile.imwrite(folder / f"mask{frame}.tif", page)
    answers.path = str(folder)
    qtbot.mouseClick(dock.importing.folder, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: 7 in session.objects and len(session.frames_of(7)) == 6, timeout=WAIT)
    qtbot.waitUntil(lambda: dock.importing.file.isEnabled(), timeout=WAIT)
    tifffile.imwrite(tmp_path / "other" / "more.tif", labels + 2 * (labels > 0), metadata={"axes": "TYX"})
    answers.path = str(tmp_path / "other" / "more.tif")
    qtbot.mouseClick(dock.importing.file, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: 9 in session.objects and len(session.frames_of(9)) == 6, timeout=WAIT)
    assert answers.begun[2:] == [str(tmp_path / "images"), str(tmp_path / "other")]
