"""Whether fine-tuning fits 8 GB: the highest resident memory of ``sam2 train`` at full size, one table.

    python benchmarks/training_memory.py [--steps N] [--only ROW]

Every row is one run of the command in a process of its own, on the CPU with one thread (Linux), from
sam2.1_hiera_tiny with seeded random weights at 1024, on a rendered video of 10 frames and 4 objects. All
is counted: Python and torch, the weights, validation before and after. Prompts are never masks, so that
frames are corrected, which is the most that a step can take. A run is stopped above 13 GB. Writes
``benchmarks/results/training_memory.md``.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import scenes
import torch
from PIL import Image

from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.synthetic import render_scene
from sam2_engine.weights.loading import save_model

RESULTS = Path(__file__).parent / "results" / "training_memory.md"
VARIANT = "sam2.1_hiera_tiny"
STOP_ABOVE = 13e9

ROWS: dict[str, dict[str, object]] = {
    "clips": {"clip_share": 1.0},
    "clips, all of the model": {"clip_share": 1.0, "train_image_encoder": True},
    "images": {"clip_share": 0.0},
    "clips, no activation checkpointing": {"clip_share": 1.0, "checkpointing": False},
}
"""What differs from the defaults."""


def prepare(folder: Path) -> None:
    """Write random weights, and a video with its labels."""
    torch.manual_seed(0)
    save_model(Sam2(VARIANTS[VARIANT]), folder / "tiny.safetensors")
    scene = render_scene("textured_objects", 10, 512, seed=7)
    for kind, frames in (("images", scene.frames), ("labels", scene.labels)):
        (folder / "video" / kind).mkdir(parents=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / "video" / kind / f"{number:03}.png")


def configure(folder: Path, number: int, settings: Mapping[str, object], steps: int) -> Path:
    """Write the settings of a run."""
    run = {
        "from": str(folder / "tiny.safetensors"),
        "data": str(folder / "video"),
        "run": str(folder / f"run{number}"),
        "device": "cpu",
        "steps": steps,
        "batch_size": 1,
        **settings,
    }
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for name, value in run.items()
    ]
    path = folder / f"run{number}.toml"
    path.write_text("\n".join([*lines, "", "[prompts]", "mask = 0.0", ""]))
    return path


def peak_of(config: Path) -> tuple[int, float, bool]:
    """Run ``sam2 train``; return its highest resident bytes, processor seconds, and whether it finished."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen([sys.executable, "-m", "sam2_plugins", "train", str(config)], env=environment)
    status, peak, stopped = Path(f"/proc/{process.pid}/status"), 0, False
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        peak = max(peak, int(lines.get("VmHWM", "0").split()[0]) * 1024)
        if peak > STOP_ABOVE and not stopped:
            process.kill()
            stopped = True
        time.sleep(0.2)
    _, code, used = ended
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode and not stopped:
        raise RuntimeError(f"sam2 train {config.name} ended with {process.returncode}")
    return max(peak, used.ru_maxrss * 1024), used.ru_utime + used.ru_stime, not stopped


def page(command: str, rows: list[str]) -> str:
    return "\n".join(
        [
            "# Memory of fine-tuning",
            "",
            f"`{command}`, {scenes.provenance()}, float32, torch {torch.__version__.split('+')[0]}",
            "",
            "| tiny at 1024 trains on | settings other than the defaults | peak, GB | processor time, s |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", choices=sorted(ROWS), help="one row, printed and not written")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    command = f"python benchmarks/training_memory.py --steps {arguments.steps}"
    rows: list[str] = []
    with TemporaryDirectory() as folder:
        prepare(Path(folder))
        for number, (name, settings) in enumerate(ROWS.items()):
            if arguments.only in (None, name):
                peak, seconds, finished = peak_of(configure(Path(folder), number, settings, arguments.steps))
                peak_text = f"{peak / 1e9:.1f}" if finished else f"stopped above {STOP_ABOVE / 1e9:.0f}"
                rows.append(f"| {name} | `{settings}` | {peak_text} | {seconds:.0f} |")
                print(rows[-1], flush=True)
                if arguments.only is None:
                    arguments.output.write_text(page(command, rows))


if __name__ == "__main__":
    main()
