"""Hostile files are read or refused in a sentence, in seconds and in little memory."""

import sys
from pathlib import Path
from random import Random

import pytest
from fuzz_targets import TARGETS, seeds_of
from fuzzing import fuzz, replay
from mutation import mutate, pack, unpack
from planted_faults import PLANTED

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
SECONDS, RUNS = 20.0, 300


def _told(findings: dict[Path, str]) -> str:
    return "\n\n".join(f"{path}\n{text}" for path, text in findings.items())


def test_what_was_found_before_is_mended(tmp_path: Path) -> None:
    assert not (found := replay(tmp_path)), _told(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    outcome = fuzz(TARGETS[name], SECONDS, tmp_path, runs=RUNS)
    assert not outcome.findings, _told(outcome.findings)
    assert outcome.executions > len(seeds_of(TARGETS[name]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("_fail", "KeyError: 'mask'"),
        ("_loop", "TooSlowError"),
        ("_hang", "Timeout"),
        ("_use_memory", "TooMuchMemoryError"),
        ("_ask_for_memory", "MemoryError"),
        ("_crash", "Segmentation fault"),
    ],
)
def test_a_planted_fault_is_found(name: str, told: str, tmp_path: Path) -> None:
    outcome = fuzz(PLANTED[name], 6, tmp_path)
    assert told in _told(outcome.findings)
    (bad, *_) = outcome.findings
    assert unpack(bad.read_bytes()) != unpack(pack(PLANTED[name].inputs["good"]))


@pytest.mark.slow
def test_a_planted_fault_is_found_without_coverage(tmp_path: Path) -> None:
    outcome = fuzz(PLANTED["_fail"], 4, tmp_path, engine="hypothesis")
    assert "KeyError: 'mask'" in _told(outcome.findings)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_stay_folders_and_differ(name: str) -> None:
    seeds, random = list(seeds_of(TARGETS[name]).values()), Random(0)
    mutated = [mutate(random.choice(seeds), random) for _ in range(50)]
    assert sum(bool(unpack(data)) for data in mutated) > 40
    assert len({*mutated} - {*seeds}) > 30
