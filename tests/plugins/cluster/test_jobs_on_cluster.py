"""Files worked on by workers of a cluster: the same results as here, whatever dies meanwhile."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from dask_processes import Cluster, wait_until
from numpy.typing import NDArray

from sam2_plugins.cli.app import main
from sam2_plugins.cluster import connection
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder

NAMES = ("first", "second", "third")


@pytest.fixture
def stacks(
    tmp_path: Path, discs: NDArray[np.uint8], disc_mask: NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Three stacks that differ, and a label image for each."""
    monkeypatch.chdir(tmp_path)
    Path("stacks").mkdir()
    Path("seeds").mkdir()
    for shift, name in enumerate(NAMES):
        write_stack(Path("stacks") / f"{name}.tif", np.roll(discs, 3 * shift, axis=1))
        tifffile.imwrite(
            Path("seeds") / f"{name}.tif", np.roll(disc_mask, 3 * shift, axis=0).astype(np.uint8)
        )
    return [f"stacks/{name}.tif" for name in NAMES]


def write_stack(path: Path, frames: NDArray[np.uint8]) -> None:
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})


def test_stacks_are_tracked_there_as_here(
    stacks: list[str], cluster: Cluster, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["track", *stacks, "--masks", "seeds", "--model", str(small_checkpoint)]
    assert main([*given, "-o", "here", "--csv", "here", "--each"]) == 0
    capsys.readouterr()
    assert main([*given, "-o", "there", "--csv", "there", "--scheduler", cluster.address]) == 0
    said = capsys.readouterr()
    assert "3 of 3 files done, 0 failed." in said.err
    assert said.out.count("8 of 8 frames, 1 object") == 3
    for name in NAMES:
        labels = tifffile.imread(f"there/{name}.tif")
        assert labels[-1].any()
        np.testing.assert_array_equal(labels, tifffile.imread(f"here/{name}.tif"))
        assert Path(f"there/{name}.csv").read_bytes() == Path(f"here/{name}.csv").read_bytes()
    assert set(cluster.client.run(torch.get_num_threads).values()) == {1}, "those of the workers"


def test_what_cannot_be_used_is_named_and_the_rest_is_done(
    stacks: list[str], cluster: Cluster, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("stacks/second.tif").write_bytes(b"no image at all")
    Path("stacks/third.tif").unlink()
    given = ["track", *stacks, "--masks", "seeds", "--model", str(small_checkpoint), "-o", "labels"]
    assert main([*given, "--scheduler", cluster.address]) == 1
    said = capsys.readouterr().err
    table = said[said.index("1 of 3 files done, 2 failed.") :]
    assert "stacks/second.tif" in table
    assert "second.tif is not a readable TIFF file" in table
    assert "is not there for the worker" in table
    assert [path.name for path in Path("labels").iterdir()] == ["first.tif"]
    assert main([*given, "--each"]) == 1
    assert "second.tif" in capsys.readouterr().err


def test_images_are_segmented_and_sessions_exported_there(
    stacks: list[str],
    cluster: Cluster,
    store: ModelStore,
    small_checkpoint: Path,
    discs: NDArray[np.uint8],
    disc_mask: NDArray[np.bool_],
) -> None:
    for name in ("a", "b"):
        tifffile.imwrite(f"{name}.tif", discs[0])
    images = [
        "auto",
        "a.tif",
        "b.tif",
        "--points-per-side",
        "2",
        "--confidence",
        "0",
        "--model",
        str(small_checkpoint),
    ]
    assert main([*images, "-o", "here", "--each"]) == 0
    assert main([*images, "-o", "there", "--scheduler", cluster.address]) == 0
    assert tifffile.imread("here/b.tif").any()
    np.testing.assert_array_equal(tifffile.imread("here/b.tif"), tifffile.imread("there/b.tif"))

    session = AnnotationSession("a.tif", store, small_checkpoint)
    folder = SessionFolder.create("cells.sam2", session, source="a.tif")
    session.add_mask(0, session.add_object(), disc_mask)
    folder.close()
    session.frames.close()
    export = ["export", "cells.sam2", "--format", "csv", "--scheduler", cluster.address, "-o", "exported"]
    assert main(export) == 0
    assert main(export) == 2, "an earlier export is not replaced unasked, there as here"
    assert main([*export, "--overwrite"]) == 0


def test_sessions_are_made_and_gone_on_with_there(
    stacks: list[str],
    cluster: Cluster,
    small_checkpoint: Path,
    disc_mask: NDArray[np.bool_],
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["track", *stacks[:2], "--masks", "seeds", "--session", "work"]
    there = ["--scheduler", cluster.address]
    assert main([*given, "--stop", "4", "--model", str(small_checkpoint), *there]) == 0
    capsys.readouterr()
    assert main([*given, "-o", "labels", *there]) == 0
    assert capsys.readouterr().out.count("3 of 3 frames, 1 object") == 2
    labels = tifffile.imread("labels/first.tif")
    np.testing.assert_array_equal(labels[0] > 0, disc_mask)
    assert labels.any(axis=(1, 2)).all()


def long_run(cluster: Cluster, small_checkpoint: Path, discs: NDArray[np.uint8]) -> list[str]:
    """Return the arguments of a command that tracks for some seconds."""
    for name in NAMES:
        write_stack(Path("stacks") / f"{name}.tif", np.concatenate([discs, discs[::-1]] * 12))
    files = [f"stacks/{name}.tif" for name in NAMES]
    given = ["track", *files, "--masks", "seeds", "--model", str(small_checkpoint), "-o", "labels"]
    return [sys.executable, "-m", "sam2_plugins", *given, "--scheduler", cluster.address]


def half_written() -> list[Path]:
    return list(Path("labels").glob(".*")) if Path("labels").is_dir() else []


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(
    stacks: list[str], cluster: Cluster, small_checkpoint: Path, discs: NDArray[np.uint8]
) -> None:
    command = long_run(cluster, small_checkpoint, discs)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        wait_until(lambda: len(half_written()) == 2)
        assert len(cluster.busy) == 2
        cluster.kill("one")
        _, said = run.communicate(timeout=200)
    assert run.returncode == 0, said
    assert not half_written()
    assert main([*command[3:-2], "-o", "here", "--each"]) == 0
    for name in NAMES:
        there, here = tifffile.imread(f"labels/{name}.tif"), tifffile.imread(f"here/{name}.tif")
        np.testing.assert_array_equal(there, here)


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written_and_the_workers_free(
    stacks: list[str], cluster: Cluster, small_checkpoint: Path, discs: NDArray[np.uint8]
) -> None:
    command = long_run(cluster, small_checkpoint, discs)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        wait_until(half_written)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=100)
    assert run.returncode == 130, said
    assert "of 3 files done" in said
    assert not half_written()
    wait_until(lambda: not cluster.busy)


def test_a_scheduler_that_is_not_there_is_said(
    stacks: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    given = ["track", *stacks, "--masks", "seeds", "-o", "labels", "--scheduler"]
    assert main([*given, "tcp://127.0.0.1:9"]) == 2
    assert capsys.readouterr().err.startswith("sam2: No dask scheduler answers at tcp://127.0.0.1:9; start")
    assert main([*given, "nonsense://"]) == 2
    assert "it is like tcp://host:8786" in capsys.readouterr().err


def test_what_to_install_is_said(
    stacks: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert (
        main(["track", *stacks, "--masks", "seeds", "-o", "labels", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    )
    assert 'pip install "sam2-plugins[cluster]"' in capsys.readouterr().err


def test_workers_of_another_version_are_refused(
    stacks: list[str], cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["track", *stacks, "--masks", "seeds", "-o", "labels", "--scheduler", cluster.address]
    monkeypatch.setattr(connection, "version", lambda _: "9.9")
    assert main(given) == 2
    assert "this program 9.9; install the same version" in capsys.readouterr().err


def test_several_files_are_meant_to_be_several(stacks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", *stacks, "--masks", "seeds", "-o", "labels"]) == 2
    assert "with --each every one is worked on by itself" in capsys.readouterr().err
    assert main(["track", *stacks, "--masks", "seeds", "-o", "labels.tif", "--each"]) == 2
    assert "would be written for 3 files" in capsys.readouterr().err
    assert main(["auto", "a/cells.tif", "b/cells.png", "-o", "labels", "--each"]) == 2
    assert "would have the same output" in capsys.readouterr().err
