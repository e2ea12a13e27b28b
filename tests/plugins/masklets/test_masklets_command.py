"""``sam2 masklets``: a data set made from videos, gone on with, searched again, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from filelock import FileLock
from masklet_data import Maker

from sam2_engine.errors import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.masklets import finding, seeds
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.masklets.search_progress import SearchProgress
from sam2_plugins.runtime.model_store import ModelStore

SMALL = ["--model", "nano@256", "--points-per-side", "4", "--crop-layers", "0", "--key-frames", "1"]
SMALL += ["--min-stability", "0.5"]


def sam2(*arguments: object) -> int:
    """Run a command, and return its exit status."""
    return main([str(argument) for argument in arguments])


def test_a_data_set_is_made_of_what_can_be_read(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    video.rename(videos / "discs.tif")
    (videos / "bad.mp4").write_bytes(b"no video")
    (videos / "notes.txt").write_text("notes")
    assert sam2("masklets", videos, "-o", tmp_path / "dataset", *SMALL) == 1
    said = capsys.readouterr()
    assert "discs.tif: 2 masklets, quality" in said.out
    assert "1 of 2 files done, 1 failed." in said.err
    assert "bad.mp4" in said.err
    assert "notes" not in said.err
    dataset = MaskletDataset.open(tmp_path / "dataset")
    assert dataset.videos() == ["discs"]
    content = json.loads(dataset.annotations("discs", "auto").read_text())
    assert content["masklet_num"] == 2
    assert len(content["masklet"]) == content["video_frame_count"] == 4
    assert content["masklet_frame_count"] == [4, 4]
    assert all(0 < one <= 1 for one in content["masklet_quality"])
    assert sorted(content) == sorted({*content, "video_id", "masklet_size_rel", "masklet_type"})

    assert sam2("masklets", "make", videos / "discs.tif", "-o", tmp_path / "dataset", *SMALL) == 0
    assert "done before" in capsys.readouterr().out


def test_what_people_decided_on_stays_when_a_video_is_searched_again(
    tmp_path: Path, video: Path, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL)
    dataset = MaskletDataset.open(tmp_path / "dataset")
    with VerificationQueue(dataset, store, "ada") as queue:
        kept = queue.next()
        assert kept is not None
        queue.accept()
        refused = queue.next()
        assert refused is not None
        queue.reject()
    before = dataset.verified("discs")
    assert sam2("masklets", video, "-o", tmp_path / "dataset", "--again", *SMALL) == 0
    assert "0 masklets; 2 decided on before stay" in capsys.readouterr().out
    assert dataset.verified("discs") == before
    assert dataset.statuses("discs") == {kept.masklet: Status.ACCEPTED, refused.masklet: Status.REJECTED}


def test_two_engines_share_the_videos(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tif"
    shutil.copy(video, other)
    dataset = MaskletDataset.create(tmp_path / "dataset")
    with FileLock(dataset.path / ".locks" / "discs.lock"):
        assert sam2("masklets", video, other, "-o", dataset.path, *SMALL) == 0
    said = capsys.readouterr().err
    assert "is being worked on by another run" in said
    assert "1 of 2 files done, 1 left to another run, 0 failed." in said
    assert dataset.videos() == ["other"]


def test_two_engines_that_begin_at_once_make_one_data_set(tmp_path: Path) -> None:
    (tmp_path / "dataset" / "found").mkdir(parents=True)  # as far as the other one is
    assert MaskletDataset.create(tmp_path / "dataset").videos() == []
    (tmp_path / "other" / "found").mkdir(parents=True)
    (tmp_path / "other" / "found" / "mine.txt").write_text("notes")
    with pytest.raises(InputError, match="no data set of masklets, and not empty"):
        MaskletDataset.create(tmp_path / "other")


def test_a_search_that_was_broken_off_goes_on_within_the_video(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = []

    def find_seeds(store: ModelStore, model: str, image: object, *given: object) -> object:
        frames.append(image)
        if len(frames) == 2:
            raise RuntimeError("as if it were killed")
        return seeds.find_seeds(store, model, image, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(finding, "find_seeds", find_seeds)
    two = [*SMALL, "--key-frames", "2"]
    assert sam2("masklets", video, "-o", tmp_path / "dataset", *two) == 2
    dataset = MaskletDataset.open(tmp_path / "dataset")
    assert dataset.videos() == []
    assert dataset.unfinished() == ["discs"]
    assert sam2("masklets", video, "-o", dataset.path, *two) == 0
    assert len(frames) == 3
    assert "goes on after 1 of 2 key frames" in capsys.readouterr().out
    assert dataset.unfinished() == []
    assert len(dataset.found("discs")["masklet_id"]) == 2


def test_another_search_does_not_go_on_with_what_was_broken_off(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = MaskletDataset.create(tmp_path / "dataset")
    SearchProgress(dataset.path / "found" / "discs.unfinished", {"points": 8}, tracked=[0]).save()
    assert sam2("masklets", video, "-o", dataset.path, *SMALL) == 0
    assert "goes on" not in capsys.readouterr().out
    assert len(dataset.found("discs")["masklet_id"]) == 2


def test_a_first_search_that_was_broken_off_may_be_read_in_another_way(
    tmp_path: Path, video: Path, store: ModelStore
) -> None:
    sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL, "--axes", "ZYX")
    dataset = MaskletDataset.open(tmp_path / "dataset")
    (dataset.path / "found" / "discs.json").unlink()
    assert sam2("masklets", video, "-o", dataset.path, *SMALL, "--axes", "TYX") == 0
    assert dataset.summary("discs").opening["axes"] == "TYX"
    with dataset.opened("discs", store) as (session, _):
        (one, _) = session.objects
        session.verify(one, session.frames_of(one))
    (dataset.path / "found" / "discs.json").unlink()
    assert sam2("masklets", video, "-o", dataset.path, *SMALL, "--axes", "ZYX") == 2
    with dataset.opened("discs", store) as (session, _):
        assert session.verified(one)


def test_masklets_whose_session_is_gone_are_not_mixed_up_with_new_ones(
    tmp_path: Path, video: Path, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL)
    dataset = MaskletDataset.open(tmp_path / "dataset")
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
    shutil.rmtree(dataset.session("discs"))
    assert sam2("masklets", video, "-o", dataset.path, "--again", *SMALL) == 2
    assert "is gone, but people decided on its masklets" in capsys.readouterr().err
    assert dataset.verified("discs") is not None


def test_a_video_that_is_being_verified_is_not_searched_again(
    tmp_path: Path, video: Path, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL)
    dataset = MaskletDataset.open(tmp_path / "dataset")
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        assert sam2("masklets", video, "-o", dataset.path, "--again", *SMALL) == 2
        assert "open in another window or process" in capsys.readouterr().err
        assert dataset.videos() == ["discs"]


def test_a_killed_run_is_done_again(tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL)
    dataset = MaskletDataset.open(tmp_path / "dataset")
    (dataset.path / "found" / "discs.json").unlink()  # killed after the session was made
    assert dataset.videos() == []
    assert sam2("masklets", video, "-o", dataset.path, *SMALL) == 0
    assert len(dataset.found("discs")["masklet_id"]) == 2
    (dataset.path / "found" / "discs.unfinished").touch()  # killed while it was searched again
    assert dataset.videos() == []
    assert sam2("masklets", video, "-o", dataset.path, *SMALL) == 0
    assert dataset.videos() == ["discs"]


@pytest.mark.parametrize("frames", [1, 3])
def test_a_video_without_objects_and_one_of_one_frame(
    tmp_path: Path, frames: int, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "empty.tif"
    pixels = np.full((frames, 60, 80), 50, np.uint8)
    tifffile.imwrite(video, pixels, metadata={"axes": "TYX"}, photometric="minisblack")
    assert sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL) == 0
    said = capsys.readouterr()
    assert "0 masklets" in said.out
    assert "Nothing was found" in said.err


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: root.mkdir(), "has no videos"),
        (lambda root: None, "There is no video or folder"),
    ],
)
def test_no_video_is_a_sentence(
    tmp_path: Path, make: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    make(tmp_path / "videos")
    assert sam2("masklets", tmp_path / "videos", "-o", tmp_path / "dataset") == 2
    assert said in capsys.readouterr().err


def test_a_folder_of_something_else_is_no_data_set(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    assert sam2("masklets", video, "-o", tmp_path / "photos", *SMALL) == 2
    assert "is no data set of masklets, and not empty" in capsys.readouterr().err
    assert [one.name for one in (tmp_path / "photos").iterdir()] == ["holiday.jpg"]


def test_two_videos_of_one_name_are_kept_apart(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sam2("masklets", video, "-o", tmp_path / "dataset", *SMALL)
    other = tmp_path / "other" / "discs.tif"
    other.parent.mkdir()
    pixels = np.zeros((4, 60, 80), np.uint8)  # a file of the same size
    tifffile.imwrite(other, pixels, metadata={"axes": "TYX"}, photometric="minisblack")
    assert other.stat().st_size == video.stat().st_size
    for more in ([], ["--again"]):
        assert sam2("masklets", other, "-o", tmp_path / "dataset", *more, *SMALL) == 2
        assert "another video of the same name" in capsys.readouterr().err


def test_a_video_that_is_written_again_does_not_change_the_data_set(
    tmp_path: Path, video: Path, store: ModelStore
) -> None:
    dataset = MaskletDataset.create(tmp_path / "dataset")
    taken, before = dataset.take_video(video), tifffile.imread(video)
    with video.open("r+b") as file:  # as programs do that save into the file that is there
        file.seek(-1000, 2)
        file.write(bytes(1000))
    assert np.array_equal(tifffile.imread(taken), before)


def test_another_video_of_the_name_or_read_otherwise_is_refused(
    tmp_path: Path, video: Path, made: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = made({"day1": 1})
    other = tmp_path / "day1.tiff"
    shutil.copy(video, other)
    for again in ([], ["--again"]):
        assert sam2("masklets", other, "-o", dataset.path, *SMALL, *again) == 2
        assert "has another video called day1: day1.tif" in capsys.readouterr().err
    day1 = tmp_path / "day1.tif"
    assert sam2("masklets", day1, "-o", dataset.path, *SMALL) == 0
    assert sam2("masklets", day1, "-o", dataset.path, *SMALL, "--axes", "ZYX") == 2
    assert "read in another way" in capsys.readouterr().err
    assert sam2("masklets", day1, "-o", dataset.path, *SMALL, "--contrast", "10,90") == 2
    assert "seen with other gray levels" in capsys.readouterr().err


def test_a_model_that_is_not_there_gives_nothing_up(
    tmp_path: Path, made: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = made({"day1": 2})
    assert (
        sam2("masklets", tmp_path / "day1.tif", "-o", dataset.path, *SMALL[2:], "--again", "--model", "no")
        == 2
    )
    assert "There is no model 'no'" in capsys.readouterr().err
    assert dataset.videos() == ["day1"]
    assert dataset.statuses("day1") == {1: Status.OPEN, 2: Status.OPEN}
    (dataset.path / "found" / "day1.unfinished").touch()
    assert sam2("masklets", "report", dataset.path) == 0
    assert "day1 is not counted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--video", "day9"], "has no video 'day9'; it has day1."),
        (["--video", "../dataset/day1"], "has no video '../dataset/day1'"),
        (["--seconds", "inf"], "for a number of seconds, not for inf"),
        (["--seconds", "nan"], "seconds"),
        (["--by", "Ada"], "'ada' decided in this data set before"),
    ],
)
def test_verdicts_that_cannot_be_are_refused(
    options: list[str], sentence: str, made: Maker, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = made({"day1": 2})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.reject()
    lines = dataset.decisions.path.read_text()
    usual = ["--video", "day1", "--masklet", "1", "--by", "ada", "--accept"]
    assert sam2("masklets", "verdict", dataset.path, *usual, *options) == 2
    assert sentence in capsys.readouterr().err
    assert dataset.decisions.path.read_text() == lines
