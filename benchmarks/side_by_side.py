"""Time of the same work here, in the official package and in transformers: one table.

    python benchmarks/side_by_side.py [--peer-python PYTHON] [--image-size 1024] [--threads 2] [--repeats 3]

All have the same seeded weights, pixels and threads, each in a process of its own, and take turns, so that
whatever else the machine does falls on all. ``--peer-python`` is the interpreter of a virtual environment
that has the official package (see ``official_package.py``), which runs in float32, its default, and under
autocast in bfloat16, as its notebooks do; ours runs in what ``dtype="auto"`` chooses on this machine, and
transformers in float32. Below 1024 only videos are compared: the official image predictor knows no other
size. Writes ``benchmarks/results/side_by_side.md``.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np
import scenes
import torch

RESULTS = Path(__file__).parent / "results" / "side_by_side.md"
PARITY = Path(__file__).parent.parent / "tests" / "engine" / "parity"
VARIANT = "sam2.1_hiera_tiny"
STEADY = 8
"""From this frame on a tracked frame attends to the full number of memories."""
BOXES = 16


def boxes(frame: int) -> np.ndarray:
    """Boxes around the objects, (16, 4)."""
    centers = np.array([scenes.center(frame, number % 10) for number in range(BOXES)])
    reach = 18 + np.arange(BOXES)[:, None] // 10
    return np.concatenate((centers - reach, centers + reach), axis=1).astype(np.float32)


class Package(Protocol):
    """The same work in each package; each call returns a number of mask pixels."""

    def encode(self, frame: int) -> int: ...
    def click(self, frame: int) -> int: ...
    def box(self, frame: int) -> int: ...
    def open(self, objects: int, length: int) -> int: ...
    def track(self) -> int: ...


class Ours:
    def __init__(self, variant: str, image_size: int) -> None:
        from memory import our_model

        from sam2_engine import ImagePredictor
        from sam2_engine.modeling.precision import choose_dtype

        self.model = our_model(variant, image_size)
        self.model.compute_dtype = choose_dtype("auto", self.model.device)
        self.predictor = ImagePredictor(self.model)
        self.results: Iterator = iter(())

    def encode(self, frame: int) -> int:
        self.predictor.set_image(scenes.draw(frame))
        return 0

    def click(self, frame: int) -> int:
        masks, _, _ = self.predictor.predict([scenes.center(frame, 0)], [1])
        return int(masks.sum())

    def box(self, frame: int) -> int:
        return int(self.predictor.predict(box=boxes(frame), multimask_output=False)[0].sum())

    def open(self, objects: int, length: int) -> int:
        from sam2_engine import VideoSession

        frames = np.stack([scenes.draw(frame) for frame in range(length)])
        # The official package reads as many pointers as there are frames, up to 16.
        session = VideoSession(self.model, frames, max_object_pointers=min(length, 16))
        for number in range(objects):
            session.add_points(0, number + 1, scenes.center(0, number))
        self.results = session.propagate()
        return 0

    def track(self) -> int:
        return int(next(self.results).masks.sum())


class Official:
    def __init__(self, variant: str, image_size: int) -> None:
        import official_package

        self.predictor, self.video = official_package.build(variant, image_size)
        self.results: Iterator = iter(())

    def encode(self, frame: int) -> int:
        self.predictor.set_image(scenes.draw(frame))
        return 0

    def click(self, frame: int) -> int:
        masks, _, _ = self.predictor.predict(np.array([scenes.center(frame, 0)]), np.array([1]))
        return int(masks.sum())

    def box(self, frame: int) -> int:
        return int(self.predictor.predict(box=boxes(frame), multimask_output=False)[0].sum())

    def open(self, objects: int, length: int) -> int:
        from make_references import start

        state = start(self.video, np.stack([scenes.draw(frame) for frame in range(length)]))
        for number in range(objects):
            click = np.array([scenes.center(0, number)], np.float32)
            self.video.add_new_points_or_box(state, 0, number + 1, points=click, labels=np.array([1]))
        self.results = self.video.propagate_in_video(state)
        return 0

    def track(self) -> int:
        return int((next(self.results)[2] > 0).sum())


class Transformers:
    def __init__(self, variant: str, image_size: int) -> None:
        sys.path.insert(0, str(PARITY))
        from memory import our_model
        from test_parity_transformers import their_image_model, their_video_model

        self.side = image_size
        ours = our_model(variant, image_size)
        self.image_model, self.video_model = their_image_model(ours), their_video_model(ours)
        self.encoded: list[torch.Tensor] = []
        self.results: Iterator = iter(())

    def _pixels(self, frame: int) -> torch.Tensor:
        from sam2_engine.preprocessing import to_model_input

        return to_model_input(scenes.draw(frame), None, self.side)

    def _scaled(self, points: np.ndarray) -> torch.Tensor:
        scale = np.array([self.side / scenes.WIDTH, self.side / scenes.HEIGHT])
        return torch.from_numpy(np.float32(points * scale))

    def _pixels_in(self, low_res: torch.Tensor) -> int:
        from sam2_engine.preprocessing import logits_to_size

        return int((logits_to_size(low_res, (scenes.HEIGHT, scenes.WIDTH)) > 0).sum())

    def encode(self, frame: int) -> int:
        self.encoded = self.image_model.get_image_embeddings(self._pixels(frame))
        return 0

    def click(self, frame: int) -> int:
        points = self._scaled(np.array([scenes.center(frame, 0)]))[None, None]
        labels = torch.ones(1, 1, 1, dtype=torch.long)
        output = self.image_model(
            image_embeddings=self.encoded, input_points=points, input_labels=labels, multimask_output=True
        )
        return self._pixels_in(output.pred_masks[0])

    def box(self, frame: int) -> int:
        corners = self._scaled(boxes(frame).reshape(-1, 2)).view(1, BOXES, 4)
        output = self.image_model(image_embeddings=self.encoded, input_boxes=corners, multimask_output=False)
        return self._pixels_in(output.pred_masks[0])

    def open(self, objects: int, length: int) -> int:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        frames = torch.cat([self._pixels(frame) for frame in range(length)])
        session = Sam2VideoInferenceSession(frames, scenes.HEIGHT, scenes.WIDTH, dtype=torch.float32)
        for number in range(objects):
            click = self._scaled(np.array([scenes.center(0, number)]))[None, None]
            inputs = {"point_coords": click, "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
            session.add_point_inputs(session.obj_id_to_idx(number + 1), 0, inputs)
            session.obj_with_new_inputs.append(number + 1)
        self.video_model(session, frame_idx=0)
        self.results = self.video_model.propagate_in_video_iterator(session)
        return 0

    def track(self) -> int:
        return self._pixels_in(next(self.results).pred_masks)


PACKAGES = {
    "ours": Ours,
    "official": Official,
    "official, bfloat16": Official,
    "transformers": Transformers,
}


def serve(package: Package, dtype: torch.dtype) -> None:
    """Serve requests from standard input, line by line; write seconds and mask pixels."""
    precision = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    print("ready", flush=True)
    for line in sys.stdin:
        name, *numbers = json.loads(line)
        start = time.perf_counter()
        with torch.inference_mode(), precision:
            pixels = getattr(package, name)(*numbers)
        print(json.dumps([time.perf_counter() - start, pixels]), flush=True)


class Worker:
    """One package in a process of its own."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name = name
        python = arguments.peer_python if name.startswith("official") else sys.executable
        options = [
            *("--variant", arguments.variant, "--image-size", str(arguments.image_size)),
            *("--threads", str(arguments.threads)),
        ]
        self.process = subprocess.Popen(
            [python, __file__, "--worker", name, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TQDM_DISABLE": "1"},
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} could not be run; its own message is above.")
        return line

    def ask(self, name: str, *numbers: int) -> tuple[float, int]:
        assert self.process.stdin is not None
        print(json.dumps([name, *numbers]), file=self.process.stdin, flush=True)
        seconds, pixels = json.loads(self._answer())
        return seconds, pixels

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


Answers = list[tuple[float, int]]


def in_turns(workers: list[Worker], requests: list[tuple[str, int]]) -> list[Answers]:
    """Give every request to every package, one after the other; returns the answers of each."""
    answers: list[Answers] = [[] for _ in workers]
    for number, request in enumerate(requests):
        for index in range(len(workers)):
            turn = (index + number) % len(workers)
            answers[turn].append(workers[turn].ask(*request))
    return answers


def row(work: str, answers: list[Answers]) -> str:
    """One line of the table: medians in ms, what the others take as a multiple of ours, and the masks."""
    times = [median(seconds for seconds, _ in one) for one in answers]
    areas = [[pixels for _, pixels in one] for one in answers]
    apart = [
        max(abs(a - b) / max(a, b, 1) for a, b in zip(areas[0], other, strict=True)) for other in areas[1:]
    ]
    cells = [f"{times[0] * 1000:.0f}"]
    cells += [f"{time * 1000:.0f} ({time / times[0]:.2f})" for time in times[1:]]
    return f"| {work} | {' | '.join(cells)} | {max(apart, default=0):.1e} | {len(answers[0])} |"


def compare(workers: list[Worker], arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the table's rows as they come."""
    from sam2_engine.wording import counted

    repeats = arguments.repeats
    if arguments.image_size == 1024:
        kinds = {
            "encode": "encode an image",
            "click": "one click, three masks",
            "box": f"{BOXES} boxes in one call",
        }
        measured: dict[str, list[Answers]] = {name: [[] for _ in workers] for name in kinds}
        for frame in range(repeats + 1):
            for name, sides in measured.items():
                for side, answers in zip(sides, in_turns(workers, [(name, frame)]), strict=True):
                    side.extend(answers)
        for name, work in kinds.items():
            yield row(work, [side[1:] for side in measured[name]])  # the first is a warm-up
    for objects in arguments.objects:
        length = STEADY + repeats
        for worker in workers:
            worker.ask("open", objects, length)
        answers = in_turns(workers, [("track",)] * length)
        yield row(f"track a frame, {counted(objects, 'object')}", [side[STEADY:] for side in answers])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer-python", help="interpreter with the official package; without, it is left out"
    )
    parser.add_argument("--packages", nargs="+", choices=PACKAGES, default=list(PACKAGES))
    parser.add_argument("--variant", default=VARIANT)
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--objects", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--worker", choices=PACKAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.worker:
        dtype = torch.bfloat16 if "bfloat16" in arguments.worker else torch.float32
        serve(PACKAGES[arguments.worker](arguments.variant, arguments.image_size), dtype)
        return
    from sam2_engine.modeling.precision import choose_dtype

    names = [name for name in arguments.packages if arguments.peer_python or "official" not in name]
    dtype = str(choose_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    lines = [
        "# Side by side with the official package and with transformers",
        "",
        f"{arguments.variant}, input {arguments.image_size}, seeded weights, {arguments.threads} threads; "
        f"ours in {dtype}.",
        f"{scenes.provenance()}.",
        "",
        f"| work | {', ms | '.join(names)}, ms | masks differ in area by up to | measured |",
        "|---|" + "---|" * (len(names) + 2),
    ]
    print(*lines, sep="\n")
    with contextlib.ExitStack() as stack:
        workers = [Worker(name, arguments) for name in names]
        for worker in workers:
            stack.callback(worker.close)
        for line in compare(workers, arguments):
            lines.append(line)
            print(line, flush=True)
    lines += [
        "",
        "Medians, in turns; in brackets, how many times as long as ours. Official is sam2 1.1.0. Our "
        "tracking reads and resizes each frame; the others have all loaded before.",
    ]
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
