"""Time and memory on a GPU, everything in less than nine minutes: one dated table.

    python benchmarks/gpu.py [--device cuda] [--minutes 6.5]
    python benchmarks/gpu.py --device cpu --smoke        # does it run? sizes of a toy, nothing is written

Seeded weights, drawn frames. Ours runs in bfloat16, and once compiled; the official package, if it can be
imported beside it, under autocast in bfloat16, as its notebooks do. What there is no time left for is left
out and named. Each run adds a section to ``benchmarks/results/gpu.md``.
"""

import argparse
import contextlib
import gc
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median

import scenes
import torch
from packages import BOXES, Official, Ours, Package

RESULTS = Path(__file__).parent / "results" / "gpu.md"
TITLE = "On a GPU"
STEADY = 8
"""From this frame on a tracked frame attends to the full number of memories."""


@dataclass
class Benchmark:
    """What is measured, and how.

    Attributes
    ----------
    device
        Where the models run.
    variants
        A small and a large model.
    objects
        Numbers of objects that are tracked.
    image_size, frames, repeats, points_per_side
        Side of the input, frames that count, images that count, clicks of automatic masks.
    deadline
        When nothing more is begun, by ``time.monotonic``.
    left_out
        What there was no time for.
    """

    device: torch.device
    variants: tuple[str, ...] = ("sam2.1_hiera_tiny", "sam2.1_hiera_large")
    objects: tuple[int, ...] = (1, 10, 100)
    image_size: int = 1024
    frames: int = 8
    repeats: int = 5
    points_per_side: int = 32
    deadline: float = float("inf")
    left_out: list[str] = field(default_factory=list)

    @property
    def dtype(self) -> torch.dtype:
        """Type that both compute in."""
        return torch.float32 if self.device.type == "cpu" else torch.bfloat16

    # ------------------------------------------------------------------ models

    def ours(self, variant: str, compiled: bool = False) -> Ours:
        """Return this engine with a model on the device."""
        package = Ours(variant, self.image_size)
        package.model.to(self.device)
        package.model.compute_dtype = self.dtype
        if compiled:  # on a CPU it takes minutes, and is no figure that is wanted
            package.model.compile(backend="eager" if self.device.type == "cpu" else "inductor")
        return package

    def official(self, variant: str) -> Official:
        """Return the official package with a model on the device."""
        package = Official(variant, self.image_size)
        package.video.to(self.device)
        return package

    # ------------------------------------------------------------------ measuring

    def seconds(self, work: Callable[[], object]) -> float:
        """Return what some work takes until the device is done with it."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def memory(self) -> str:
        """Return the most memory that was held on the device since the last time, in GB."""
        if self.device.type != "cuda":
            return ""
        peak = torch.cuda.max_memory_allocated(self.device) / 2**30
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        return f"{peak:.1f}"

    def kernels(self, work: Callable[[], object]) -> str:
        """Return how many launches and how many waits of the host some work is."""
        if self.device.type != "cuda":
            work()
            return ""
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            work()
            self._wait()
        names = [event.name for event in profile.events() or []]
        launches = sum(name.startswith(("cudaLaunchKernel", "cuLaunchKernel")) for name in names)
        waits = sum(name in ("cudaStreamSynchronize", "cudaEventSynchronize") for name in names)
        return f"{launches} / {waits}"

    def tracked(self, package: Package, objects: int) -> list[str]:
        """Return milliseconds of a frame, frames a second, memory, and launches and waits of a frame."""
        length = STEADY + self.frames + 1
        self.memory()
        package.open(objects, length)
        for _ in range(STEADY):
            package.track()
        took = median(self.seconds(package.track) for _ in range(self.frames))
        counted = self.kernels(package.track)
        return [f"{1000 * took:.1f}", f"{1 / took:.1f}", self.memory(), counted]

    def images(self, package: Package) -> list[str]:
        """Return milliseconds to encode an image, of a click, and of many boxes."""
        times: dict[str, list[float]] = {"encode": [], "click": [], "box": []}
        for frame in range(self.repeats + 2):
            for name, seconds in times.items():
                work = getattr(package, name)
                seconds.append(self.seconds(lambda work=work, frame=frame: work(frame)))
        return [f"{1000 * median(seconds[2:]):.1f}" for seconds in times.values()]

    def automatic(self, package: Package) -> list[str]:
        """Return seconds for masks of everything, and how many there were."""
        generator = self._generator(package)
        image = scenes.draw(0)
        found: list[object] = []
        seconds = [self.seconds(lambda: found.append(generator.generate(image))) for _ in range(2)]
        return [f"{seconds[-1]:.2f}", str(len(found[-1]))]

    def _generator(self, package: Package) -> object:
        options = {"points_per_side": self.points_per_side, "pred_iou_thresh": 0.0}
        if isinstance(package, Ours):
            from sam2_engine import AutomaticMaskGenerator

            return AutomaticMaskGenerator(package.model, stability_score_thresh=0.0, **options)
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

        return SAM2AutomaticMaskGenerator(package.video, stability_score_thresh=0.0, **options)

    def agreement(self, variant: str) -> str:
        """Return the IoU of masks that the device and the CPU track, both in float32, and in its own type."""
        from sam2_engine.modeling.precision import DTYPES

        pixels = {}
        for name, device, dtype in (
            ("cpu", torch.device("cpu"), DTYPES["float32"]),
            ("float32", self.device, DTYPES["float32"]),
            ("usual", self.device, self.dtype),
        ):
            package = Ours(variant, self.image_size)
            package.model.to(device)
            package.model.compute_dtype = dtype
            package.open(2, 3)
            pixels[name] = torch.stack([torch.from_numpy(result.masks) for result in package.results])
        ious = [_iou(pixels["cpu"], pixels[name]) for name in ("float32", "usual")]
        return f"{ious[0]:.4f} in float32, {ious[1]:.4f} in the usual type"

    # ------------------------------------------------------------------ the table

    def in_time(self, name: str, measure: Callable[[], list[str]]) -> Iterator[list[str]]:
        """Yield a row, unless there is no time for it or it fails, which is named."""
        if time.monotonic() > self.deadline:
            self.left_out.append(name)
            return
        try:
            with torch.inference_mode():
                yield [name, *measure()]
        except (RuntimeError, ImportError) as error:  # out of memory, a compiler that is missing
            self.left_out.append(f"{name} ({str(error).splitlines()[0]})")

    def rows(self, official: bool) -> Iterator[tuple[str, list[str]]]:
        """Yield rows with the name of their table, the most wanted first."""
        precision = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        makers: dict[str, Callable[[str], Package]] = {"ours": self.ours}
        if official:
            makers["official"] = self.official
        for variant in self.variants:
            for who, make in makers.items():
                with precision if who == "official" else contextlib.nullcontext():
                    yield from self._rows_of(f"{variant}, {who}", make, variant)
        small = self.variants[0]
        yield from self._rows_of(
            f"{small}, ours compiled", lambda name: self.ours(name, compiled=True), small
        )

    def _rows_of(
        self, name: str, make: Callable[[str], Package], variant: str
    ) -> Iterator[tuple[str, list[str]]]:
        package: list[Package] = []
        for _ in self.in_time(f"{name}, loading", lambda: package.append(make(variant)) or []):
            pass
        if not package:
            return
        objects = self.objects if name.endswith("ours") else self.objects[:2]  # they track one by one
        for number in objects:
            row = f"{name}, {number} object{'s' * (number > 1)}"
            for cells in self.in_time(row, lambda number=number: self.tracked(package[0], number)):
                yield "tracking", cells
        for cells in self.in_time(name, lambda: self.images(package[0])):
            yield "images", cells
        if variant == self.variants[0] and not name.endswith("compiled"):
            for cells in self.in_time(name, lambda: self.automatic(package[0])):
                yield "automatic", cells


TABLES = {
    "tracking": ["a tracked frame", "ms", "frames/s", "GB at most", "launches / waits"],
    "images": ["an image", "encode, ms", "a click, ms", f"{BOXES} boxes, ms"],
    "automatic": ["masks of everything", "s", "masks"],
}


def _iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one & other).sum() / (one | other).sum().clamp(min=1))


def hardware(device: torch.device) -> str:
    """Return one line: when and on what."""
    name = device.type
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name}, {properties.total_memory / 2**30:.0f} GB, CUDA {torch.version.cuda}"
    host = f"{os.cpu_count()} cores of {platform.processor() or platform.machine()}"
    return f"{date.today()}, {name}, {host}, PyTorch {torch.__version__}, Python {platform.python_version()}"


def table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def report(benchmark: Benchmark, official: bool) -> list[str]:
    """Measure everything; return the section's lines."""
    lines = [f"Input {benchmark.image_size} pixels, medians of {benchmark.frames} frames."]
    small = benchmark.variants[0]
    agreed = list(benchmark.in_time("agreement with the CPU", lambda: [benchmark.agreement(small)]))
    lines += [f"IoU of masks with those of the CPU in float32: {text}." for _, text in agreed]
    rows: dict[str, list[list[str]]] = {name: [] for name in TABLES}
    for name, row in benchmark.rows(official):
        print(*row, sep=" | ", flush=True)
        rows[name].append(row)
    lines.append("")
    for name, heads in TABLES.items():
        lines += table(heads, rows[name])
    if benchmark.left_out:
        lines.append(f"Left out: {'; '.join(benchmark.left_out)}.")
    return lines


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=6.5, help="nothing is begun after these")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that all of it runs")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    benchmark = Benchmark(device, deadline=time.monotonic() + 60 * arguments.minutes)
    if arguments.smoke:
        small = {"objects": (1, 3), "image_size": 128, "frames": 1, "repeats": 1, "points_per_side": 2}
        benchmark = Benchmark(device, variants=("sam2.1_hiera_tiny",), **small)
    official = importlib.util.find_spec("sam2") is not None
    lines = report(benchmark, official)
    if arguments.smoke:
        print("\n".join(lines))
    else:
        scenes.write_section(RESULTS, TITLE, hardware(device), lines)


if __name__ == "__main__":
    main()
