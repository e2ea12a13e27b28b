"""The benchmark of memory policies: scenes are what is said of them, scores are kept and read again."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sam2_engine import load_model

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def policies() -> Iterator[ModuleType]:
    before = list(sys.path)
    sys.path[:0] = [str(FOLDER), str(FOLDER / "tracking")]
    import policies

    yield policies
    sys.path[:] = before


def test_scenes_hide_and_return_objects(policies: ModuleType) -> None:
    hidden = policies.scenarios.occlusion(0, 8)
    there = [bool(hidden.mask(1, frame).any()) for frame in range(len(hidden.frames))]
    assert there == [True] * 8 + [False] * 8 + [True] * 12
    crossing = policies.scenarios.crossing(1)
    apart = [
        np.subtract(*(np.argwhere(crossing.mask(i, frame)).mean(0)[1] for i in (1, 2)))
        for frame in (0, -1 % 36)
    ]
    assert apart[0] * apart[1] < 0, "two objects change sides"


def test_a_perfect_and_an_exchanged_tracking_are_scored(policies: ModuleType) -> None:
    scene = policies.scenarios.crossing(1)
    truth = {f: {i: scene.mask(i, f) for i in (1, 2)} for f in range(len(scene.frames))}
    perfect = policies.score(scene, truth, 1.0)
    assert (np.mean(perfect.j), np.mean(perfect.f), perfect.switches) == (1, 1, 0)
    swapped = {f: one if f < 25 else {1: one[2], 2: one[1]} for f, one in truth.items()}
    exchanged = policies.score(scene, swapped, 1.0)
    assert exchanged.switches == 2
    assert np.mean(exchanged.j) < 0.75


def test_a_scene_is_tracked_scored_and_kept(policies: ModuleType, tmp_path: Path) -> None:
    names = ["recent", "motion", "recent, no overlaps"]
    model = load_model("nano", device="cpu", image_size=256)
    kinds = [("crossing 1", "crossing", partial(policies.scenarios.crossing, 1))]
    scores = policies.measure(kinds, model, names, tmp_path)
    again = policies.measure([("crossing 1", "crossing", pytest.fail)], model, names, tmp_path)
    assert again == scores
    lines = policies.table(scores, names)
    print("\n".join(lines))
    assert lines[2].startswith("| crossing | recent | 0.")
    assert all(np.mean(one.j) > 0.4 for one in scores["crossing"].values())
