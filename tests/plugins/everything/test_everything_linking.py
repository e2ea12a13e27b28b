from itertools import product

import numpy as np
import pytest
from seen import seen

from sam2_engine.masks import PackedMask
from sam2_plugins.everything.linking import MAX_GAP, Linker
from sam2_plugins.everything.sightings import Sighting, assign, overlaps


def moving(start: tuple[float, float], step: tuple[float, float], frames: int) -> list[Sighting]:
    return [seen(start[0] + step[0] * t, start[1] + step[1] * t) for t in range(frames)]


def link(frames: list[list[Sighting | None]], gone: int = 99) -> list[list[int]]:
    """Link what is found, each followed perfectly until it is gone, and return the frames of each track."""
    linker = Linker()
    for frame, found in enumerate(frames):
        before = linker.to_follow(frame - 1)
        here = [
            None
            if frame >= gone and one.center[1] < 40
            else seen(one.center[1], one.center[0], (one.area / np.pi) ** 0.5, found=False)
            for _, one in before
        ]
        linker.advance(frame, {frame: here}, [one for one in found if one])
    return [sorted(track.sightings) for track in linker.tracks]


def test_objects_that_move_less_than_their_size_are_one_track_each():
    left, right = moving((20, 20), (2, 0), 5), moving((60, 40), (-2, 1), 5)
    assert link([[a, b] for a, b in zip(left, right)]) == [[0, 1, 2, 3, 4]] * 2


def test_a_frame_on_which_nothing_was_found_is_bridged():
    left = [None if t in (2, 3) else seen(20 + t, 20) for t in range(6)]
    assert link([[one] for one in left]) == [[0, 1, 2, 3, 4, 5]]


def test_an_object_that_is_missed_for_long_is_another_one_when_it_comes_back():
    gap = range(2, 3 + MAX_GAP)
    left = [None if t in gap else seen(20, 20) for t in range(5 + MAX_GAP)]
    assert link([[one] for one in left]) == [[*range(2 + MAX_GAP)], [3 + MAX_GAP, 4 + MAX_GAP]]


def test_an_object_ends_where_the_model_sees_it_no_more_and_begins_where_it_is_found():
    frames = [[seen(20, 20)], [seen(20, 20), seen(50, 40)], [seen(50, 40)], [seen(50, 40)]]
    assert link(frames, gone=2) == [[0, 1], [1, 2, 3]]


def test_between_the_frames_looked_at_an_object_is_where_it_was_followed():
    linker = Linker()
    linker.advance(0, {}, [seen(20, 20), seen(20, 45)])
    staying = [seen(20 + t, 20, found=False) for t in range(1, 5)]
    leaving = [seen(20, 45, found=False), None, seen(20, 45, found=False), None]
    linker.advance(
        4, {t: [staying[t - 1], leaving[t - 1]] for t in range(1, 5)}, [seen(24, 20), seen(60, 30)]
    )
    (entered,) = linker.begun
    linker.extend_back({3: [seen(61, 30, found=False)], 2: [None], 1: [seen(63, 30, found=False)]})
    assert [sorted(one.sightings) for one in linker.tracks] == [[0, 1, 2, 3, 4], [0, 1], [3, 4]]
    assert entered is linker.tracks[2]


@pytest.mark.parametrize("seen_from_before", [False, True])
def test_what_is_not_seen_from_where_a_track_was_sure_is_something_else(seen_from_before: bool):
    linker = Linker()
    linker.advance(0, {}, [seen(20, 20, 8)])
    linker.advance(1, {1: [seen(20, 20, 8, found=False)]}, [seen(24, 20, 10, score=0.4)])
    assert [frame for frame, _ in linker.to_follow(1)] == [1, 0]
    beside = seen(26, 20, 10, found=False)
    linker.advance(2, {2: [beside, beside if seen_from_before else None]}, [seen(26, 20, 10, score=0.4)])
    ends = [[0, 1], [2]]
    assert [sorted(track.sightings) for track in linker.tracks] == ([[0, 1, 2]] if seen_from_before else ends)
    assert [frame for frame, _ in linker.to_follow(2)] == [2]  # both are sure now


def test_two_objects_that_are_found_as_one_for_a_while_stay_two():
    two = [seen(30, 30, 8), seen(46, 30, 8)]
    both = two[0].mask.to_array() | two[1].mask.to_array()
    one = Sighting(PackedMask.from_array(both), int(both.sum()), 0.8)
    assert link([two, two, [one], two]) == [[0, 1, 2, 3]] * 2
    assert link([two, [seen(38, 30, 16, score=1.0)]]) != [[0, 1]] * 2  # much larger than both is another one


def test_overlaps_are_those_of_the_pixels():
    ones, others = [seen(20, 20), None, seen(60, 40)], [seen(24, 20), seen(60, 40, 3)]
    found = {(one.one, one.other): (one.iou, one.of_smaller) for one in overlaps(ones, others)}
    masks = [[None if one is None else one.mask.to_array() for one in side] for side in (ones, others)]
    expected = {}
    for (i, one), (j, other) in product(enumerate(masks[0]), enumerate(masks[1])):
        if one is not None and (one & other).any():
            shared = (one & other).sum()
            expected[i, j] = (shared / (one | other).sum(), shared / min(one.sum(), other.sum()))
    assert found.keys() == expected.keys()
    for pair, values in found.items():
        assert values == pytest.approx(expected[pair])


def test_the_assignment_is_the_best_one_of_each_group():
    rng = np.random.default_rng(1)
    scores = {(int(i), int(j)): float(rng.random()) + 0.01 for i, j in rng.integers(0, 6, (14, 2))}
    chosen = assign(scores)
    assert len(set(chosen.values())) == len(chosen)
    best = max(sum(scores[pair] for pair in pairs) for pairs in _matchings(sorted(scores)))
    assert sum(scores[pair] for pair in chosen.items()) == pytest.approx(best)
    shifted = {(i + 100, j + 300): value for (i, j), value in scores.items()}
    assert assign(scores | shifted) == chosen | {i + 100: j + 300 for i, j in chosen.items()}


def _matchings(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    if not pairs:
        return [[]]
    (i, j), *rest = pairs
    free = [pair for pair in rest if pair[0] != i and pair[1] != j]
    return _matchings(rest) + [[(i, j), *more] for more in _matchings(free)]
