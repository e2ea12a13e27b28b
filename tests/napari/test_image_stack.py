from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image

from napari_plugin.layers import ImageStack, MaskLayer, guess_axes
from sam2_engine import InputError


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((20, 30), {}, "YX"),
        ((5, 20, 30), {}, "TYX"),
        ((5, 20, 30), {"axis_labels": ("z", "y", "x")}, "ZYX"),
        ((5, 20, 30), {"axis_labels": ("time", "y", "x")}, "TYX"),
        ((5, 20, 30), {"units": ("um", "um", "um")}, "ZYX"),
        ((5, 20, 30), {"units": ("s", "um", "um")}, "TYX"),
        ((5, 2, 20, 30), {}, "TCYX"),
        ((3, 5, 20, 30), {}, "CTYX"),
        ((5, 6, 20, 30), {}, "TZYX"),
        ((5, 20, 30, 3), {"rgb": True}, "TYX"),
    ],
)
def test_axes_are_read_from_labels_units_and_lengths(
    shape: tuple[int, ...], options: dict[str, Any], axes: str
) -> None:
    assert guess_axes(Image(np.zeros(shape, np.uint8), **options)) == axes


def test_a_stack_says_in_words_what_it_is() -> None:
    stack = ImageStack.of(Image(np.zeros((5, 2, 20, 30), np.uint16)))
    assert stack.description == "5 time points, 20 × 30 pixels, 2 channels, uint16"
    assert (
        ImageStack.of(Image(np.zeros((20, 30, 3), np.uint8), rgb=True)).description
        == "20 × 30 pixels, RGB, uint8"
    )
    volume = ImageStack.of(Image(np.zeros((5, 20, 30), np.float32)), axes="zyx")
    assert volume.description == "5 planes, 20 × 30 pixels, float32"


def test_axes_can_be_corrected_and_wrong_ones_are_refused_in_a_sentence() -> None:
    layer = Image(np.zeros((4, 20, 30), np.uint8), name="cells")
    assert ImageStack.of(layer, axes="CYX").num_channels == 4
    with pytest.raises(InputError, match="TZYX names 4 axes, but Layer 'cells' has 3"):
        ImageStack.of(layer, axes="TZYX")
    with pytest.raises(
        InputError, match="Layer 'cells' has T=5 and Z=6, but objects are followed along one axis"
    ):
        ImageStack.of(Image(np.zeros((5, 6, 20, 30), np.uint8), name="cells"))


def test_frames_are_those_of_the_layer_with_channels_and_colours() -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 999, (3, 2, 20, 30)).astype(np.uint16)
    frames = ImageStack.of(Image(data)).open()
    np.testing.assert_array_equal(frames[1], np.moveaxis(data[1], 0, -1))
    frames = ImageStack.of(Image(data), channel=1).open()
    np.testing.assert_array_equal(frames[2], data[2, 1])
    colours = rng.integers(0, 255, (3, 20, 30, 3)).astype(np.uint8)
    frames = ImageStack.of(Image(colours, rgb=True)).open()
    assert frames.is_rgb
    np.testing.assert_array_equal(frames[2], colours[2])


def test_only_the_asked_frame_of_a_lazy_layer_is_computed() -> None:
    computed: list[int] = []

    def plane(block_info: Any = None) -> Any:
        frame = block_info[None]["array-location"][0][0]
        computed.append(frame)
        return np.full((1, 20, 30), frame, np.uint8)

    lazy = da.map_blocks(
        plane, chunks=((1,) * 50, (20,), (30,)), dtype=np.uint8, meta=np.zeros((0, 0, 0), np.uint8)
    )
    layer = Image(lazy, contrast_limits=(0, 50))
    frames = ImageStack.of(layer).open()
    computed.clear()
    assert (frames[33] == 33).all()
    assert computed == [33]


def test_a_pyramid_is_read_at_its_finest_level(tmp_path: Any) -> None:
    fine = zarr.create_array(tmp_path / "fine.zarr", shape=(4, 40, 60), chunks=(1, 40, 60), dtype="uint8")
    fine[2] = 7
    layer = Image([fine, np.zeros((4, 20, 30), np.uint8)], multiscale=True, contrast_limits=(0, 9))
    stack = ImageStack.of(layer)
    assert stack.shape == (4, 40, 60)
    assert (stack.open()[2] == 7).all()


PLACED = {"scale": (60.0, 0.5, 0.25), "translate": (100.0, -3.0, 8.0), "units": ("s", "um", "um")}


def test_positions_follow_scale_and_translation() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((7, 20, 30), np.uint8), **PLACED)
    viewer.add_image(np.zeros((50, 50)))  # an unscaled neighbour changes the sliders' steps
    stack = ImageStack.of(layer)
    for frame in (0, 3, 6):
        stack.show_frame(viewer, frame)
        assert stack.shown_frame(viewer) == frame
    world = layer.data_to_world((4, 10.5, 20))
    assert stack.locate(layer.world_to_data(world)) == pytest.approx((4, 20, 10.5))
    assert stack.contains(6, 29.4, -0.4)
    assert not stack.contains(7, 5, 5)
    assert not stack.contains(0, 29.6, 5)


@pytest.mark.parametrize("options", [PLACED, {"rotate": 30.0}, {"shear": [0.2, 0.0, 0.0]}])
def test_masks_lie_exactly_on_the_image(options: dict[str, Any]) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((7, 20, 30), np.uint8), **options)
    masks = MaskLayer(viewer, ImageStack.of(layer), pytest.fail)
    for corner in ((0, 0, 0), (6, 19, 29)):
        np.testing.assert_allclose(masks.layer.data_to_world(corner), layer.data_to_world(corner))
    assert masks.layer.units == layer.units


def test_masks_show_on_every_channel() -> None:
    viewer = ViewerModel()
    masks = MaskLayer(
        viewer, ImageStack.of(viewer.add_image(np.zeros((4, 3, 20, 30), np.uint8))), pytest.fail
    )
    labels = np.zeros((20, 30), np.uint16)
    labels[5:9, 5:9] = 2
    masks.write(1, labels)
    assert masks.layer.data.shape == (4, 3, 20, 30)
    for channel in range(3):
        np.testing.assert_array_equal(masks.layer.data[1, channel], labels)
    assert not masks.layer.data[0].any()
