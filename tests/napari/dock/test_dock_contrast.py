"""What the model sees: shown, frozen, and changed only by the button that says what comes of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtGui import QImage
from small_model import SMALL, write_small_checkpoint

from napari_plugin.annotation.model_changes import use_window
from napari_plugin.widgets.dock import AnnotationDock
from napari_plugin.widgets.panels.contrast_panel import in_words, model_view
from sam2_engine.errors import InputWarning
from sam2_engine.preprocessing import IntensityWindow, to_rgb
from sam2_plugins.storage import read_session
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


@pytest.fixture
def deep(discs: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The discs in 16 bits."""
    return discs.astype(np.uint16) * 200


def thumbnail_of(dock: AnnotationDock) -> NDArray[np.uint8]:
    """Return the colors that are shown."""
    image = dock.contrast.thumbnail.pixmap().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = image.constBits()
    if hasattr(bits, "setsize"):  # PyQt
        bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()  # outlives the image


def wait_for_thumbnail(dock: AnnotationDock, qtbot: Any, frame: int) -> None:
    expected = model_view(annotation_of(dock).session, frame, 72)

    def is_shown() -> bool:
        return not dock.contrast.thumbnail.pixmap().isNull() and np.array_equal(thumbnail_of(dock), expected)

    qtbot.waitUntil(is_shown, timeout=WAIT)


def test_the_thumbnail_is_what_the_model_gets(open_dock: Open, deep: NDArray[np.uint16], qtbot: Any) -> None:
    dock = open_dock(deep)
    session = annotation_of(dock).session
    np.testing.assert_array_equal(
        model_view(session, 2, 40), np.round(to_rgb(deep[2], session.window)[::2, ::2] * 255)
    )
    annotation_of(dock).stack.show_frame(dock.viewer, 4)
    wait_for_thumbnail(dock, qtbot, 4)
    assert dock.contrast.words.text() == f"The model sees {in_words(session.window)}"


def test_the_slider_changes_nothing_and_the_button_says_first_what_it_will(
    open_dock: Open, deep: NDArray[np.uint16], qtbot: Any
) -> None:
    dock = open_dock(deep, name="cells")
    annotation = annotation_of(dock)
    click(dock, 0, 20, 20)
    start(dock)
    wait_until_tracked(dock, qtbot)
    before = shown_when_idle(dock, qtbot).copy()
    window = annotation.session.window
    annotation.stack.layer.contrast_limits = (21_000, 34_000)
    assert (shown_when_idle(dock, qtbot) == before).all()
    assert annotation.session.window == window
    dock.contrast.use.click()
    assert dock.contrast.prompt_bar.sentence.text() == (
        f"The model would see 21000 to 34000 instead of {in_words(window)}. 1 clicked mask is made anew at "
        "once; 5 other masks are left until you correct or track again; 6 frames are encoded again when "
        "needed. Undo takes it back."
    )
    assert annotation.session.window == window
    dock.contrast.prompt_bar.decline.click()
    assert (shown_when_idle(dock, qtbot) == before).all()
    dock.contrast.use.click()
    dock.contrast.prompt_bar.accept.click()
    chosen = IntensityWindow((21_000,), (34_000,))
    qtbot.waitUntil(lambda: annotation.session.window == chosen, timeout=WAIT)
    after = shown_when_idle(dock, qtbot).copy()
    assert (after[1:] == before[1:]).all()
    assert (after[0] == annotation.session.label_image(0)).all()
    wait_for_thumbnail(dock, qtbot, annotation.shown_frame)
    assert dock.contrast.words.text() == "The model sees 21000 to 34000"
    dock.contrast.use.click()
    assert dock.message.text() == "The model sees this contrast already."
    folder = annotation.folder
    assert folder is not None
    seen = read_session(folder.path, dock._application.store, deep)
    assert seen.window == chosen
    dock.history.undo.click()
    qtbot.waitUntil(lambda: annotation.session.window == window, timeout=WAIT)
    assert (shown_when_idle(dock, qtbot) == before).all()


def test_a_reopened_session_has_the_contrast_it_was_left_with(
    open_dock: Open, deep: NDArray[np.uint16], qtbot: Any
) -> None:
    dock = open_dock(deep, name="cells")
    use_window(annotation_of(dock), IntensityWindow((100,), (30_000,)))
    shown_when_idle(dock, qtbot)
    dock.viewer.window.remove_dock_widget(dock)
    dock.release()
    again = open_dock(deep, name="cells")
    assert again.contrast.words.text() == "The model sees 100 to 30000"
    wait_for_thumbnail(again, qtbot, annotation_of(again).shown_frame)


def test_colors_have_no_contrast_to_choose(open_dock: Open, qtbot: Any) -> None:
    colors = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 3)).astype(np.uint8)
    dock = open_dock(colors, rgb=True)
    assert not dock.contrast.use.isVisibleTo(dock)
    assert dock.contrast.words.text() == "The model sees 0 to 255, as they are"
    wait_for_thumbnail(dock, qtbot, annotation_of(dock).shown_frame)
    assert labels(dock).shape == (3, 40, 50)


def test_a_model_that_expects_a_window_has_it_from_the_start_and_the_dock_says_it(
    open_dock: Open, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_checkpoint(tmp_path / "medical.safetensors", replace(SMALL, intensities="medical"))
    monkeypatch.setattr(application, "model", str(tmp_path / "medical.safetensors"))
    volume = np.full((3, 60, 80), -1000, np.int16)
    volume[:, 20:40, 20:40] = 40
    with pytest.warns(InputWarning, match="looks like computed tomography"):
        dock = open_dock(volume)
    assert dock.contrast.words.text() == "The model sees -160 to 240"
