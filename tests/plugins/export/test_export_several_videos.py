"""Several sessions in one file or folder: what belongs to whom."""

import json
from pathlib import Path

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_engine.masks import decode_rle
from sam2_plugins.export.coco import write_coco_videos
from sam2_plugins.export.training_folder import write_training_videos
from sam2_plugins.export.youtube_vis import write_youtube_vis
from sam2_plugins.session.readable import run_to_end


def painted(frames: int, label: str) -> PaintedSession:
    """One object, absent on the last frame, and another that is nowhere known but on the first frame."""
    session = PaintedSession.of(np.zeros((frames, 16, 20), np.uint8))
    session.add(1, label)
    session.add(2, "other")
    for frame in range(frames):
        mask = np.zeros((16, 20), bool)
        mask[2:6, frame : frame + 5] = frame < frames - 1
        session.paint(1, frame, mask)
    session.paint(2, 0, np.ones((16, 20), bool))
    return session


@pytest.fixture
def videos() -> list[tuple[str, PaintedSession]]:
    return [("first", painted(3, "cell")), ("second", painted(4, "car"))]


def test_youtube_vis(videos: list[tuple[str, PaintedSession]], tmp_path: Path) -> None:
    summary = write_youtube_vis(videos, tmp_path / "all.json")
    assert (summary.frames, summary.objects) == (7, 4)
    content = json.loads((tmp_path / "all.json").read_text())
    assert [(one["length"], one["file_names"][-1]) for one in content["videos"]] == [
        (3, "first/002.tif"),
        (4, "second/003.tif"),
    ]
    names = {one["id"]: one["name"] for one in content["categories"]}
    found = [(one["video_id"], names[one["category_id"]]) for one in content["annotations"]]
    assert found == [(1, "cell"), (1, "other"), (2, "car"), (2, "other")]
    car = content["annotations"][2]
    assert car["bboxes"] == [[0, 2, 5, 4], [1, 2, 5, 4], [2, 2, 5, 4], None]
    assert car["areas"] == [20, 20, 20, None]
    np.testing.assert_array_equal(decode_rle(car["segmentations"][1]), videos[1][1].mask(1, 1))
    assert [one is None for one in content["annotations"][3]["segmentations"]] == [False, True, True, True]


def test_coco(videos: list[tuple[str, PaintedSession]], tmp_path: Path) -> None:
    write_coco_videos(videos, tmp_path / "all.json")
    content = json.loads((tmp_path / "all.json").read_text())
    images = {one["id"]: one for one in content["images"]}
    tracks = {one["id"]: one for one in content["tracks"]}
    assert len(images) == 7
    assert [one["file_name"] for one in content["images"]][2:4] == ["first/002.tif", "second/000.tif"]
    assert len(tracks) == 4
    for one in content["annotations"]:
        assert tracks[one["track_id"]]["category_id"] == one["category_id"]
    of_second = [one for one in content["annotations"] if images[one["image_id"]]["video_id"] == 2]
    assert [images[one["image_id"]]["frame_index"] for one in of_second] == [0, 0, 1, 2]


def test_a_folder_to_train_on(videos: list[tuple[str, PaintedSession]], tmp_path: Path) -> None:
    summary = write_training_videos(videos, tmp_path / "all")
    assert (summary.frames, summary.objects) == (7, 4)
    with find_dataset(tmp_path / "all") as found:
        assert sorted((video.name, len(video.visible)) for video in found.videos) == [
            ("first", 3),
            ("second", 4),
        ]


def test_nothing_to_write_leaves_nothing(tmp_path: Path) -> None:
    for steps in (
        write_youtube_vis.steps([], tmp_path / "a.json"),
        write_coco_videos.steps([], tmp_path / "b.json"),
        write_training_videos.steps([], tmp_path / "c"),
    ):
        with pytest.raises(InputError, match="nothing to export"):
            run_to_end(steps)
    assert not list(tmp_path.iterdir())
