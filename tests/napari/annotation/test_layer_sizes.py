"""Axes, sizes and frame intervals of an image come from its file, and stay as the user changes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_plugin.contributions.readers import read_session_folder
from sam2_plugins.measure import PhysicalScale
from tests.napari.sessions.test_dock_autosave import close, open_file

pytestmark = pytest.mark.gui


def write(path: Path, stack: Any, axes: str, **said: Any) -> Path:
    tifffile.imwrite(
        path, stack, imagej=True, resolution=(2, 4), metadata={"axes": axes, "unit": "um", **said}
    )
    return path


def test_a_time_lapse_is_shown_and_measured_in_the_units_of_its_file(
    open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "cells.tif", discs, "TYX", finterval=30)
    dock = open_file(open_dock, path, qtbot)
    layer, annotation = dock.image.layer, dock.annotation
    np.testing.assert_allclose(layer.scale, [30, 0.25, 0.5])
    np.testing.assert_allclose(annotation.masks.layer.scale, layer.scale)
    assert annotation.autosave.scale == PhysicalScale((0.25, 0.5), "µm", 30.0, "s")
    layer.scale, layer.units = (2, 0.1, 0.1), ("min", "nm", "nm")  # the user knows better
    close(dock)

    again = open_file(open_dock, path, qtbot)
    np.testing.assert_allclose(again.image.layer.scale, [2, 0.1, 0.1])
    assert again.annotation.folder.scale == PhysicalScale((0.1, 0.1), "nm", 2.0, "min")
    close(again)
    (_, options, _), *_ = read_session_folder(str(tmp_path / "cells.sam2"))
    assert (options["scale"], options["units"]) == ([2, 0.1, 0.1], ["min", "nm", "nm"])


def test_what_a_reader_has_set_is_not_what_the_user_said(
    open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path
) -> None:
    """Another reader sets the sizes of the file each time: those of the session hold."""
    path = write(tmp_path / "cells.tif", discs, "TYX", finterval=30)
    dock = open_file(open_dock, path, qtbot)
    dock.image.layer.scale = (30, 0.7, 0.7)
    close(dock)
    again = open_dock(wait=False)
    (layer,) = again.viewer.open(path, plugin="napari", scale=(30, 0.25, 0.5), units=("s", "um", "um"))
    again.image.choose(layer)
    again.image.chosen.emit()
    qtbot.waitUntil(lambda: again.annotation is not None, timeout=60_000)
    np.testing.assert_allclose(layer.scale, [30, 0.7, 0.7])


def test_a_volume_is_a_volume_without_typing(open_dock: Any, qtbot: Any, discs: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "volume.tif", discs, "ZYX", spacing=2.5)
    dock = open_file(open_dock, path, qtbot)
    assert dock.image.axes.text() == "ZYX"
    assert "6 planes" in dock.image.description.text()
    np.testing.assert_allclose(dock.image.layer.scale, [2.5, 0.25, 0.5])
    assert dock.annotation.session.frames.axis == "Z"
