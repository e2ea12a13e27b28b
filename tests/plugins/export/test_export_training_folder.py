"""A training folder is read by the readers of ``sam2 train``."""

import warnings

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_plugins.export.training_folder import write_training_folder


def three_objects(pixels=None, axes="TYX", largest=9):
    labels = np.zeros((5, 24, 32), np.uint32)
    labels[:, 2:9, 3:12] = 4
    labels[2:, 10:15, 15:28] = largest
    return PaintedSession.of(labels, pixels, axes=axes), labels


def test_sam2_train_reads_frames_and_masks(tmp_path):
    session, labels = three_objects(largest=70_000)
    summary = write_training_folder(session, tmp_path / "train", "cells")
    assert (summary.frames, summary.changes) == (5, ())
    with find_dataset(tmp_path / "train") as data:
        (video,) = data.videos
        assert video.name == "cells"
        assert {frame: set(ids) for frame, ids in video.visible.items()} == {
            0: {4},
            1: {4},
            2: {4, 70_000},
            3: {4, 70_000},
            4: {4, 70_000},
        }
        np.testing.assert_array_equal(video.annotation(3).mask(70_000), labels[3] == 70_000)
        for frame in range(5):
            np.testing.assert_array_equal(video.frames[frame], session.frames[frame])


@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [
        ((), np.uint16, "TYX"),
        ((), np.float32, "TYX"),
        ((3,), np.uint8, "TYXS"),
        ((2,), np.uint16, "TYXC"),
        ((6,), np.uint16, "TYXC"),
    ],
)
def test_pixels_of_every_kind_stay_as_they_are(tmp_path, shape, dtype, axes):
    pixels = (np.random.default_rng(0).random((5, 24, 32, *shape)) * 200).astype(dtype)
    session, _ = three_objects(pixels, axes)
    write_training_folder(session, tmp_path / "train")
    with find_dataset(tmp_path / "train") as data, warnings.catch_warnings():
        frames = data.videos[0].frames
        assert frames.dtype == dtype
        np.testing.assert_array_equal(frames[2], pixels[2])


def test_frames_with_an_unknown_object_are_left_out(tmp_path):
    session, _ = three_objects()
    del session.masks[4, 3]
    summary = write_training_folder(session, tmp_path / "train")
    assert [file.name for file in sorted((tmp_path / "train" / "labels" / "session").iterdir())] == [
        "000.tif",
        "001.tif",
        "002.tif",
        "004.tif",
    ]
    assert summary.changes == ("1 of 5 frames was left out, because an object is not annotated there.",)
    summary = write_training_folder(session, tmp_path / "chosen", frames=[0, 3])
    assert (summary.frames, summary.changes) == (2, ())


def test_what_cannot_be_written(tmp_path):
    session, _ = three_objects()
    with pytest.raises(InputError, match="choose others"):
        write_training_folder(session, tmp_path / "train", frames=[7])
    steps = write_training_folder.steps(session, tmp_path / "train")
    next(steps)
    steps.close()
    assert not list(tmp_path.iterdir())
    write_training_folder(session, tmp_path / "train")
    with pytest.raises(InputError, match="exists; choose another name"):
        write_training_folder(session, tmp_path / "train")
    write_training_folder(session, tmp_path / "train", overwrite=True)
