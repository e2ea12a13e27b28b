"""The installed command ``sam2`` in a process of its own: a terminal, Ctrl-C, a full disk."""

import csv
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_engine.weights.locations import find

pytestmark = pytest.mark.e2e

SAM2 = str(Path(sys.executable).parent / "sam2")
SHAPE = (300, 60, 80)
WAIT = 240
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path):
    """Frames, and masks of frame 0, in an otherwise empty folder."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    frames = np.random.default_rng(0).integers(20, 60, SHAPE).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 20 - t // 8) ** 2 + (y - 30) ** 2 < 100] = 220
    tifffile.imwrite(tmp_path / "frames.tif", frames, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "masks.tif", ((x - 20) ** 2 + (y - 30) ** 2 < 100).astype(np.uint8))
    return tmp_path


def sam2(folder: Path, *arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SAM2, *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
        **options,
    )


def track(small_checkpoint: Path, *more: object) -> tuple[object, ...]:
    return (
        "track",
        "frames.tif",
        "--masks",
        "masks.tif",
        "--model",
        small_checkpoint,
        "-o",
        "labels.tif",
        *more,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_track_and_nothing_but_its_output(folder, small_checkpoint):
    done = sam2(folder, *track(small_checkpoint, "--stop", "5"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 of 6 frames, 1 object" in done.stdout
    assert names(folder) == {"frames.tif", "masks.tif", "labels.tif"}
    labels = tifffile.imread(folder / "labels.tif")
    assert labels.shape == SHAPE
    np.testing.assert_array_equal(labels[0], tifffile.imread(folder / "masks.tif"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_keeps_the_finished_frames(folder, small_checkpoint, number):
    terminal, side = os.openpty()
    process = subprocess.Popen(
        [SAM2, *map(str, track(small_checkpoint, "--csv", "table.csv"))],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=side,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"},
        text=True,
    )
    os.close(side)
    shown = ""
    stopped = False
    try:
        while True:
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # the process closed its end
                break
            if not stopped and re.search(r"\d+ of 300 frames, [\d.]+ frames/s, .* left", shown):
                process.send_signal(number)
                stopped = True
        output, _ = process.communicate(timeout=WAIT)
    finally:
        process.kill()
        os.close(terminal)
    assert stopped, shown
    assert process.returncode == 128 + number
    assert ("Stopping after this frame" in shown) == (number == signal.SIGINT)  # the terminal may be closed
    assert "Traceback" not in shown
    finished = int(re.search(r"(\d+) of 300 frames", output)[1])
    assert 0 < finished < 300
    assert names(folder) == {"frames.tif", "masks.tif", "labels.tif", "table.csv"}
    labels = tifffile.imread(folder / "labels.tif")
    assert labels.shape == SHAPE
    assert not labels[finished:].any()
    with (folder / "table.csv").open(newline="", encoding="utf-8-sig") as file:
        areas = {int(row["frame"]): int(row["area (pixel²)"]) for row in csv.DictReader(file)}
    assert areas == {frame: np.count_nonzero(labels[frame]) for frame in range(finished)}


def test_a_full_disk_is_one_sentence_and_leaves_nothing(folder, small_checkpoint):
    before = names(folder)
    limit = 30_000  # bytes that a file may have; the pages of the label stack need more, empty as they are
    done = sam2(
        folder,
        *track(small_checkpoint),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2
    assert done.stderr == "sam2: labels.tif: File too large; make space there.\n"
    assert names(folder) == before


def test_a_folder_that_cannot_be_written_to(folder, small_checkpoint):
    arguments = [*track(small_checkpoint)]
    arguments[-1] = "/proc/labels.tif"
    done = sam2(folder, *arguments)
    assert done.returncode == 2
    assert re.fullmatch(r"sam2: /proc: .*\n", done.stderr)


def test_a_missing_file(folder, small_checkpoint):
    before = names(folder)
    done = sam2(
        folder, "segment", "none.png", "--point", "3,3", "-o", "labels.tif", "--model", small_checkpoint
    )
    assert done.returncode == 2
    assert re.fullmatch(r"sam2: none\.png cannot be opened .*\n", done.stderr)
    assert names(folder) == before


@pytest.mark.skipif(find("nano") is None, reason="nano's weights are not in this installation")
def test_the_demo_works_on_real_and_synthetic_pictures(tmp_path):
    done = sam2(tmp_path, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    coins = tifffile.imread(tmp_path / "demo-output" / "coins_labels.tif")
    assert len(np.unique(coins)) - 1 >= 22
    tracked, copied = map(float, re.search(r"frames 1 to 23: ([\d.]+) .*: ([\d.]+)\)", done.stdout).groups())
    assert tracked > copied + 0.05
    named = {tmp_path / line.strip() for line in done.stdout.splitlines() if "demo-output/" in line}
    assert named == set((tmp_path / "demo-output").iterdir())
