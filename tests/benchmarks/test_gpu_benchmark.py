"""The benchmark of GPUs runs as far as a CPU goes, so that no minute on a GPU is lost to a mistake."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def gpu() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    import gpu

    yield gpu
    sys.path.remove(str(FOLDER))


@pytest.fixture
def benchmark(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gpu, "STEADY", 1)
    return gpu.Benchmark(
        torch.device("cpu"),
        variants=("sam2.1_hiera_tiny",),
        objects=(1, 2),
        image_size=64,
        frames=1,
        repeats=1,
        points_per_side=2,
    )


@pytest.mark.slow
def test_everything_is_measured_beside_the_official_package(
    gpu: ModuleType, benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu.Benchmark, "official", gpu.Benchmark.ours)  # which is in no environment of ours
    rows = list(benchmark.rows(official=True))
    assert not benchmark.left_out
    names = [f"sam2.1_hiera_tiny, {who}" for who in ("ours", "official", "ours compiled")]
    assert [row[0] for table, row in rows if table == "images"] == names
    assert [row[0] for table, row in rows if table == "automatic"] == names[:2]
    tracked = [row[0] for table, row in rows if table == "tracking"]
    assert tracked == [f"{name}, {count}" for name in names for count in ("1 object", "2 objects")]
    for table, row in rows:
        assert len(row) == len(gpu.TABLES[table])


def test_masks_agree_with_those_of_the_cpu(benchmark: Any) -> None:
    assert benchmark.agreement("sam2.1_hiera_tiny") == "1.0000 in float32, 1.0000 in the usual type"


def test_what_there_is_no_time_for_or_fails_is_named(gpu: ModuleType, benchmark: Any) -> None:
    def fail() -> list[str]:
        raise RuntimeError("out of memory\nand much more")

    assert list(benchmark.in_time("large", fail)) == []
    benchmark.deadline = 0.0
    lines = gpu.report(benchmark, official=False)
    assert lines[-1].startswith("Left out: large (out of memory); agreement with the CPU; sam2.1_hiera_tiny,")
    assert "| a tracked frame | ms | frames/s | GB at most | launches / waits |" in lines
    assert "cpu" in gpu.hardware(torch.device("cpu"))
