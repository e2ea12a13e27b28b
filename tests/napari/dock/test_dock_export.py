"""The Export tab: every format, in the units of the image layer."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_plugin.layers import ImageStack
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.measure.physical_scale import PhysicalScale
from tests.napari.dock_steps import WAIT, annotation_of, click, labels


@pytest.fixture
def clicked(open_dock: Any, qtbot: Any, discs: Any) -> Any:
    dock = open_dock(discs, name="cells", scale=(300, 0.5, 0.5), units=("s", "um", "um"), axis_labels="tyx")
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: annotation_of(dock).session.frames_of(1) == [0], timeout=WAIT)
    return dock


def choose(dock: Any, name: str) -> None:
    dock.export.format.value = FORMATS[name]


def test_label_images_and_measurements_in_the_layers_units(clicked: Any, qtbot: Any, tmp_path: Path) -> None:
    assert "pixels of 0.5 µm" in clicked.export.sizes.text()
    assert "cells.sam2" in clicked.export.saved_in.text()
    choose(clicked, "tiff")
    clicked.export.write(tmp_path / "masks.tif")
    qtbot.waitUntil(lambda: clicked.message.text() == f"Exported {tmp_path / 'masks.tif'}.", timeout=WAIT)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "masks.tif"), labels(clicked))
    choose(clicked, "csv")
    clicked.export.write(tmp_path / "cells.csv")
    qtbot.waitUntil(lambda: "cells.csv" in clicked.message.text(), timeout=WAIT)
    with (tmp_path / "cells.csv").open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert float(row["area (µm²)"]) == labels(clicked)[0].astype(bool).sum() / 4


def test_what_a_format_cannot_keep_is_said(clicked: Any, qtbot: Any, tmp_path: Path) -> None:
    session = annotation_of(clicked).session
    mask = np.zeros(session.shape, bool)
    mask[:9, :9] = True
    session.add_mask(3, 1, mask)
    choose(clicked, "ctc")
    clicked.export.write(tmp_path / "01_RES")
    qtbot.waitUntil(lambda: "01_RES" in clicked.message.text(), timeout=WAIT)
    assert (tmp_path / "01_RES" / "res_track.txt").is_file()
    assert len(clicked.message.text()) > len(f"Exported {tmp_path / '01_RES'}.")


def test_a_place_that_is_not_there(clicked: Any, qtbot: Any, tmp_path: Path) -> None:
    choose(clicked, "tiff")
    clicked.export.write(tmp_path / "nowhere" / "masks.tif")
    qtbot.waitUntil(lambda: "does not exist; make it first" in clicked.message.text(), timeout=WAIT)
    assert clicked.export.save.isEnabled()


def test_layers_without_units_are_measured_in_pixels(make_napari_viewer_proxy: Any, discs: Any) -> None:
    viewer = make_napari_viewer_proxy()
    layer = viewer.add_image(discs, scale=(1, 2, 2))
    assert ImageStack.of(layer).physical_scale == PhysicalScale()
    volume = viewer.add_image(discs, scale=(3, 2, 2), units="um")
    assert ImageStack.of(volume).physical_scale == PhysicalScale((2, 2), "µm", plane_spacing=3.0)
