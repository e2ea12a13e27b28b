"""From pixels of any type to the model's input: one window per stack, no level lost, photographs exact."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from sam2_engine import preprocessing
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.frames.array_frames import ArrayFrames
from sam2_engine.frames.axes import plan_axes
from sam2_engine.frames.derived_frames import CroppedFrames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import (
    HOUNSFIELD_WINDOWS,
    IntensityWindow,
    check_region,
    estimate_window,
    logits_around,
    logits_to_size,
    to_model_input,
    to_rgb,
)
from sam2_engine.video.open_session import open_video_session
from sam2_engine.weights.pixel_rules import window_of

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (37, 53, 3)).astype(np.uint8)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


# ------------------------------------------------------------------ window


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_eight_bits_and_binary_pass_through(dtype: type) -> None:
    assert estimate_window(open_frames(PHOTO.astype(dtype))) is None


@pytest.mark.parametrize(
    "dtype", ["int8", "uint16", "int16", "uint32", "int32", "uint64", "float16", "float32", "float64"]
)
def test_window_of_a_stack_is_its_percentiles(dtype: str) -> None:
    stack = RNG.integers(0, 120, (5, 40, 50)).astype(dtype)
    window = estimate_window(open_frames(stack))
    assert window is not None
    expected = np.percentile(stack.astype(float), (0.1, 99.9))
    np.testing.assert_allclose([*window.low, *window.high], expected)


def test_window_looks_at_sixteen_evenly_spaced_frames() -> None:
    stack = RNG.integers(0, 60_000, (151, 20, 30)).astype(np.uint16)
    looked: list[int] = []

    class Counted:
        shape, dtype = stack.shape, stack.dtype

        def __getitem__(self, index: tuple[int, slice, slice]) -> NDArray[np.uint16]:
            looked.append(index[0])
            return stack[index]

    window = estimate_window(open_frames(Counted()))
    assert looked == list(range(0, 151, 10))
    assert window is not None
    np.testing.assert_allclose([*window.low, *window.high], np.percentile(stack[::10], (0.1, 99.9)))


def test_each_channel_has_its_own_window() -> None:
    stack = RNG.integers(0, 1000, (3, 20, 30, 3)).astype(np.uint16) * np.array([1, 10, 60], np.uint16)
    window = estimate_window(open_frames(stack))
    assert window is not None
    for channel in range(3):
        low, high = np.percentile(stack[..., channel], (0.1, 99.9))
        assert (window.low[channel], window.high[channel]) == pytest.approx((low, high))


def test_a_live_stream_gives_its_first_frame() -> None:
    frames = open_frames(iter(RNG.integers(0, 60_000, (9, 20, 30)).astype(np.uint16)))
    first = frames[0]
    window = estimate_window(frames)
    assert window is not None
    np.testing.assert_allclose([*window.low, *window.high], np.percentile(first, (0.1, 99.9)))
    assert frames[0] is first or np.array_equal(frames[0], first)


def test_a_few_bright_spots_are_not_cut_away() -> None:
    stack = np.zeros((2, 100, 100), np.uint16)
    stack[0, 50, 50] = 4000
    assert estimate_window(open_frames(stack)) == IntensityWindow((0,), (4000,))


@pytest.mark.parametrize("level", [0, 7, -3.5, 1e30])
def test_a_constant_image_is_black(level: float) -> None:
    image = np.full((20, 30), level, np.float64)
    window = estimate_window(open_frames(image))
    np.testing.assert_array_equal(to_rgb(image, window), 0)


def test_non_finite_pixels_are_left_out_with_one_warning() -> None:
    image = RNG.normal(size=(40, 50)).astype(np.float32)
    image[:4, :5], image[5, :5] = np.nan, np.inf
    with pytest.warns(InputWarning, match="25 of 2000 pixels") as caught:
        window = estimate_window(open_frames(image))
    assert len(caught) == 1
    assert window is not None
    np.testing.assert_allclose(
        [*window.low, *window.high], np.percentile(image[np.isfinite(image)], (0.1, 99.9)), rtol=1e-6
    )
    rgb = to_rgb(image, window)
    assert (rgb[:4, :5] == 0).all()
    assert (rgb[5, :5] == 0).all()
    assert torch.isfinite(to_model_input(image, window, 32)).all()


def test_a_channel_without_a_finite_pixel_is_black() -> None:
    image = RNG.normal(size=(20, 30, 3)).astype(np.float32)
    image[..., 1] = np.nan
    with pytest.warns(InputWarning):
        window = estimate_window(open_frames(image))
    assert (to_rgb(image, window)[..., 1] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("length", [None, 1, 3])
def test_what_has_no_finite_pixel_is_empty_and_dark_alone_and_in_a_stack(
    length: int | None, value: float
) -> None:
    pixels = np.full((20, 30) if length is None else (length, 20, 30), value, np.float32)
    frames = open_frames(pixels)
    with pytest.warns(InputWarning, match="no finite pixel") as caught:
        window = estimate_window(frames)
    assert len(caught) == 1
    assert not to_rgb(frames[0], window).any()


@pytest.mark.parametrize("position", [0, 1])
def test_a_stack_with_an_empty_frame_has_the_window_of_the_others(position: int) -> None:
    stack = RNG.normal(size=(3, 20, 30)).astype(np.float32)
    expected = estimate_window(open_frames(np.delete(stack, position, 0)))
    stack[position] = np.nan
    with pytest.warns(InputWarning, match="no finite pixel"):
        assert estimate_window(open_frames(stack)) == expected


# ------------------------------------------------------------------ fill values


def filled(pixels: NDArray[np.generic], *values: float) -> FrameSource:
    """Return a stack whose file declares values as no data."""
    plan = plan_axes("ct", pixels.shape, pixels.dtype, axes="TYXS"[: pixels.ndim])
    return ArrayFrames(pixels, plan, "ct", fill_values=[(value, value) for value in values])


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("int16", -2000),
        ("int16", -32768),
        ("int16", 32767),
        ("uint16", 65535),
        ("uint16", 0),
        ("int32", -(2**31)),
        ("float32", -9999),
        ("float32", -3.4028235e38),  # as GDAL writes float32's lowest value, which is another one in 64 bits
        ("float64", -1.7976931348623157e308),
        ("float32", 1e20),
    ],
)
def test_fill_values_decide_no_window_and_are_black(dtype: str, fill: float) -> None:
    pixels = RNG.normal(300, 4, (2, 40, 50)).astype(dtype)
    expected = estimate_window(open_frames(pixels[:, 5:]))
    with np.errstate(over="ignore"):
        pixels[:, :5] = np.array(fill, dtype)
    for contrast in (None, (200, 420), IntensityWindow((200,), (420,))):
        window = window_of(filled(pixels, fill), contrast)
        assert window is not None
        assert expected is not None
        assert contrast or (window.low, window.high) == (expected.low, expected.high)
        rgb = to_rgb(pixels[0], window)
        assert (rgb[:5] == 0).all()
        assert (rgb[5:] == to_rgb(pixels[0], IntensityWindow(window.low, window.high))[5:]).all()


def test_a_range_of_fill_values() -> None:
    pixels = np.array([[-2000, -1500, -1000, 0, 1000]], np.int16)
    window = IntensityWindow((-1600,), (1000,), ((-2000, -1500),))
    assert (to_rgb(pixels, window)[0, :, 0] > 0).tolist() == [False, False, True, True, True]


def test_fill_values_of_eight_bits_and_of_color() -> None:
    gray = np.array([[[0, 7, 255]]], np.uint8)
    assert estimate_window(filled(gray, 0)) is None
    window = estimate_window(filled(gray, 255))
    assert window == IntensityWindow((0,), (255,), ((255, 255),))
    assert (to_rgb(gray[0], window)[0, :, 0] * 255).round().tolist() == [0, 7, 0]
    red_and_white = np.array([[[255, 0, 0], [255, 255, 255]]], np.uint8)
    assert to_rgb(red_and_white, window).tolist() == [[[1, 0, 0], [0, 0, 0]]]


def test_a_stack_of_fill_values_alone_is_empty_and_dark() -> None:
    frames = filled(np.full((2, 4, 5), -2000, np.int16), -2000)
    with pytest.warns(InputWarning, match="declared as no data; it is read as empty and dark"):
        window = estimate_window(frames)
    assert not to_rgb(frames[0], window).any()


def test_a_crop_and_a_session_know_of_fill_values(small_model: Sam2) -> None:
    pixels = RNG.normal(300, 4, (2, 40, 50)).astype(np.int16)
    pixels[:, :5] = -2000
    frames = filled(pixels, -2000, float("nan"))
    assert CroppedFrames(frames, slice(0, 9), slice(0, 9)).fill_values == ((-2000, -2000),)
    for contrast in (None, (200, 420)):
        window = open_video_session(small_model, frames, contrast).window
        assert window is not None
        assert window.fill == ((-2000, -2000),)


def test_a_window_from_what_users_write() -> None:
    window = IntensityWindow((1.0,), (2.0,))
    assert IntensityWindow.of((1, 2)) == window
    assert IntensityWindow.of(window) is window
    assert IntensityWindow.of("Lung") == IntensityWindow((-1350,), (150,))
    assert set(HOUNSFIELD_WINDOWS) >= {"lung", "soft tissue", "bone", "brain"}
    for wrong in ((2, 1), (1, 1), (0, float("nan")), (float("-inf"), 0), (1, 2, 3), "heart", 5):
        with pytest.raises(InputError):
            IntensityWindow.of(wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------ colors


def test_sixteen_bits_keep_every_level() -> None:
    image = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    rgb = to_rgb(image, IntensityWindow((0,), (65535,)))
    assert rgb.dtype == np.float32
    assert len(np.unique(rgb[..., 0])) == 65536
    assert (rgb.min(), rgb.max()) == (0, 1)


def test_large_numbers_keep_their_differences() -> None:
    image = np.array([[0, 1, 2, 3]], np.uint32) + np.uint32(4_000_000_000)
    window = estimate_window(open_frames(image))
    np.testing.assert_allclose(to_rgb(image, window)[0, :, 0], [0, 1 / 3, 2 / 3, 1], atol=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_channels_become_colors(channels: int) -> None:
    image = RNG.integers(0, 256, (20, 30, channels)).astype(np.uint8)
    rgb = to_rgb(image, None)
    assert rgb.shape == (20, 30, 3)
    order = {1: [0, 0, 0], 2: [0, 1]}.get(channels, [0, 1, 2])
    expected = [image[..., i].astype(float) for i in order]
    if channels == 2:
        expected.append(image.mean(axis=2))
    np.testing.assert_allclose(rgb, np.stack(expected, axis=2) / 255, atol=1e-6)


def test_gray_is_the_same_as_three_equal_channels() -> None:
    gray = PHOTO[..., 0]
    color = np.repeat(gray[..., None], 3, axis=2)
    assert torch.equal(to_model_input(gray, None, 64), to_model_input(color, None, 64))


def test_a_window_stretches_eight_bits_too() -> None:
    image = np.array([[0, 100, 150, 200, 255]], np.uint8)
    np.testing.assert_allclose(to_rgb(image, IntensityWindow((100,), (200,)))[0, :, 0], [0, 0, 0.5, 1, 1])


def test_binary_is_black_and_white() -> None:
    image = np.array([[True, False]])
    np.testing.assert_array_equal(to_rgb(image, None)[0, :, 0], [1, 0])


def test_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="at least one pixel"):
        to_rgb(np.zeros((0, 5), np.uint8), None)
    with pytest.raises(InputError, match="window has 2 channels, but the image has 3"):
        to_rgb(PHOTO, IntensityWindow((0, 0), (1, 1)))
    with pytest.raises(ValueError, match="need an intensity window"):
        to_rgb(PHOTO.astype(np.uint16), None)


FLOATS = st.floats(-(2**100), 2**100, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


@given(
    st.sampled_from([np.uint16, np.int32, np.uint64]).flatmap(lambda dtype: npst.arrays(dtype, SHAPES))
    | st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: npst.arrays(dtype, SHAPES, elements=FLOATS)
    )
)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore::sam2_engine.errors.InputWarning")
def test_whatever_the_numbers_colors_lie_between_0_and_1(image: NDArray[np.generic]) -> None:
    rgb = to_rgb(image, estimate_window(open_frames(image, axes="YX")))
    assert np.isfinite(rgb).all()
    assert rgb.min() >= 0
    assert rgb.max() <= 1


# ------------------------------------------------------------------ model input


@pytest.mark.parametrize("size", [32, 64, 1024])
def test_photographs_take_the_official_path(size: int) -> None:
    """Float values in 0..1, resized with antialiasing to a square, normalized by ImageNet's numbers."""
    pixels = to_model_input(PHOTO, None, size)
    assert pixels.shape == (1, 3, size, size)
    assert pixels.dtype == torch.float32
    planes = torch.from_numpy(PHOTO).permute(2, 0, 1).contiguous().float().div(255)
    resized = torch.nn.functional.interpolate(
        planes[None], (size, size), mode="bilinear", antialias=True, align_corners=False
    )[0]
    assert torch.equal(pixels[0], (resized - MEAN) / STD)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.uint16])
def test_a_gpu_makes_the_same_input_of_what_it_is_sent(channels: int | None, dtype: type[np.generic]) -> None:
    shape = (37, 53) if channels is None else (37, 53, channels)
    image = RNG.integers(0, 256, shape).astype(np.uint8).astype(dtype)
    image.setflags(write=False)
    window = IntensityWindow((10,), (200,)) if dtype == np.uint16 else None
    colors = preprocessing._colors_on_gpu(image, window, torch.device("cpu"))
    expected = torch.from_numpy(to_rgb(image, window).copy()).permute(2, 0, 1)[None]
    torch.testing.assert_close(colors.expand(-1, 3, -1, -1), expected)


def test_a_region_is_the_image_cut_out() -> None:
    part = to_model_input(PHOTO, None, 32, region=(5, 3, 25, 33))
    assert torch.equal(part, to_model_input(PHOTO[3:33, 5:25].copy(), None, 32))


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 54, 5), (5, 5, 5, 9), (0, 0, 5), (0.5, 0, 5, 5)])
def test_regions_outside_are_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match=r"[Rr]egion"):
        check_region(region, (37, 53))


def test_logits_go_back_to_the_image() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(1, 1, 16, 16)
    large = logits_to_size(ramp, (37, 53))
    assert large.shape == (1, 1, 37, 53)
    assert torch.equal((large > 0)[0, 0, 0], torch.arange(53) > 26)


@pytest.mark.parametrize("size", [(31, 45), (8, 10), (5, 3), (200, 64)])
@pytest.mark.parametrize("box", [(0, 1, 0, 1), (3, 6, 2, 9), (7, 8, 9, 10), (0, 8, 0, 10)])
def test_logits_around_some_cells_are_those_of_the_whole(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    """All pixels that the cells take part in are there; the others are what the rest alone gives."""
    logits = np.random.default_rng(0).normal(size=(8, 10)).astype(np.float32)
    whole = logits_to_size(torch.from_numpy(logits)[None, None], size)[0, 0].numpy()
    cells = (slice(box[0], box[1]), slice(box[2], box[3]))
    part, (row, column) = logits_around(logits, size, cells)
    window = (slice(row, row + part.shape[0]), slice(column, column + part.shape[1]))
    np.testing.assert_allclose(part, whole[window], atol=1e-5)
    without = logits.copy()
    without[cells] = 100
    other = logits_to_size(torch.from_numpy(without)[None, None], size)[0, 0].numpy()
    other[window] = whole[window]
    np.testing.assert_array_equal(other, whole)
