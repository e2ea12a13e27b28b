"""Axes and sizes of the file behind a layer, which napari's own readers leave out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image

from napari_plugin.layers import ImageStack, axes_of_file, show_sizes, take_from_file
from napari_plugin.layers.layer_sizes import known_sizes
from sam2_plugins.measure import PhysicalScale
from tests.engine.frames.spacing.written import STACK, imagej, ome_tiff

FIVE = np.zeros((3, 4, 2, 20, 30), np.uint16)


def opened(path: Path, **options: Any) -> Image:
    """Return a file as napari's own reader gives it: pixels without a word about them."""
    layer = Image(tifffile.imread(path), **options)
    layer._set_source(layer.source.model_copy(update={"path": str(path)}))
    return layer


@pytest.mark.parametrize(
    ("write", "axes"),
    [
        (lambda path: imagej(path / "a.tif", "ZYX"), "ZYX"),
        (lambda path: imagej(path / "a.tif", "TZCYX", FIVE), "TZCYX"),
        (lambda path: imagej(path / "a.tif", "TZCYX", FIVE[:1]), "ZCYX"),
        (lambda path: ome_tiff(path / "a.ome.tif", "ZYX"), "ZYX"),
        (lambda path: imagej(path / "a.tif", "YX", STACK[0]), "YX"),
    ],
)
def test_axes_are_those_of_the_file(tmp_path: Path, write: Callable[[Path], Path], axes: str) -> None:
    assert axes_of_file(opened(write(tmp_path))) == axes


def test_colors_are_no_axis_of_a_layer(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 20, 30, 3), np.uint8), metadata={"axes": "ZYXS"})
    layer = opened(tmp_path / "a.tif", rgb=True)
    assert axes_of_file(layer) == "ZYX"


def test_axes_that_the_layer_names_or_the_file_does_not_are_left_to_a_guess(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", "ZYX")
    assert axes_of_file(opened(path, axis_labels=("t", "y", "x"))) is None
    cut = Image(STACK[:2])
    cut._set_source(cut.source.model_copy(update={"path": str(path)}))
    assert axes_of_file(cut) is None
    assert axes_of_file(Image(STACK)) is None
    for frame in STACK:
        tifffile.imwrite(tmp_path / "plain.tif", frame, append=True, metadata=None)
    assert axes_of_file(opened(tmp_path / "plain.tif")) is None


def test_frames_of_a_layer_have_the_sizes_of_its_file(tmp_path: Path) -> None:
    layer = opened(imagej(tmp_path / "a.tif", "ZYX", unit="um", spacing=3))
    stack = ImageStack.of(layer, "ZYX")
    frames = stack.open()
    take_from_file(frames, stack)
    assert PhysicalScale.of(frames) == PhysicalScale((0.25, 0.5), "µm", plane_spacing=3)


def test_what_the_file_declares_as_no_data_is_known_of_its_layer(tmp_path: Path) -> None:
    pixels = np.full((3, 20, 30), -9999, np.int16)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, attributes={"_FillValue": -9999})
    (tmp_path / "b.dat").write_bytes(b"what another reader reads")
    found = []
    for path in (None, tmp_path / "a.zarr", tmp_path / "b.dat"):
        layer = Image(pixels)
        if path is not None:
            layer._set_source(layer.source.model_copy(update={"path": str(path)}))
        stack = ImageStack.of(layer)
        frames = stack.open()
        take_from_file(frames, stack)
        found.append(frames.fill_values)
    assert found == [(), ((-9999, -9999),), ()]


SCALE = PhysicalScale((0.25, 0.5), "µm", 30.0, "s", 2.5)


def test_sizes_are_shown_on_the_layer_and_on_what_lies_on_it_and_the_view_stays() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 20, 30), np.uint8))
    labels, points = viewer.add_labels(np.zeros((5, 20, 30), int)), viewer.add_points(np.zeros((1, 3)))
    flat = viewer.add_labels(np.zeros((20, 30), int))
    other = viewer.add_image(np.zeros((5, 8, 9), np.uint8))
    viewer.dims.set_point(0, 3)
    before = np.array(viewer.scene.camera.center[-2:]), viewer.scene.camera.zoom
    stack = ImageStack.of(image, "TYX")
    show_sizes(stack, viewer, SCALE)
    for layer in (image, labels, points):
        np.testing.assert_allclose(layer.scale, [30, 0.25, 0.5])
        assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]
    np.testing.assert_allclose(flat.scale, [0.25, 0.5])
    np.testing.assert_allclose(other.scale, 1)
    assert stack.shown_frame(viewer) == 3
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], before[0] * (0.25, 0.5))
    assert viewer.scene.camera.zoom == pytest.approx(before[1] / 0.125**0.5)
    assert stack.physical_scale == PhysicalScale((0.25, 0.5), "µm", 30.0, "s")


@pytest.mark.parametrize("by_hand", [{"scale": (1, 0.3, 0.3)}, {"translate": (0, 5, 5)}])
def test_what_was_placed_by_hand_stays(by_hand: dict[str, Any]) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 20, 30), np.uint8), **by_hand)
    before = image.scale.copy()
    show_sizes(ImageStack.of(image, "TYX"), viewer, SCALE)
    np.testing.assert_array_equal(image.scale, before)


def test_a_distance_of_planes_that_nobody_said_is_not_shown() -> None:
    assert "Z" not in known_sizes(PhysicalScale((0.5, 0.5), "µm"))
    assert known_sizes(PhysicalScale()) == {}
