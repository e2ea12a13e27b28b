"""Memory of tracking, and the cost of many prompted frames: two tables.

    python benchmarks/memory.py [--peer-python PYTHON] [--frames N] [--peer-frames N] [--peer-size 256]

Every measurement runs in a process of its own (Linux). With ``--peer-python``, the interpreter of a
virtual environment that has the official package (see ``official_package.py``), its curve stands beside
ours: the same weights, size, frames and clicks. Writes ``benchmarks/results/memory.md``.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import scenes
import torch

RESULTS = Path(__file__).parent / "results" / "memory.md"
OBJECTS = 10
PEER_VARIANT = "sam2.1_hiera_tiny"
ALLOWED_GROWTH, ALLOWED_PEAK = 20, 300
TRACKED_AFTER_PROMPTS = 24


def drawn_frames(length: int) -> object:
    """Return a lazy source: frame i is drawn on demand."""
    import numpy as np

    from sam2_engine import FrameSource

    class DrawnFrames(FrameSource):
        def _read(self, frame: int) -> np.ndarray:
            return scenes.draw(frame)

    shape, kind = (scenes.HEIGHT, scenes.WIDTH), np.dtype(np.uint8)
    return DrawnFrames("drawn", shape=shape, channels=3, dtype=kind, length=length, axes="TYXS", is_rgb=True)


def track(model_name: str, length: int) -> dict:
    """Resident memory, in MiB, while objects are tracked through ``length`` frames.

    ``model_name`` may go on with the side of the input and the number of objects, as in ``nano@512:100``.
    """
    from sam2_engine import VideoSession
    from sam2_engine.modeling.precision import choose_dtype

    model_name, _, objects = model_name.partition(":")
    name, _, side = model_name.partition("@")
    model = our_model(name, int(side or 0))
    model.compute_dtype = choose_dtype("auto", model.device)
    scenes.release_freed()
    base = scenes.resident()[0]
    session = VideoSession(model, drawn_frames(length))
    for number in range(int(objects or OBJECTS)):
        session.add_points(0, number + 1, scenes.center(0, number))
    curve = {
        result.frame: scenes.resident()[0] for result in session.propagate() if result.masks.any() or True
    }
    return {"base": base, "curve": curve, "peak": scenes.resident()[1]}


def our_model(name: str, image_size: int) -> object:
    """Return nano, or an official variant with the weights of the peer."""
    from sam2_engine import VARIANTS, load_model
    from sam2_engine.modeling.sam2 import Sam2

    if name == "nano":
        return load_model("nano", device="cpu", image_size=image_size or None)
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "engine" / "parity"))
    from seeded_weights import draw_weights

    model = Sam2(VARIANTS[name].with_image_size(image_size))
    model.load_state_dict(draw_weights({key: tensor.shape for key, tensor in model.state_dict().items()}))
    return model.eval().requires_grad_(False)


def official(name: str, length: int) -> dict:
    """The same in the official package."""
    import official_package

    variant, _, side = name.partition("@")
    _, predictor = official_package.build(variant, int(side))
    scenes.release_freed()
    base = scenes.resident()[0]
    with torch.inference_mode():
        state = official_package.open_video(predictor, (scenes.draw(frame) for frame in range(length)))
        for number in range(OBJECTS):
            click = torch.tensor([scenes.center(0, number)])
            predictor.add_new_points_or_box(state, 0, number + 1, points=click, labels=torch.tensor([1]))
        curve = {frame: scenes.resident()[0] for frame, _, _ in predictor.propagate_in_video(state)}
    return {"base": base, "curve": curve, "peak": scenes.resident()[1]}


def prompted(limit: str, count: int) -> dict:
    """Seconds per frame, and MiB, to track one object on after it was clicked on ``count`` frames."""
    from sam2_engine import VideoSession, load_model

    model = load_model("nano", device="cpu")
    most = None if limit == "all" else int(limit)
    session = VideoSession(model, drawn_frames(count + TRACKED_AFTER_PROMPTS), max_conditioning_frames=most)
    for frame in range(count):
        session.add_points(frame, 1, scenes.center(frame, 0))
    seconds, start = [], time.process_time()
    for result in session.propagate(start=count - 1):
        if result.frame >= count:
            seconds.append(time.process_time() - start)
        start = time.process_time()
    return {"seconds": median(seconds), "resident": scenes.resident()[0], "peak": scenes.resident()[1]}


WORKERS = {"track": track, "official": official, "prompted": prompted}


def measure(python: str, worker: str, what: str, number: int) -> dict:
    """Run one measurement in a process of its own."""
    command = [python, __file__, "--worker", worker, what, str(number)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def curves_table(curves: dict[str, dict], last: int) -> list[str]:
    """Resident memory above torch and the model, by frame."""
    frames = [frame for frame in (0, 10, 50, 100, 200, 500, 1000, 1500) if frame < last - 1] + [last - 1]
    lines = [
        f"| MiB above torch and model at frame | {' | '.join(map(str, frames))} | peak |",
        "|---" * (len(frames) + 2) + "|",
    ]
    for name, run in curves.items():
        at = {int(frame): mib - run["base"] for frame, mib in run["curve"].items()}
        cells = [f"{at[frame]:.0f}" if frame in at else "" for frame in frames]
        lines.append(f"| {name} | {' | '.join(cells)} | {run['peak'] - run['base']:.0f} |")
    return lines


def growth(run: dict, first: int = 100) -> float:
    """MiB at the end less those after frame ``first``."""
    values = {int(frame): mib for frame, mib in run["curve"].items()}
    return values[max(values)] - values[min(first, max(values))]


def report(arguments: argparse.Namespace) -> str:
    """Measure everything and return the page."""
    ours = measure(sys.executable, "track", "nano", arguments.frames)
    curves = {f"nano, {OBJECTS} objects": ours}
    model = f"{PEER_VARIANT}@{arguments.peer_size}"
    name = f"{PEER_VARIANT} at {arguments.peer_size}, {OBJECTS} objects"
    if arguments.peer_python:
        curves[f"{name}: this engine"] = measure(sys.executable, "track", model, arguments.peer_frames)
        curves[f"{name}: sam2 1.1.0"] = measure(
            arguments.peer_python, "official", model, arguments.peer_frames
        )
    lines = ["# Memory", "", scenes.provenance(), "", *curves_table(curves, arguments.frames), ""]
    lines += ["The peak counts everything since the process started, loading the weights included.", ""]
    lines.append(
        f"nano, from frame 100 to frame {arguments.frames - 1}: {growth(ours):+.1f} MiB "
        f"(allowed: {ALLOWED_GROWTH}); peak {ours['peak'] - ours['base']:.0f} MiB (allowed: {ALLOWED_PEAK})."
    )
    if arguments.peer_python:
        theirs = curves[f"{name}: sam2 1.1.0"]
        slope = growth(theirs, 10) / (arguments.peer_frames - 11)
        lines.append(
            f"sam2 1.1.0 needs {slope:.2f} MiB more with every frame tracked, beside the pixels of all "
            f"frames; at an input of 1024 both are {(1024 // arguments.peer_size) ** 2} times as large."
        )
    lines += [
        "",
        "| prompted frames | attended to | CPU ms per tracked frame | peak MiB |",
        "|---|---|---|---|",
    ]
    for count, limit in ((8, "8"), (arguments.prompts, "8"), (arguments.prompts, "all")):
        run = measure(sys.executable, "prompted", limit, count)
        lines.append(f"| {count} | {limit} | {run['seconds'] * 1000:.0f} | {run['peak']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with the official package")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--peer-frames", type=int, default=300)
    parser.add_argument("--peer-size", type=int, default=256, help="side of the input, with the peer")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker, what, number = arguments.worker
        torch.set_num_threads(arguments.threads)
        print(json.dumps(WORKERS[worker](what, int(number))))
        return
    page = report(arguments)
    print(page)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(page)


if __name__ == "__main__":
    main()
