from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image

from napari_plugin.layers import ImageStack, MaskLayer, guess_axes
from sam2_engine import InputError, open_frames


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


def test_frames_are_those_of_the_layer_with_channels_and_colors() -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 999, (3, 2, 20, 30)).astype(np.uint16)
    frames = ImageStack.of(Image(data)).open()
    np.testing.assert_array_equal(frames[1], np.moveaxis(data[1], 0, -1))
    frames = ImageStack.of(Image(data), channel=1).open()
    np.testing.assert_array_equal(frames[2], data[2, 1])
    colors = rng.integers(0, 255, (3, 20, 30, 3)).astype(np.uint8)
    frames = ImageStack.of(Image(colors, rgb=True)).open()
    assert frames.is_rgb
    np.testing.assert_array_equal(frames[2], colors[2])


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


def test_positions_go_by_scale_and_translation() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((7, 20, 30), np.uint8), **PLACED)
    viewer.add_image(np.zeros((50, 50)))  # an unscaled neighbor changes the sliders' steps
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


VOLUMES = np.random.default_rng(1).integers(0, 999, (5, 6, 20, 30)).astype(np.uint16)


@pytest.mark.parametrize(
    ("along", "fixed", "frames", "said", "name"),
    [
        (None, {"Z": 4}, VOLUMES[:, 4], "tracked through time in plane 4", "cells Z4"),
        ("T", {"T": 3, "Z": 9}, VOLUMES[:, 5], "tracked through time in plane 5", "cells Z5"),
        ("Z", {"T": 3}, VOLUMES[3], "tracked through the planes at time point 3", "cells T3"),
        ("Z", None, VOLUMES[0], "tracked through the planes at time point 0", "cells T0"),
        ("Q", {"Z": -2}, VOLUMES[:, 0], "tracked through time in plane 0", "cells Z0"),
    ],
)
def test_volumes_over_time_are_tracked_along_one_axis_at_one_place(
    along: str | None, fixed: dict[str, int] | None, frames: Any, said: str, name: str
) -> None:
    stack = ImageStack.of(Image(VOLUMES, name="cells"), along=along, fixed=fixed)
    np.testing.assert_array_equal(list(stack.open()), frames)
    assert (stack.tracked_along, stack.name) == (said, name)
    assert stack.description == "5 time points, 6 planes, 20 × 30 pixels, uint16"
    assert stack.tracking_axes == {"T": "through time", "Z": "through the planes"}
    again = open_frames(VOLUMES, **stack.opening)
    np.testing.assert_array_equal(list(again), frames)
    for frame in range(len(frames)):
        np.testing.assert_array_equal(VOLUMES[stack.index_of(frame)], frames[frame])
    assert stack.at(stack.fixed) == stack


@pytest.mark.parametrize("axes", ["TCZYX", "TZCYX", "CTZYX"])
def test_volumes_over_time_with_channels(axes: str) -> None:
    pixels = {"T": 4, "C": 2, "Z": 3, "Y": 20, "X": 30}
    data = np.random.default_rng(2).integers(0, 255, [pixels[letter] for letter in axes]).astype(np.uint8)
    one_plane = np.moveaxis(data.take(2, axes.index("Z")), axes.replace("Z", "").index("C"), -1)
    stack = ImageStack.of(Image(data), axes, fixed={"Z": 2})
    np.testing.assert_array_equal(list(stack.open()), one_plane)
    second = ImageStack.of(Image(data), axes, channel=1, along="Z", fixed={"T": 3})
    np.testing.assert_array_equal(
        list(second.open()), data.take(3, axes.index("T")).take(1, axes.replace("T", "").index("C"))
    )
    assert second.at({"T": 1}).open()[0].shape == (20, 30)
    assert second.at({"T": 1}).fixed == {"T": 1}
    viewer = ViewerModel()
    masks = MaskLayer(viewer, stack, pytest.fail)
    masks.write(1, np.full((20, 30), 7, np.uint16))
    shown = np.argwhere(np.asarray(masks.layer.data) == 7)
    for letter, there in {"T": {1}, "Z": {2}, "C": {0, 1}}.items():
        assert set(shown[:, axes.index(letter)]) == there


def test_places_in_a_stack_of_volumes_go_with_the_sliders() -> None:
    viewer = ViewerModel()
    placed = {"scale": (60.0, 3.0, 0.5, 0.25), "translate": (0.0, 9.0, -3.0, 8.0)}
    layer = viewer.add_image(VOLUMES, **placed)
    viewer.add_image(np.zeros((50, 50)))
    stack = ImageStack.of(layer, fixed={"Z": 4})
    stack.show_frame(viewer, 3)
    assert (stack.shown_frame(viewer), stack.shown_places(viewer)) == (3, {"Z": 4})
    viewer.dims.set_point(1, layer.data_to_world((0, 1, 0, 0))[1])
    assert stack.shown_places(viewer) == {"Z": 1}
    assert stack.position(viewer, 2, 7.0, 8.0) == [2, 4, 8, 7]  # of the stack, whatever is shown
    assert stack.places_of([2, 4, 8, 7]) == stack.fixed
    stack.show_frame(viewer, 0)
    assert stack.shown_places(viewer) == {"Z": 4}


def test_masks_of_other_places_stay_and_ids_get_the_bits_they_need() -> None:
    viewer = ViewerModel()
    stack = ImageStack.of(viewer.add_image(VOLUMES), fixed={"Z": 1})
    masks = MaskLayer(viewer, stack, pytest.fail)
    masks.write(2, np.full((20, 30), 3, np.uint16))
    masks.close()
    other = MaskLayer(viewer, stack.at({"Z": 4}), pytest.fail, earlier=masks.layer)
    assert other.layer is masks.layer
    other.write(0, np.full((20, 30), 70_000, np.uint32))
    assert (other.layer.data[2, 1] == 3).all()
    assert (other.layer.data[0, 4] == 70_000).all()
    assert (other.layer.data != 0).sum() == 2 * 600
    other.layer.data = np.zeros((3, 3, 3, 3), np.uint8)  # somebody gives the layer another shape
    assert (other.layer.data[0, 4] == 70_000).all()
