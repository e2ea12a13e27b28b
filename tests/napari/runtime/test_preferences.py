"""What is set in napari's Preferences is what the application goes by, also when it is changed meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari.settings
import pytest
from napari.settings import get_plugin_settings

from napari_plugin.runtime.application import Sam2Application
from napari_plugin.runtime.preferences import Preferences, on_preferences_changed, read_keys, read_preferences
from napari_plugin.widgets import keys
from sam2_plugins.runtime.model_store import ModelStore


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin's page, stored in a file of this test's own."""
    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
    return get_plugin_settings(path_dir=tmp_path)["sam2-plugins"].annotation


@pytest.fixture
def application(qapp: Any) -> Iterator[Sam2Application]:
    application = Sam2Application(ModelStore("cpu"))
    yield application
    application.close()


def test_what_is_not_set_is_as_without_a_page(page: Any) -> None:
    assert read_preferences() == Preferences("nano", "auto", None, 64 * 2**20)


def test_what_is_set_is_read(page: Any, tmp_path: Path) -> None:
    page.model, page.device, page.sessions, page.encoded_megabytes = " nano@320 ", "cpu", "~/work", 128
    assert read_preferences() == Preferences("nano@320", "cpu", Path.home() / "work", 128 * 2**20)
    assert "nano@320" in (tmp_path / "sam2-plugins.yaml").read_text()


def test_a_device_on_another_machine_is_taken_instead(page: Any) -> None:
    page.device, page.device_elsewhere = "cpu", " tcp://gpu-node:8786 "
    assert read_preferences().device == "tcp://gpu-node:8786"


@pytest.mark.parametrize(("name", "value"), [("device", "abacus"), ("encoded_megabytes", 1)])
def test_what_cannot_be_is_refused(page: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        setattr(page, name, value)


def test_a_change_holds_at_once(page: Any, application: Sam2Application, qtbot: Any) -> None:
    on_preferences_changed(application.apply)
    page.model = "small"
    page.sessions = "/elsewhere"
    page.encoded_megabytes = 32
    assert (application.model, application.sessions) == ("small", Path("/elsewhere"))
    assert application.store.encoded_bytes == 32 * 2**20
    with qtbot.waitSignal(application.device_changed, timeout=60_000) as changed:
        application._preferred_device = "auto"
        page.device = "cpu"
    assert changed.args == ["cpu"]


def test_keys_are_found_and_changed_there(page: Any) -> None:
    assert keys.key_of(keys.VERIFY) == "H"
    assert set(read_keys()) == set(keys.ACTIONS)
    get_plugin_settings("sam2-plugins").keys.verify = "Shift-V"
    assert keys.with_key("Verify", keys.VERIFY) == "Verify (key Shift+V)"
    get_plugin_settings("sam2-plugins").keys.verify = "no key"
    assert keys.key_of(keys.VERIFY) == "H"
