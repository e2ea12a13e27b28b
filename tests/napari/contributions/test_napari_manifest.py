from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest

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
    assert {"napari/layers/segment", "napari/layers/track"} == set(menus)
    widgets = {widget.command for widget in manifest.contributions.widgets or ()}
    in_menus = {item.command for items in menus.values() for item in items}
    assert in_menus == {*widgets, "sam2-plugins.fine_tune"}


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
