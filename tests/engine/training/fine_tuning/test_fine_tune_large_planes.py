"""Fine-tuning on planes of twice the model's input: trained and validated in tiles, as they are predicted."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from dataset_folders import plain
from numpy.typing import NDArray

from sam2_engine.datasets import AnnotatedData, AnnotatedVideo, VideoRecord, find_dataset
from sam2_engine.datasets.annotations import Annotation, LabelImage, RunLengths
from sam2_engine.datasets.tiled_video import split_into_tiles
from sam2_engine.frames import open_frames
from sam2_engine.masks import encode_rle
from sam2_engine.training.fine_tuning import trainer as fine_tuner
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.interactive_training import PromptConfig
from sam2_engine.training.fine_tuning.run import fine_tune
from sam2_engine.training.fine_tuning.run_log import read_losses
from sam2_engine.weights.loading import load_model

SIDE = 128  # of the small model's input
FRAMES = 5
FOURTH = 60000  # ids may have gaps
TOP_LEFT, TOP_RIGHT, BOTTOM_RIGHT = (0, 0), (0, SIDE), (SIDE, SIDE)


def labels_at(t: int) -> NDArray[np.uint16]:
    """1 and 2 are in a tile each, 3 has one of its 20 columns in the next, where FOURTH comes on frame 1."""
    labels = np.zeros((2 * SIDE, 2 * SIDE), np.uint16)
    labels[20:40, 10 + 4 * t : 30 + 4 * t] = 1
    labels[190:210, 200 - 4 * t : 220 - 4 * t] = 2
    labels[80:100, 109:129] = 3
    if t > 0:
        labels[20:40, 170:190] = FOURTH
    return labels


def pixels_at(t: int) -> NDArray[np.uint16]:
    noise = np.random.default_rng(t).integers(0, 500, (2 * SIDE, 2 * SIDE))
    return (noise + np.arange(2 * SIDE) * 40 + 9000 * (labels_at(t) > 0)).astype(np.uint16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnnotatedData]:
    folder = tmp_path_factory.mktemp("large")
    for name, at in (("cells.tif", pixels_at), ("cells_labels.tif", labels_at)):
        stack = np.stack([at(t) for t in range(FRAMES)])
        tifffile.imwrite(folder / name, stack, metadata={"axes": "TYX"})
    with find_dataset(folder) as dataset:
        yield dataset


@pytest.fixture
def config(small_checkpoint: Path) -> TrainingConfig:
    return TrainingConfig(
        model=str(small_checkpoint),
        steps=6,
        clip_length=3,
        image_objects=2,
        save_every=2,
        views=1,
        learning_rate=1e-3,
        prompts=PromptConfig(corrections=1),
    )


def of_frame(annotation: Annotation, shape: tuple[int, int] = (2 * SIDE, 2 * SIDE)) -> AnnotatedVideo:
    """Return an image with these objects."""
    frames = open_frames(np.zeros((1, *shape), np.uint8))
    return AnnotatedVideo(
        VideoRecord("image", lambda: frames, lambda _: annotation, [0]), {0: annotation.ids}
    )


def test_a_tile_shows_its_part_of_frames_and_masks_through_the_window_of_the_whole(
    data: AnnotatedData,
) -> None:
    (whole,) = data.videos
    tiles = split_into_tiles(whole, SIDE)
    assert [tile.name for tile in tiles] == [
        f"cells[{row}:{row + SIDE}, {column}:{column + SIDE}]"
        for row, column in (TOP_LEFT, TOP_RIGHT, BOTTOM_RIGHT)  # the fourth tile is empty
    ]
    for tile, (row, column) in zip(tiles, (TOP_LEFT, TOP_RIGHT, BOTTOM_RIGHT), strict=True):
        window = slice(row, row + SIDE), slice(column, column + SIDE)
        assert tile.window is whole.window is not None
        assert tile.shape == tile.frames.shape == (SIDE, SIDE)
        assert len(tile.frames) == FRAMES
        for t in range(FRAMES):
            assert np.array_equal(tile.frames[t], pixels_at(t)[window])
            annotation = tile.annotation(t)
            assert annotation.ids == tile.visible[t]
            assert annotation.shape == (SIDE, SIDE)
            for object_id in annotation.ids:
                assert np.array_equal(annotation.mask(object_id), labels_at(t)[window] == object_id)


def test_a_sliver_is_unknown_and_what_is_elsewhere_is_absent(data: AnnotatedData) -> None:
    left, right, below = split_into_tiles(data.videos[0], SIDE)
    assert list(left.visible.values()) == [{1, 3}] * FRAMES
    assert list(right.visible.values()) == [set(), *[{FOURTH}] * (FRAMES - 1)]
    assert list(below.visible.values()) == [{2}] * FRAMES
    assert [one.annotation(0).unknown for one in (left, right, below)] == [set(), {3}, set()]


def test_what_was_unknown_on_the_whole_plane_is_so_in_its_tiles() -> None:
    (tile,) = split_into_tiles(of_frame(LabelImage(labels_at(0) * (labels_at(0) == 1), frozenset({8}))), SIDE)
    assert tile.annotation(0).unknown == {8}


@pytest.mark.parametrize("kind", ["labels", "run lengths"])
def test_an_object_that_no_tile_holds_is_prompted_on_the_whole_plane(kind: str) -> None:
    labels = labels_at(0)
    labels[120:124, 20:200] = 9
    masks = {int(i): encode_rle(labels == i) for i in np.unique(labels) if i}
    annotation = LabelImage(labels) if kind == "labels" else RunLengths(masks)
    plane, left, below = split_into_tiles(of_frame(annotation), SIDE)
    assert plane.shape == labels.shape
    assert [one.visible[0] for one in (plane, left, below)] == [{9}, {1, 3}, {2}]
    assert [one.annotation(0).unknown for one in (plane, left, below)] == [{1, 2, 3}, {9}, set()]
    assert np.array_equal(plane.annotation(0).mask(9), labels == 9)


def test_every_object_is_prompted_somewhere() -> None:
    """Also where four tiles meet, and where tiles overlap because the plane is no multiple of them."""
    for corner in range(0, 300 - 100, 10):
        labels = np.zeros((300, 300), np.uint8)
        labels[corner : corner + 100, corner : corner + 100] = 1
        assert split_into_tiles(of_frame(LabelImage(labels), labels.shape), SIDE)


def test_small_planes_stay_as_they_are_and_large_ones_are_read_once(
    data: AnnotatedData, tmp_path: Path
) -> None:
    with find_dataset(plain(tmp_path, frames=2)) as small:
        (video,) = small.videos
        assert [one is video for one in split_into_tiles(video, SIDE)] == [True]
    read: list[int] = []
    (large,) = data.videos
    record = replace(large.record, annotate=lambda t: read.append(t) or large.annotation(t))
    counted = replace(large, record=record)
    assert len(split_into_tiles(counted, SIDE)) == 3
    assert read == list(range(FRAMES))
    counted.close()


def test_a_tile_without_a_finite_pixel_can_be_trained_on() -> None:
    """Of a mosaic of micrographs some tiles are empty on some frames."""
    pixels = np.full((1, 2 * SIDE, 2 * SIDE), np.nan, np.float32)
    pixels[0, SIDE:] = np.arange(2 * SIDE)
    annotation = LabelImage(labels_at(0) * (labels_at(0) == 1))
    frames = open_frames(pixels)
    whole = AnnotatedVideo(
        VideoRecord("mosaic", lambda: frames, lambda _: annotation, [0]), {0: annotation.ids}
    )
    with pytest.warns(match="NaN"):
        assert np.isnan(split_into_tiles(whole, SIDE)[0].frames[0]).all()


def test_a_validation_frame_is_not_trained_on_in_any_tile(
    config: TrainingConfig, data: AnnotatedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips: list[Any] = []
    load: Callable[..., Any] = fine_tuner.load_objects
    monkeypatch.setattr(fine_tuner, "load_objects", lambda *args: clips.append(args[0]) or load(*args))
    lines: list[str] = []
    outcome = fine_tune(replace(config, steps=12), data, tmp_path, say=lines.append)
    assert len({clip.video.name for clip in clips}) == 3
    assert {frame for clip in clips for frame in clip.frames} == set(range(FRAMES - 1))
    assert len({key for clip in clips for key in clip.keys}) == len(
        {(clip.video.name, frame) for clip in clips for frame in clip.frames}
    )
    assert "4 frames for training, 1 held out for validation." in lines
    assert "1 large image or video is split into 3 tiles of 128 x 128 pixels." in lines
    assert (outcome.before.frames, outcome.before.videos) == (1, 1)
    assert outcome.improvement.startswith("Gain on 1 held-out frame: IoU after one click ")


def test_a_run_in_tiles_continues_exactly(
    config: TrainingConfig, data: AnnotatedData, tmp_path: Path
) -> None:
    whole = fine_tune(config, data, tmp_path / "whole")
    stops = iter([False, False, False, True])
    assert not fine_tune(config, data, tmp_path / "halves", should_stop=lambda: next(stops)).finished
    resumed = fine_tune(config, data, tmp_path / "halves")
    assert read_losses(tmp_path / "halves") == read_losses(tmp_path / "whole")
    assert (resumed.before, resumed.after) == (whole.before, whole.after)
    assert whole.weights is not None
    assert resumed.weights is not None
    one, other = (load_model(path, "cpu").state_dict() for path in (whole.weights, resumed.weights))
    assert all(torch.equal(one[name], other[name]) for name in one)
