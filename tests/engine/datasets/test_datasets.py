"""Data sets of every format, good and bad: what is recognized, left out, and refused."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tifffile
from dataset_folders import (
    SHAPE,
    cell_tracking,
    davis,
    frame,
    images,
    label_frame,
    plain,
    sa_1b,
    sa_v,
    save,
    stack,
)

from sam2_engine import datasets
from sam2_engine.datasets import AnnotatedData
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.evaluation import labeled_sequences

Find = Callable[..., AnnotatedData]


@pytest.fixture
def find_dataset() -> Iterator[Find]:
    """Find data sets, and close them in the end."""
    with ExitStack() as opened:
        yield lambda *args, **kwargs: opened.enter_context(datasets.find_dataset(*args, **kwargs))


MAKERS = {
    "DAVIS": (davis, "2 videos as folders", [6, 6]),
    "one folder each": (plain, "a video of 6 frames", [6]),
    "images": (images, "5 images", [1] * 5),
    "SA-V": (sa_v, "SA-V, 1 video", [5]),
    "SA-1B": (sa_1b, "SA-1B, 3 images", [1] * 3),
    "TIFF": (stack, "1 TIFF stack", [5]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_format_is_recognized_and_its_masks_are_exact(
    name: str, tmp_path: Path, find_dataset: Find
) -> None:
    make, words, counts = MAKERS[name]
    data = find_dataset(make(tmp_path / "set"))
    assert words in data.description
    assert [len(video.visible) for video in data.videos] == counts
    for number, video in enumerate(data.videos):
        for t, ids in video.visible.items():
            expected = label_frame(number if counts[number] == 1 else t, video.frames.shape)
            assert ids == {1, 2}
            for object_id in ids:
                np.testing.assert_array_equal(video.annotation(t).mask(object_id), expected == object_id)


def test_masklets_belong_to_every_fourth_frame(tmp_path: Path, find_dataset: Find) -> None:
    (video,) = find_dataset(sa_v(tmp_path / "set")).videos
    assert list(video.visible) == [0, 4, 8, 12, 16]
    assert abs(video.frames[8].astype(float).mean() - frame(8).mean()) < 4


def test_a_stack_has_one_window_for_all_frames(tmp_path: Path, find_dataset: Find) -> None:
    (video,) = find_dataset(stack(tmp_path / "set")).videos
    assert video.window is not None
    assert video.window.high[0] > 50 * 200


def test_of_a_stack_a_single_frame_may_be_annotated(tmp_path: Path, find_dataset: Find) -> None:
    stack(tmp_path)
    labels = np.zeros((6, *SHAPE), np.uint8)
    labels[2] = label_frame(2)
    tifffile.imwrite(tmp_path / "cells_labels.tif", labels, metadata={"axes": "TYX"})
    (video,) = find_dataset(tmp_path).videos
    np.testing.assert_array_equal(video.annotation(2).mask(1), labels[2] == 1)


def test_cell_tracking_joins_tracks_with_gold_and_silver_masks(tmp_path: Path, find_dataset: Find) -> None:
    (video,) = find_dataset(cell_tracking(tmp_path / "set")).videos
    assert list(video.visible) == [0, 1, 2, 3]  # no mask at all on frame 4
    for t in (1, 3):  # the gold masks are numbered the other way round
        np.testing.assert_array_equal(video.annotation(t).mask(2), label_frame(t) == 2)
    assert video.visible[2] == {1}
    assert video.annotation(2).unknown == {2}  # its marker is there, so it is not absent


def test_folders_of_data_sets_are_joined(tmp_path: Path, find_dataset: Find) -> None:
    plain(tmp_path / "a")
    images(tmp_path / "b")
    data = find_dataset(tmp_path)
    assert len(data.videos) == 6
    assert "a video of 6 frames; 5 images" in data.description


def test_a_user_may_say_that_it_is_no_video(tmp_path: Path, find_dataset: Find) -> None:
    assert len(find_dataset(plain(tmp_path), as_video=False).videos) == 6


def test_numbers_alone_may_join_frames_and_masks(tmp_path: Path, find_dataset: Find) -> None:
    for t in range(3):
        save(tmp_path / "img" / f"t{t:03}.tif", frame(t))
        save(tmp_path / "masks" / f"mask{t}.tif", label_frame(t))
    assert len(find_dataset(tmp_path).videos[0].visible) == 3


# --- bad input -------------------------------------------------------------------------------------


def test_missing_masks_are_counted(tmp_path: Path, find_dataset: Find) -> None:
    plain(tmp_path)
    (tmp_path / "labels" / "002.png").unlink()
    (tmp_path / "labels" / "004.png").unlink()
    with pytest.warns(InputWarning, match=r"2 of 6 frames are left out.*002\.png has no label image"):
        (video,) = find_dataset(tmp_path).videos
    assert list(video.visible) == [0, 1, 3, 5]


def test_a_corrupt_file_in_the_middle_is_left_out(tmp_path: Path, find_dataset: Find) -> None:
    plain(tmp_path)
    path = tmp_path / "images" / "003.png"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.warns(InputWarning, match=r"1 of 6 frames are left out.*003\.png is not a readable image"):
        (video,) = find_dataset(tmp_path).videos
    assert list(video.visible) == [0, 1, 2, 4, 5]


def test_ids_may_change_their_type(tmp_path: Path, find_dataset: Find) -> None:
    for t, dtype in enumerate((np.uint8, np.uint16, np.int32, np.float32)):
        save(tmp_path / "images" / f"{t}.tif", frame(t))
        save(tmp_path / "labels" / f"{t}.tif", label_frame(t).astype(dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (video,) = find_dataset(tmp_path).videos
    assert [video.visible[t] for t in range(4)] == [{1, 2}] * 4


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(SHAPE, 0.5, np.float32), "not whole numbers"),
        (np.arange(-1, np.prod(SHAPE) - 1, dtype=np.int16).reshape(SHAPE) % 3 - 1, "below 0"),
        (np.random.default_rng(0).integers(0, 255, (*SHAPE, 3)).astype(np.uint8), "color image"),
    ],
)
def test_labels_that_are_none(labels: np.ndarray, message: str, tmp_path: Path, find_dataset: Find) -> None:
    save(tmp_path / "images" / "0.tif", frame(0))
    (tmp_path / "labels").mkdir()
    photometric = "rgb" if labels.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "labels" / "0.tif", labels, photometric=photometric)
    with pytest.raises(InputError, match=message):
        find_dataset(tmp_path)


def test_jpeg_labels_are_refused(tmp_path: Path, find_dataset: Find) -> None:
    save(tmp_path / "images" / "0.png", frame(0))
    save(tmp_path / "labels" / "0.jpg", label_frame(0))
    with pytest.raises(InputError, match="JPEG"):
        find_dataset(tmp_path)


def test_frames_that_differ_in_size_are_no_video(tmp_path: Path, find_dataset: Find) -> None:
    davis(tmp_path)
    save(tmp_path / "JPEGImages" / "480p" / "cows" / "00003.jpg", frame(3, (50, 64)))
    with pytest.warns(InputWarning, match=r"6 of 12 frames are left out.*00003\.jpg is 50 x 64"):
        data = find_dataset(tmp_path)
    assert [video.name for video in data.videos] == ["dogs"]


def test_masks_of_another_size_are_left_out(tmp_path: Path, find_dataset: Find) -> None:
    plain(tmp_path)
    save(tmp_path / "labels" / "005.png", label_frame(5, (50, 64)))
    with pytest.warns(InputWarning, match="masks of frame 5 .* are 64 wide and 50 high"):
        find_dataset(tmp_path, as_video=True)


def test_empty_masks_alone_are_refused(tmp_path: Path, find_dataset: Find) -> None:
    for t in range(3):
        save(tmp_path / "images" / f"{t}.png", frame(t))
        save(tmp_path / "labels" / f"{t}.png", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match="all masks are empty"):
        find_dataset(tmp_path)


def test_a_single_frame_is_a_data_set(tmp_path: Path, find_dataset: Find) -> None:
    assert len(find_dataset(plain(tmp_path, frames=1)).videos) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
@pytest.mark.parametrize("side_by_side", [False, True])
def test_single_images_are_not_all_held_open(side_by_side: bool, tmp_path: Path) -> None:
    """A system lets a process open about a thousand files: few of 50 images may be, however they lie."""
    for i in range(50):
        image, labels = (
            (f"{i:03}", f"{i:03}_labels") if side_by_side else (f"images/{i:03}", f"labels/{i:03}")
        )
        shape = (48, 64 + i)
        save(tmp_path / f"{image}.tif", frame(i, shape))
        save(tmp_path / f"{labels}.tif", label_frame(i % 6, shape))

    def open_files() -> int:
        return sum(
            path.is_symlink() and "tif" in str(path.readlink()) for path in Path("/proc/self/fd").iterdir()
        )

    before = open_files()
    with datasets.find_dataset(tmp_path) as data:
        assert len(data.videos) == 50
        for i, video in enumerate(data.videos):
            assert np.array_equal(video.frames[0], frame(i, (48, 64 + i)))
            assert video.annotation(0).ids == {1, 2}
        assert open_files() <= before + 2
        sequences = labeled_sequences(data)
        assert len(sequences) == 50
        assert sum(len(sequence.frames[0]) for sequence in sequences) == 50 * 48
        assert open_files() <= before + 2


def test_stacks_of_different_lengths_are_refused(tmp_path: Path, find_dataset: Find) -> None:
    stack(tmp_path)
    tifffile.imwrite(tmp_path / "cells_labels.tif", np.ones((5, *SHAPE), np.uint8), metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"has 6 frames, but .* has 5"):
        find_dataset(tmp_path)


def test_masklets_without_a_video_or_without_sense(tmp_path: Path, find_dataset: Find) -> None:
    sa_v(tmp_path)
    path = tmp_path / "sav_000001_manual.json"
    content = json.loads(path.read_text())
    content["masklet"][1][0]["counts"] = "5"
    path.write_text(json.dumps(content))
    with pytest.warns(InputWarning, match="1 of 5 frames are left out.*run lengths"):
        find_dataset(tmp_path)
    (tmp_path / "sav_000001.mp4").unlink()
    with pytest.raises(InputError, match="have no video; expected it in"):
        find_dataset(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path, find_dataset: Find) -> None:
    with pytest.raises(InputError, match="No data set is recognized"):
        find_dataset(tmp_path)
    with pytest.raises(InputError, match="There is no folder"):
        find_dataset(tmp_path / "nowhere")
