"""Masklets found by workers of a cluster: shared with another run, and gone on with when a worker dies."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from dask_processes import Cluster, wait_until
from filelock import FileLock
from numpy.typing import NDArray

from sam2_plugins.cli.app import main
from sam2_plugins.masklets.dataset import MaskletDataset

SMALL = ["--model", "nano@256", "--points-per-side", "4", "--crop-layers", "0", "--min-stability", "0.5"]


@pytest.fixture
def videos(tmp_path: Path, discs: NDArray[np.uint8]) -> Path:
    """Two stacks of discs that move."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("one", "two"):
        tifffile.imwrite(
            folder / f"{name}.tif", discs[:4], metadata={"axes": "TYX"}, photometric="minisblack"
        )
    return folder


def test_workers_pass_over_what_another_run_does(
    tmp_path: Path, videos: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = MaskletDataset.create(tmp_path / "dataset")
    command = ["masklets", str(videos), "-o", str(dataset.path), *SMALL, "--key-frames", "1"]
    with FileLock(dataset.path / ".locks" / "one.lock"):
        assert main([*command, "--scheduler", cluster.address]) == 0
    said = capsys.readouterr()
    assert "one is being worked on by another run" in said.err
    assert "1 of 2 files done, 1 left to another run, 0 failed." in said.err
    assert dataset.videos() == ["two"]
    assert main([*command, "--scheduler", cluster.address]) == 0
    assert "done before" in capsys.readouterr().out
    assert dataset.found("one")["masklet"] == dataset.found("two")["masklet"]


@pytest.mark.slow
def test_another_worker_goes_on_where_one_died(
    tmp_path: Path, videos: Path, cluster: Cluster, discs: NDArray[np.uint8]
) -> None:
    long = np.concatenate([discs, discs[::-1]] * 4)
    video = videos / "long.tif"
    tifffile.imwrite(video, long, metadata={"axes": "TYX"}, photometric="minisblack")
    given = [sys.executable, "-m", "sam2_plugins", "masklets", str(video), *SMALL, "--key-frames", "2"]
    progress = tmp_path / "dataset" / "found" / "long.unfinished"
    command = [*given, "-o", str(tmp_path / "dataset"), "--scheduler", cluster.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        wait_until(
            lambda: (
                progress.exists()
                and '"tracked": [' in (text := progress.read_text())
                and '"tracked": []' not in text
            )
        )
        cluster.kill(cluster.busy[0])
        out, said = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert "goes on after 1 of 2 key frames" in out
    assert main([*given[3:], "-o", str(tmp_path / "here")]) == 0
    found = [MaskletDataset.open(tmp_path / name).found("long") for name in ("dataset", "here")]
    assert found[0]["masklet"] == found[1]["masklet"]
