"""A model by what is typed: of the hub, a folder, a registered one; what is wrong is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_hub import FakeHub, fake_hub
from model_folders import write_model_folder
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, Open, annotation_of

pytest.importorskip("huggingface_hub")
pytestmark = [
    pytest.mark.gui,
    # Of the hub's client, about how it calls its own transport.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with fake_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def shared(hub: FakeHub, name: str, weights: Path, folder: Path, license: str | None) -> None:
    files = {one.name: one.read_bytes() for one in write_model_folder(folder, weights, license).iterdir()}
    hub.add(name, files)


def type_name(dock: AnnotationDock, qtbot: Any, name: str) -> None:
    combo, field = dock.model.combo, dock.model.by_name
    combo.activated.emit(combo.count() - 2)
    assert not field.isHidden()
    assert combo.currentData() == dock.model.model  # the line itself is no model
    field.setText(name)
    qtbot.keyClick(field, Qt.Key.Key_Return)


def test_a_model_of_the_hub_is_asked_for_fetched_and_used(
    open_dock: Open,
    discs: NDArray[np.uint8],
    hub: FakeHub,
    small_checkpoint: Path,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    shared(hub, "lab/cells", small_checkpoint, tmp_path / "cells", None)
    dock = open_dock(discs)
    type_name(dock, qtbot, "hf:lab/cells@main")
    bar = dock.model.prompt_bar
    qtbot.waitUntil(lambda: bar.accept.text() == "Accept and download", timeout=WAIT)
    assert "License: not stated" in bar.sentence.text()
    bar.accept.click()
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == "hf:lab/cells@main", timeout=WAIT)
    assert dock.model.by_name.isHidden()
    assert dock.model.combo.currentData() == "hf:lab/cells@main"
    assert bar.isHidden()


def test_a_folder_and_a_size_are_taken(
    open_dock: Open, discs: NDArray[np.uint8], small_checkpoint: Path, tmp_path: Path, qtbot: Any
) -> None:
    folder = write_model_folder(tmp_path / "mine", small_checkpoint, "MIT")
    dock = open_dock(discs)
    type_name(dock, qtbot, f"'{folder}@160' ")
    qtbot.waitUntil(lambda: annotation_of(dock).session.model_name == f"{folder}@160", timeout=WAIT)
    assert dock.model.size.currentData() == 160


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:nobody", "no name of a model on the hub: give hf:owner/name"),
        ("hf:lab/none", "lab/none"),
        ("hf:lab/pickles", "pickle"),
        ("/no/such/folder", "There is no model"),
        ("nanoo", "did you mean"),
    ],
)
def test_what_cannot_be_had_is_said_and_what_was_typed_stays(
    name: str, sentence: str, open_dock: Open, discs: NDArray[np.uint8], hub: FakeHub, qtbot: Any
) -> None:
    hub.add("lab/pickles", {"pytorch_model.bin": b"code"})
    dock = open_dock(discs)
    before = dock.model.model
    type_name(dock, qtbot, name)
    qtbot.waitUntil(lambda: sentence in dock.message.text(), timeout=WAIT)
    assert dock.model.by_name.text() == name
    assert not dock.model.by_name.isHidden()
    assert dock.model.prompt_bar.isHidden()
    assert annotation_of(dock).session.model_name == dock.model.model == before
    qtbot.keyClick(dock.model.by_name, Qt.Key.Key_Escape)
    assert dock.model.by_name.isHidden()


def test_a_registered_model_that_is_not_here_is_offered(
    open_dock: Open, discs: NDArray[np.uint8], hub: FakeHub, qtbot: Any
) -> None:
    dock = open_dock(discs)
    type_name(dock, qtbot, "hf:facebook/sam2.1-hiera-tiny")
    assert "sam2.1_hiera_tiny is not on this machine yet" in dock.model.prompt_bar.sentence.text()
    assert not hub.asked
