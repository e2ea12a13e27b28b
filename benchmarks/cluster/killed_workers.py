"""Stacks tracked on two workers, and a session on one, killed in the middle; the same work here beside.

    python benchmarks/cluster/killed_workers.py --data FOLDER [--write FILE]

FOLDER has ``usiigaci_T98G/img`` and ``id_masks``, and ``pumavos_chair/JPEGImages`` and ``Annotations``. The
scheduler and its workers are processes on this machine, of one thread each. Type and kernel are fixed: else
each process takes what it measures to be fastest.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from dask_processes import Cluster, wait_until

from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

CLICKS = 20
HEAD = """# Work on a cluster

`python benchmarks/cluster/killed_workers.py --data FOLDER --write FILE`
"""
JOBS = """| six stacks (4 of 8 frames 512 x 512, 2 of 30 frames 720 x 480) | s | status | labels |
|---|---|---|---|"""
SESSIONS = """| a session, 30 frames of 720 x 480 | ms a click | s a frame | longest wait, s | labels |
|---|---|---|---|---|"""


def write_stacks(data: Path, folder: Path) -> list[str]:
    """Write four quadrants of the cells, and two halves of the video in gray; with their first masks."""
    (folder / "stacks").mkdir()
    (folder / "seeds").mkdir()
    cells = data / "usiigaci_T98G"
    images = np.stack([tifffile.imread(path) for path in sorted((cells / "img").glob("*.tif"))])
    first = np.asarray(Image.open(sorted((cells / "id_masks").glob("*.png"))[0]))
    for number, (row, column) in enumerate([(0, 0), (0, 512), (510, 0), (510, 512)]):
        part = (slice(row, row + 512), slice(column, column + 512))
        _write(folder, f"cells{number}", images[:, *part], first[part])
    chair = data / "pumavos_chair"
    video = np.stack(
        [np.asarray(Image.open(path).convert("L")) for path in sorted((chair / "JPEGImages").rglob("*.jpg"))]
    )
    masks = sorted((chair / "Annotations").rglob("*.png"))
    for number, start in enumerate((0, 30)):
        mask = np.asarray(Image.open(masks[start]))
        _write(folder, f"chair{number}", video[start : start + 30], (mask > 0).astype(np.uint8))
    return sorted(f"stacks/{path.name}" for path in (folder / "stacks").iterdir())


def _write(folder: Path, name: str, frames: np.ndarray, seed: np.ndarray) -> None:
    tifffile.imwrite(folder / f"stacks/{name}.tif", frames, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / f"seeds/{name}.tif", seed)


def track(folder: Path, stacks: list[str], output: str, *how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sam2_plugins", "track", *stacks, "--masks", "seeds", "-o", output, *how]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def jobs(cluster: Cluster, folder: Path, stacks: list[str]) -> Iterator[str]:
    """Yield rows: the stacks here, there, and there with a worker killed."""
    began = time.perf_counter()
    here = track(folder, stacks, "here", "--each")
    here.communicate()
    yield f"| `--each`, here, one thread | {time.perf_counter() - began:.0f} | {here.returncode} | |"
    for output, killed in (("there", False), ("killed", True)):
        for name in ("one", "two"):
            if name not in cluster.processes:
                cluster.start_worker(name)
        began = time.perf_counter()
        run = track(folder, stacks, output, "--scheduler", cluster.address)
        if killed:
            wait_until(lambda: len(list((folder / "killed").glob("[a-z]*.tif"))) == 2, 600)
            wait_until(lambda: len(cluster.busy) == 2, 600)
            cluster.kill("one")
        run.communicate()
        same = all(
            equal(folder / "here" / Path(one).name, folder / output / Path(one).name) for one in stacks
        )
        labels = (
            f"{'equal' if same else 'DIFFER'}, {len(list((folder / output).glob('.*')))} files left aside"
        )
        what = "two workers, one killed (SIGKILL) after two stacks" if killed else "two workers"
        yield f"| `--scheduler`, {what} | {time.perf_counter() - began:.0f} | {run.returncode} | {labels} |"


def equal(one: Path, other: Path) -> bool:
    return np.array_equal(tifffile.imread(one), tifffile.imread(other))


def sessions(cluster: Cluster, folder: Path) -> Iterator[str]:
    """Yield rows: clicks and tracking here and on a worker, which is killed in the middle at last."""
    stack = tifffile.imread(folder / "stacks/chair0.tif")  # as an array, it travels
    stores = {"cpu": ModelStore("cpu"), "tcp": ModelStore(cluster.address)}
    reference: list[np.ndarray] = []
    for what, store in (("here", "cpu"), ("there", "tcp"), ("there, killed at frame 15", "tcp")):
        killed = "killed" in what
        stores[store].load("nano")
        session = AnnotationSession(stack, stores[store], "nano")
        cell = session.add_object()
        session.add_mask(0, cell, tifffile.imread(folder / "seeds/chair0.tif") > 0)
        session.add_points(1, session.add_object(), (100, 100))
        clicks = []
        for click in range(CLICKS):
            began = time.perf_counter()
            session.add_points(1, 2, (100 + click, 100))
            clicks.append(time.perf_counter() - began)
        session.remove_object(2)
        longest, began = 0.0, time.perf_counter()
        last = began
        for result in session.iter_propagate():
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
            if killed and result.frame == 15:
                for name in ("one", "two"):
                    if name not in cluster.processes:
                        cluster.start_worker(name)
                cluster.kill(cluster.desk_worker())
                last = time.perf_counter()
        seconds = (time.perf_counter() - began) / len(session)
        labels = [session.label_image(frame) for frame in range(len(session))]
        reference = reference or labels
        same = all(np.array_equal(one, other) for one, other in zip(reference, labels))
        yield (
            f"| {what} | {1000 * np.median(clicks):.0f} | {seconds:.2f} | {longest:.1f} | "
            f"{'equal' if same else 'DIFFER'} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "SAM2_DTYPE": "float32", "SAM2_ATTENTION": "fused"}
    torch.set_num_threads(1)
    machine = f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"
    lines = [HEAD, f"{machine}, load {os.getloadavg()[0]:.1f} at the start; nano in float32.", ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stacks = write_stacks(options.data.resolve(), folder)
        cluster = Cluster(folder)
        try:
            for title, rows in ((JOBS, jobs(cluster, folder, stacks)), (SESSIONS, sessions(cluster, folder))):
                lines.append(title)
                for row in rows:
                    lines.append(row)
                    print(row, flush=True)
                lines.append("")
        finally:
            cluster.close()
    if options.write:
        options.write.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
