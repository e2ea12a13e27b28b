"""Choosing models and devices in the dock: all of them by name, downloads, files of one's own."""

import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog

from napari_plugin.widgets.dock import AnnotationDock
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.video.video_session import VideoSession
from sam2_engine.weights import downloads
from sam2_engine.weights.model_folder import file_sha256
from sam2_engine.weights.registry import REGISTRY
from sam2_plugins.runtime.out_of_memory import OutOfMemoryError
from sam2_plugins.session.propagation_plan import Direction
from tests.napari.dock_steps import WAIT, Open, annotation_of, click, labels, start, wait_until_tracked

TINY = "sam2.1_hiera_tiny"


def pick(dock: AnnotationDock, name: str) -> None:
    """Choose a line of the list, as a click does."""
    index = dock.model.combo.findData(name)
    assert index >= 0
    dock.model.combo.setCurrentIndex(index)
    dock.model.combo.activated.emit(index)


def test_all_models_are_listed_with_their_size(open_dock: Open, discs: NDArray[np.uint8]) -> None:
    combo = open_dock(discs).model.combo
    listed = {combo.itemData(i): combo.itemText(i) for i in range(combo.count())}
    assert {*VARIANTS, "small"} < set(listed)
    assert "156 MB, not here yet" in listed[TINY]
    assert "not here" not in listed["nano"]
    assert combo.currentData() == "small"


def test_work_goes_on_with_another_model(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    dock.objects.new.click()
    click(dock, 1, 60, 40)
    qtbot.waitUntil(lambda: labels(dock)[0].any() and labels(dock)[1].any(), timeout=WAIT)
    start(dock, Direction.FORWARD)
    wait_until_tracked(dock, qtbot)
    annotation = annotation_of(dock)
    session, folder = annotation.session, annotation.folder
    session.verify(1, [3])
    verified, tracked = session.accepted(1, 3), session.accepted(2, 4)
    clicked = session.accepted(2, 1)
    pick(dock, "nano")
    qtbot.waitUntil(lambda: session.accepted(2, 1) is not clicked, timeout=WAIT)
    qtbot.waitUntil(lambda: "nano computes from now on" in dock.message.text(), timeout=WAIT)
    assert (annotation.session, annotation.folder) == (session, folder)
    assert session.model_name == dock.model.model == "nano"
    assert session.accepted(1, 3) is verified
    assert session.accepted(2, 4) is tracked
    assert session.undo_name == "masks by nano"
    dock.history.undo.click()
    qtbot.waitUntil(lambda: session.accepted(2, 1) is clicked, timeout=WAIT)


def test_a_smaller_input_is_another_model(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    pick(dock, "nano")
    sizes = [dock.model.size.itemData(i) for i in range(dock.model.size.count())]
    assert sizes == [None, 384, 320, 256]
    dock.model.size.setCurrentIndex(sizes.index(256))
    dock.model.size.activated.emit(sizes.index(256))
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == "nano@256", timeout=WAIT)
    assert dock.model.combo.currentData() == "nano"


def test_fast_is_a_part_of_the_models_name(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    dock.model.show_model("nano@256")
    dock.model.fast.click()
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == "nano@256+fast", timeout=WAIT)
    assert dock.model.size.currentData() == 256
    dock.model.fast.click()
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == "nano@256", timeout=WAIT)


def test_weights_of_ones_own(
    open_dock: Open,
    discs: NDArray[np.uint8],
    qtbot: Any,
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path / "run" / "model.safetensors"
    own.parent.mkdir()
    shutil.copy(small_checkpoint, own)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(own), ""))
    dock = open_dock(discs)
    dock.model.combo.activated.emit(dock.model.combo.count() - 1)
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == str(own), timeout=WAIT)
    assert dock.model.combo.currentText() == "run/model.safetensors"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    dock.model.combo.activated.emit(dock.model.combo.count() - 1)
    assert dock.model.combo.currentText() == "run/model.safetensors"


def test_weights_that_cannot_be_read_are_said_and_the_earlier_model_goes_on(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not weights")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(broken), ""))
    dock = open_dock(discs)
    dock.model.combo.activated.emit(dock.model.combo.count() - 1)
    qtbot.waitUntil(lambda: "broken.safetensors is damaged" in dock.message.text(), timeout=WAIT)
    assert dock.model.model == annotation_of(dock).session.model_name == "small"
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)


def test_a_model_that_is_not_here_is_offered_and_fetched(
    open_dock: Open,
    discs: NDArray[np.uint8],
    qtbot: Any,
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = tmp_path / "server"
    (server / "092824").mkdir(parents=True)
    shutil.copy(small_checkpoint, server / "092824" / f"{TINY}.pt")
    checksum = file_sha256(small_checkpoint)
    monkeypatch.setitem(REGISTRY, TINY, replace(REGISTRY[TINY], sha256=checksum))
    handler = partial(SimpleHTTPRequestHandler, directory=server)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setenv("SAM2_DOWNLOAD_URL", f"http://127.0.0.1:{http.server_port}")
        dock = open_dock(discs)
        pick(dock, TINY)
        assert dock.model.model == "small"  # nothing happens before it is there
        assert dock.model.prompt_bar.sentence.text() == f"{TINY} is not on this machine yet."
        with qtbot.waitSignal(dock.model.chosen, timeout=WAIT) as chosen:
            dock.model.prompt_bar.accept.click()
        http.shutdown()
    assert chosen.args == [TINY]
    assert not dock.model.prompt_bar.isVisible()
    assert (tmp_path / "cache" / "checkpoints" / f"{TINY}.pt").exists()


def test_offline_is_one_sentence(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(downloads, "urlopen", offline)
    dock = open_dock(discs)
    pick(dock, TINY)
    dock.model.prompt_bar.accept.click()
    qtbot.waitUntil(lambda: "No connection to" in dock.message.text(), timeout=WAIT)
    assert not dock.model.prompt_bar.isVisible()
    assert dock.model.model == "small"


def test_a_download_can_be_given_up(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[BaseException] = []

    def endless(name: str, progress: Any, accept_license: bool) -> None:
        try:
            for done in range(10**9):
                progress(done * 2**20, 2**40)
        except BaseException as error:
            ended.append(error)
            raise

    monkeypatch.setattr("napari_plugin.runtime.download.download", endless)
    dock = open_dock(discs)
    pick(dock, TINY)
    dock.model.prompt_bar.accept.click()
    qtbot.waitUntil(lambda: f"Downloading {TINY}" in dock.model.prompt_bar.sentence.text(), timeout=WAIT)
    dock.model.prompt_bar.decline.click()
    qtbot.waitUntil(lambda: bool(ended), timeout=WAIT)
    assert not dock.model.prompt_bar.isVisible()
    pick(dock, TINY)  # and offered again
    assert dock.model.prompt_bar.isVisible()


def test_too_little_memory_on_a_device_offers_the_cpu(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = open_dock(discs)

    def too_much(*_: Any, **__: Any) -> None:
        raise OutOfMemoryError("cuda:0")

    with monkeypatch.context() as patched:
        patched.setattr(VideoSession, "add_prompt", too_much)
        click(dock, 0, 20, 20)
        qtbot.waitUntil(lambda: dock.model.prompt_bar.isVisible(), timeout=WAIT)
    assert "memory of cuda:0 is full" in dock.message.text()
    model = dock._application.store.get("small")
    dock.model.prompt_bar.accept.click()
    qtbot.waitUntil(lambda: "run on cpu from now on" in dock.message.text(), timeout=WAIT)
    assert dock._application.store.get("small") is not model
    annotation_of(dock).prompts.points.add([0, 20, 20])
    qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)
