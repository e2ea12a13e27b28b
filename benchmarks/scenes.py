"""What the benchmarks run on: a moving picture drawn frame by frame, memory figures, and where they ran."""

import ctypes
import gc
import os
import platform
import re
from datetime import date
from pathlib import Path

import numpy as np

HEIGHT, WIDTH = 360, 480


def draw(frame: int, objects: int = 10) -> np.ndarray:
    """Draw one frame, (HEIGHT, WIDTH, 3) uint8: discs that circle over a textured ground."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([80 + 40 * np.sin(x / 9), 80 + 40 * np.cos(y / 7), 90 + 30 * np.sin((x + y) / 11)], -1)
    for number in range(objects):
        cx, cy = center(frame, number, objects)
        color = np.random.default_rng(number).integers(0, 256, 3)
        picture[(x - cx) ** 2 + (y - cy) ** 2 < 18**2] = color
    return picture.astype(np.uint8)


def center(frame: int, number: int, objects: int = 10) -> tuple[float, float]:
    """Return an object's (x, y) on a frame."""
    column, row = number % 5, number // 5 % 2
    phase = frame / 25 + number
    return 60 + 90 * column + 20 * np.cos(phase), 100 + 160 * row + 20 * np.sin(phase)


def resident() -> tuple[float, float]:
    """Return this process's resident memory now and at its highest, in MiB (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024


def release_freed() -> None:
    """Have what loading a model freed given back, so that it does not count as the model's own (glibc)."""
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)


def provenance() -> str:
    """Return one line: when and on what these figures were measured."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    processor = models[0].split(":", 1)[1].strip() if models else platform.processor()
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    cores = f"{os.cpu_count()} cores of {processor} ({', '.join(cpu_flags())})"
    return f"{date.today()}, {cores}, {load}, Python {platform.python_version()}"


def cpu_flags() -> list[str]:
    """Return those of the CPU's features that decide how fast it is here (Linux)."""
    cpuinfo = Path("/proc/cpuinfo").read_text().split()
    return [flag for flag in ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2") if flag in cpuinfo]


def write_section(page: Path, title: str, name: str, lines: list[str]) -> None:
    """Print a section, and put it into a page of results instead of an earlier one of that name."""
    section = "\n".join([f"## {name}", "", *lines]) + "\n"
    print(section)
    text = page.read_text() if page.exists() else f"# {title}\n"
    kept = re.sub(rf"\n## {re.escape(name)}\n.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)
    page.write_text(f"{kept.rstrip()}\n\n{section}")
