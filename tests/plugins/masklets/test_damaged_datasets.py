"""Data sets of which something is gone or damaged: no number is counted from them, and nothing is `done`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from masklet_data import Maker

from sam2_engine.errors import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.report import report_on
from sam2_plugins.session.automatic_segmentation import shows_nothing

SMALL = ["--model", "nano@64", "--points-per-side", "4", "--crop-layers", "0", "--key-frames", "1"]


def _make_again(dataset: MaskletDataset, *options: str) -> int:
    return main(
        ["masklets", "make", str(dataset.path.parent / "a.tif"), "-o", str(dataset.path), *SMALL, *options]
    )


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(found: Path) -> None:
        content = json.loads(found.read_text())
        change(content)
        found.write_text(json.dumps(content))

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        _edited(lambda content: content["masklet"].pop()),
        _edited(lambda content: content["masklet"][1].pop()),
        _edited(lambda content: content["masklet_quality"].pop()),
        _edited(lambda content: content.pop("masklet_stability_score")),
        _edited(lambda content: content["masklet"][2][0].update(counts="zzzz")),
        _edited(lambda content: content["masklet"][2][0].update(size=None)),
        _edited(lambda content: content["masklet"].__setitem__(0, 5)),
        lambda found: found.write_text("[]"),
        lambda found: found.write_bytes(found.read_bytes()[:-9]),
    ],
)
def test_a_damaged_file_of_masks_is_told(
    damage: Callable[[Path], object], made: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = made({"a": 2})
    damage(dataset.path / "found" / "a.json")
    assert main(["masklets", "report", str(dataset.path)]) == 2
    assert "a.json is damaged" in capsys.readouterr().err


def test_a_damaged_file_of_masks_is_found_again(made: Maker) -> None:
    dataset = made({"a": 2})
    found = dataset.path / "found" / "a.json"
    found.write_text("[]")
    assert _make_again(dataset, "--again") == 0
    assert report_on(MaskletDataset.open(dataset.path)).videos == 1


def test_a_video_or_a_session_that_is_gone_is_not_done(
    made: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = made({"a": 1})
    assert _make_again(dataset) == 0
    assert "done before" in capsys.readouterr().out
    shutil.rmtree(dataset.session("a"))
    assert _make_again(dataset) == 2
    assert "a.sam2 is gone, in which masklets were found: put it back, or search the video --again." in (
        capsys.readouterr().err
    )
    (dataset.path / "a.tif").unlink()
    for options in ((), ("--again",)):
        assert _make_again(dataset, *options) == 2
        assert "a.tif is gone, whose masklets were found: put it back" in capsys.readouterr().err


def test_a_summary_that_is_gone_is_read_from_all_masklets(made: Maker) -> None:
    dataset = made({"a": 2})
    known = dataset.summary("a")
    (dataset.path / "found" / "a.summary").unlink()
    assert MaskletDataset.open(dataset.path).summary("a") == known


def test_a_data_set_without_its_folder_of_masklets_has_not_0_videos(made: Maker) -> None:
    dataset = made({"a": 1})
    (dataset.path / "found").rename(dataset.path.parent / "elsewhere")
    for make in (dataset.path.exists, (dataset.path / "found").touch):
        make()
        with pytest.raises(
            InputError, match="lacks its folder found: put it back, or copy the whole data set"
        ):
            MaskletDataset.open(dataset.path)


def test_a_frame_of_one_pixel_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shows_nothing(np.zeros((0, 4), np.uint8))
    tifffile.imwrite(
        tmp_path / "dot.tif", np.arange(2, dtype=np.uint8)[:, None, None], metadata={"axes": "TYX"}
    )
    command = ["masklets", "make", str(tmp_path / "dot.tif"), "-o", str(tmp_path / "set"), *SMALL[:-4]]
    assert main([*command, "--crop-layers", "2", "--key-frames", "1"]) == 0
    assert "dot.tif: 0 masklets" in capsys.readouterr().out
