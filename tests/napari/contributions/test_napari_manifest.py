import re
from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from npe2 import PluginManifest
from qtpy.QtWidgets import QFileDialog

from napari_plugin.widgets.dock import AnnotationDock

MANIFEST = Path(find_spec("napari_plugin").origin).with_name("napari.yaml")  # type: ignore[union-attr, arg-type]


def test_the_manifest_bears_the_name_of_the_distribution() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.name == distribution("sam2-plugins").metadata["Name"]
    (point,) = entry_points(group="napari.manifest", name="sam2-plugins")
    assert point.value == "napari_plugin:napari.yaml"


def test_every_command_can_be_imported_and_is_used() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    menus = manifest.contributions.menus
    assert {"napari/layers/segment", "napari/layers/track", "napari/layers/visualize"} == set(menus)
    in_menus = {item.command for items in menus.values() for item in items}
    assert in_menus == {"sam2-plugins.open_dock", "sam2-plugins.fine_tune", "sam2-plugins.show_surfaces"}


@pytest.mark.gui
@pytest.mark.parametrize(("key", "shape"), [("moving_cells", (40, 320, 320)), ("coins", (303, 384))])
def test_samples_open_without_a_network(
    make_napari_viewer_proxy: Any, key: str, shape: tuple[int, ...]
) -> None:
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open_sample("sam2-plugins", key)
    assert layer.data.shape == shape
    assert np.ptp(layer.data[0] if layer.ndim == 3 else layer.data) > 50


@pytest.mark.gui
def test_the_widget_opens_from_its_name(make_napari_viewer_proxy: Any) -> None:
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("sam2-plugins", "Segment and track")
    assert widget.message.text().startswith("Open an image")


def commands() -> Any:
    return get_app_model().commands


@pytest.mark.gui
def test_there_is_one_dock_in_a_window_however_it_is_opened(make_napari_viewer_proxy: Any) -> None:
    viewer = make_napari_viewer_proxy(show=True)

    def docks() -> list[AnnotationDock]:
        return [one for one in viewer.window.dock_widgets.values() if isinstance(one, AnnotationDock)]

    _, dock = viewer.window.add_plugin_dock_widget("sam2-plugins", "Segment and track")
    dock.parentWidget().hide()
    for command in ("sam2-plugins.open_dock", "sam2-plugins.fine_tune"):
        commands().execute_command(command).result()
        assert docks() == [dock]
        assert dock.parentWidget().isVisible()
    another = AnnotationDock(viewer, dock._application)  # by a script: the new one takes over
    viewer.window.add_dock_widget(another, name="another")
    assert docks() == [another]
    another.objects.new.setFocus()
    assert "N" in {str(key) for key in viewer.keymap}


@pytest.mark.gui
def test_every_command_of_the_palette_can_be_executed(
    make_napari_viewer_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_napari_viewer_proxy(show=True)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")  # changed their mind
    menus = get_app_model().menus
    palette = [item.command for item in menus.get_menu(menus.COMMAND_PALETTE_ID)]
    ours = [command for command in palette if command.id.startswith("sam2-plugins.")]
    assert len(ours) > 5
    for command in ours:
        enabled = command.enablement is None or command.enablement.eval({})
        assert enabled == (not re.search(r"\.(read|write)_", command.id)), command.id
    commands().execute_command("sam2-plugins.open_session").result()
