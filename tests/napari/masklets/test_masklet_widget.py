"""Verification of masklets in a real window: three keys, corrections, and what is on disk after them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_plugin.masklets.verification_widget import MaskletWidget
from napari_plugin.runtime.application import Sam2Application
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status
from sam2_plugins.masklets.sa_v import AUTO, describe_masklets
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, reading_of

pytestmark = pytest.mark.gui
WAIT = 60_000


@pytest.fixture
def dataset(
    tmp_path: Path, discs: NDArray[np.uint8], application: Sam2Application, small_checkpoint: Path
) -> MaskletDataset:
    """One video with two masklets, squares on both discs; the first is the more doubtful."""
    source = tmp_path / "discs.tif"
    tifffile.imwrite(source, discs, metadata={"axes": "TYX"}, photometric="minisblack")
    dataset = MaskletDataset.create(tmp_path / "dataset")
    session = AnnotationSession(dataset.take_video(source), application.store, small_checkpoint)
    for t in range(len(discs)):
        masks = {one: np.zeros((60, 80), bool) for one in (1, 2)}
        masks[1][12:28, 12 + 2 * t : 28 + 2 * t] = True
        masks[2][32 - t : 48 - t, 52:68] = True
        session.import_masks(t, masks, as_prompts=t == 0)
    where, opening = reading_of(session.frames)
    SessionFolder.create(dataset.session("discs"), session, source=where, opening=opening).close()
    content = describe_masklets(
        session, source, [1, 2], AUTO, session.mask, qualities={1: 0.4, 2: 0.8}, opening=opening
    )
    dataset.write_found("discs", content)
    session.frames.close()
    return dataset


@pytest.fixture
def widget(
    make_napari_viewer_proxy: Callable[..., Any],
    application: Sam2Application,
    dataset: MaskletDataset,
    qtbot: Any,
) -> Iterator[MaskletWidget]:
    viewer = make_napari_viewer_proxy(show=True)
    widget = MaskletWidget(viewer, application)
    viewer.window.add_dock_widget(widget, name="Verify masklets")
    widget.who.setText("ada")
    widget.open(dataset.path)
    qtbot.waitUntil(lambda: "masklet 1" in widget.message.text(), timeout=WAIT)
    yield widget
    widget.close_queue()
    qtbot.waitUntil(lambda: dataset.unsettled() == [], timeout=WAIT)


def press(widget: MaskletWidget, key: str, qtbot: Any) -> None:
    """Press a key over the canvas, whatever layer is active."""
    window = widget.viewer.__wrapped__.window._qt_window  # type: ignore[attr-defined]
    qtbot.keyClick(window._qt_viewer.canvas.native, getattr(Qt.Key, f"Key_{key}"))


def test_a_and_r_decide_and_show_the_next(widget: MaskletWidget, dataset: MaskletDataset, qtbot: Any) -> None:
    shown = widget.viewer.layers["masklet"].data
    assert shown[2][20, 24] == 1
    assert shown[2][40, 60] == 0
    press(widget, "A", qtbot)
    qtbot.waitUntil(lambda: "masklet 2" in widget.message.text(), timeout=WAIT)
    assert shown[2][40, 60] == 1
    press(widget, "R", qtbot)
    qtbot.waitUntil(lambda: "Nothing is left" in widget.message.text(), timeout=WAIT)
    assert dataset.statuses("discs") == {1: Status.ACCEPTED, 2: Status.REJECTED}
    assert [one.by for one in dataset.decisions.read()] == ["ada", "ada"]
    press(widget, "Z", qtbot)
    qtbot.waitUntil(lambda: "masklet 2" in widget.message.text(), timeout=WAIT)
    assert dataset.statuses("discs")[2] is Status.OPEN


def test_c_corrects_by_clicks_and_tracks(widget: MaskletWidget, dataset: MaskletDataset, qtbot: Any) -> None:
    press(widget, "C", qtbot)
    qtbot.waitUntil(lambda: "click inside" in widget.message.text(), timeout=WAIT)
    frame = widget.viewer.dims.current_step[0]
    clicks = widget.viewer.layers["corrections"]
    assert clicks.mode == "add"
    clicks.add([[frame, 20, 20 + 2 * frame]])
    qtbot.waitUntil(lambda: not widget._is_busy, timeout=WAIT)
    press(widget, "C", qtbot)
    qtbot.waitUntil(lambda: "Tracked again" in widget.message.text(), timeout=WAIT)
    press(widget, "A", qtbot)
    qtbot.waitUntil(lambda: "masklet 2" in widget.message.text(), timeout=WAIT)
    (decision,) = dataset.decisions.read()
    assert [(edit.frame, edit.clicks) for edit in decision.edits] == [(frame, 1)]
    assert (decision.tracked, decision.phase) == (True, 3)


def test_who_has_no_name_is_told(
    make_napari_viewer_proxy: Callable[..., Any], application: Sam2Application, dataset: MaskletDataset
) -> None:
    widget = MaskletWidget(make_napari_viewer_proxy(), application)
    widget.open(dataset.path)
    assert "Say who verifies" in widget.message.text()
    widget.open(dataset.path.parent)
    assert "is no data set of masklets" in widget.message.text()
    widget.close()
