"""Arrays of all kinds as frames: axes, channels, laziness, bad input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameIndexError, FrameSource, open_frames


def counting(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "axes", "length", "frame"),
    [
        ((20, 30), "YX", 1, (20, 30)),
        ((20, 30, 3), "YXS", 1, (20, 30, 3)),
        ((20, 30, 2), "YXC", 1, (20, 30, 2)),
        ((20, 30, 1), "YXC", 1, (20, 30)),
        ((7, 20, 30), "TYX", 7, (20, 30)),
        ((3, 20, 30), "TYX", 3, (20, 30)),
        ((1, 20, 30), None, 1, (20, 30)),
        ((7, 20, 30, 3), "TYXS", 7, (20, 30, 3)),
        ((1, 7, 20, 30), None, 7, (20, 30)),
    ],
)
def test_unnamed_axes(shape: tuple[int, ...], axes: str | None, length: int, frame: tuple[int, ...]) -> None:
    array = counting(*shape)
    frames = open_frames(array)
    assert len(frames) == length
    assert axes is None or frames.axes == axes
    assert frames.shape == (20, 30)
    assert frames[length - 1].shape == frame
    np.testing.assert_array_equal(frames[length - 1], array.reshape(length, *frame)[-1])
    assert frames.is_rgb == (axes is not None and axes.endswith("S"))


def test_an_ambiguous_axis_is_in_the_description() -> None:
    assert "read as T" in open_frames(counting(7, 20, 30)).description
    assert open_frames(counting(7, 20, 30), axes="ZYX").description == "Z=7 Y=20 X=30, 1 channel, uint16"
    assert (
        open_frames(counting(7, 20, 30, 3, dtype="uint8"), axes="TYXS").description
        == "T=7 Y=20 X=30, RGB, uint8"
    )


def test_named_axes_may_lie_in_any_order() -> None:
    array = counting(4, 30, 5, 20, 2)
    frames = open_frames(array, axes="TXZYC", fixed={"Z": 3})
    assert (len(frames), frames.shape, frames.channels, frames.axis) == (4, (20, 30), 2, "T")
    np.testing.assert_array_equal(frames[2], array[2, :, 3].transpose(1, 0, 2))


def test_with_fixed_time_frames_lie_along_depth() -> None:
    array = counting(4, 5, 20, 30)
    frames = open_frames(array, axes="TZYX", fixed={"t": 1})
    assert (len(frames), frames.axis) == (5, "Z")
    np.testing.assert_array_equal(frames[4], array[1, 4])
    assert frames.description == "Z=5 Y=20 X=30, 1 channel, uint16; T=1 of 4"
    single = open_frames(array, axes="TZYX", fixed={"T": 1, "Z": 2})
    assert len(single) == 1
    np.testing.assert_array_equal(single[0], array[1, 2])


def test_one_channel_of_many() -> None:
    array = counting(4, 2, 20, 30)
    assert open_frames(array, axes="TCYX").channels == 2
    frames = open_frames(array, axes="TCYX", channel=1)
    assert frames.channels == 1
    np.testing.assert_array_equal(frames[3], array[3, 1])


def dask_of(array: np.ndarray) -> Any:
    from dask import array as da

    return da.from_array(array, chunks=(1, *array.shape[1:]))


@pytest.mark.parametrize(
    "convert",
    [zarr.array, dask_of, lambda a: a.astype(">u2"), np.asfortranarray, __import__("torch").from_numpy],
)
def test_kinds_of_arrays(convert: Callable[[np.ndarray], Any]) -> None:
    array = counting(5, 20, 30)
    frames = open_frames(convert(array))
    assert frames.dtype == np.uint16
    for i, frame in enumerate(frames):
        assert frame.dtype == np.uint16
        np.testing.assert_array_equal(frame, array[i])


def test_only_the_frame_that_is_read_is_computed() -> None:
    from dask import array as da
    from dask import delayed

    computed: list[int] = []

    def plane(number: int) -> np.ndarray:
        computed.append(number)
        return np.full((20, 30), number, np.uint16)

    planes = [da.from_delayed(delayed(plane)(i), (20, 30), np.uint16) for i in range(300)]
    frames = open_frames(da.stack(planes))
    assert frames[123][0, 0] == 123
    assert computed == [123]


def test_numpy_file_is_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.npy"
    shape = (1 << 20, 1024, 1024)  # a terabyte, which takes no room on disk until it is written
    huge = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    huge[777_777] = 7
    del huge
    frames = open_frames(path)
    assert len(frames) == 1 << 20
    assert (frames[777_777] == 7).all()
    assert not frames[777_778].any()


def test_list_of_images() -> None:
    images = [counting(20, 30), counting(20, 30) + 1]
    frames = open_frames(images, axes="ZYX")
    assert (len(frames), frames.axis) == (2, "Z")
    np.testing.assert_array_equal(frames[1], images[1])
    with pytest.raises(InputError, match="Image 1 of the list"):
        open_frames([counting(20, 30), counting(20, 31)])
    with pytest.raises(InputError, match="empty"):
        open_frames([])


def test_a_source_stays_itself_and_knows_its_end() -> None:
    frames = open_frames(counting(3, 20, 30))
    assert open_frames(frames) is frames
    for wrong in (3, -1):
        with pytest.raises(FrameIndexError, match="frames are 0 to 2"):
            frames[wrong]
    assert len(list(frames)) == 3


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((30,), {}, "needs at least a height and a width"),
        ((4, 5, 20, 30), {}, "nobody named them"),
        ((2, 4, 5, 20, 30), {}, "nobody named them"),
        ((4, 20, 30), {"axes": "TZYX"}, "names 4 axes, but"),
        ((4, 20, 30), {"axes": "TTX"}, "different letters"),
        ((4, 20, 30), {"axes": "TZX"}, "Y and X among them"),
        ((4, 5, 20, 30), {"axes": "TZYX"}, "T=4 and Z=5"),
        ((4, 5, 20, 30), {"axes": "TZYX", "fixed": {"Z": 5}}, "positions 0 to 4, not 5"),
        ((4, 20, 30), {"fixed": {"Q": 1}}, "no position can be fixed on Q"),
        ((4, 2, 20, 30), {"axes": "TCYX", "channel": 2}, "there is no 2"),
        ((4, 20, 30), {"channel": 1}, "1 channel, counted from 0"),
        ((0, 20, 30), {}, "no pixels"),
        ((4, 0, 30), {}, "no pixels"),
        ((0, 0), {}, "no pixels"),
    ],
)
def test_arrays_that_cannot_be_used(shape: tuple[int, ...], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_frames(np.zeros(shape, np.uint16), **options)


@pytest.mark.parametrize(
    "source", [3, None, {"a": 1}, b"abc", np.zeros((4, 4), complex), np.array([["a", "b"]])]
)
def test_things_that_are_no_images(source: Any) -> None:
    with pytest.raises(InputError):
        open_frames(source)


def test_an_error_while_reading_names_the_frame() -> None:
    class Broken:
        shape = (9, 20, 30)
        dtype = np.dtype(np.uint8)

        def __getitem__(self, index: Any) -> np.ndarray:
            if index[0] == 5:
                raise OSError("the disk is gone")
            return np.zeros((20, 30), np.uint8)

    frames = open_frames(Broken())
    frames[4]
    with pytest.raises(InputError, match=r"Frame 5 of .* cannot be read \(the disk is gone\)"):
        frames[5]


def test_non_finite_pixels_warn_once() -> None:
    stack = np.zeros((4, 20, 30), np.float32)
    stack[1:, 0, :3] = np.nan
    frames = open_frames(stack)
    frames[0]
    with pytest.warns(InputWarning, match="3 of 600 pixels in frame 1") as caught:
        read = [frame.shape for frame in frames]
    assert read == [(20, 30)] * 4
    assert len(caught) == 1


def test_a_frame_without_a_finite_pixel_is_an_empty_frame() -> None:
    stack = np.ones((4, 20, 30), np.float32)
    stack[2:] = np.nan
    frames = open_frames(stack)
    with pytest.warns(InputWarning, match=r"Frame 2 of .* no finite pixel .* read as an empty") as caught:
        assert np.isnan(np.stack([*frames])[2:]).all()
    assert len(caught) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_without_a_finite_pixel_is_an_empty_image(value: float) -> None:
    with pytest.warns(InputWarning, match=r"^The array has no finite pixel .* an empty, dark image\.$"):
        assert not np.isfinite(open_frames(np.full((20, 30), value, np.float32))[0]).any()


def test_sources_close_themselves() -> None:
    with open_frames(counting(3, 20, 30)) as frames:
        assert isinstance(frames, FrameSource)
