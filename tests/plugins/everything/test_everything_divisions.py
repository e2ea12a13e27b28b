import numpy as np
from seen import SHAPE, seen

from sam2_plugins.everything.divisions import LIKELY, divided, division_probability, propose_divisions
from sam2_plugins.everything.storing import divisions_of
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskScores


def test_two_halves_beside_the_middle_of_a_mother_are_her_daughters():
    mother = seen(40, 30, 9)
    halves = seen(34, 30, 6), seen(46, 30, 6)
    assert division_probability(mother, halves) > 0.9
    assert division_probability(mother, (seen(34, 30, 6), seen(70, 50, 6))) < LIKELY
    assert division_probability(mother, (seen(40, 30, 9), seen(53, 30, 3))) < LIKELY


def test_a_division_is_proposed_where_the_mother_ends_and_where_she_goes_on_as_a_daughter():
    mother = {t: seen(40, 30, 9) for t in range(3)}
    left, right = ({t: seen(x, 30, 6) for t in range(3, 6)} for x in (34, 46))
    other = {t: seen(10, 10, 6) for t in range(6)}
    (ended,) = propose_divisions({1: mother, 2: left, 3: right, 4: other})
    assert (ended.mother, ended.daughters, ended.frame) == (1, (2, 3), 3)
    (going_on,) = propose_divisions({1: mother | left, 3: right, 4: other})
    assert (going_on.mother, going_on.daughters, going_on.frame) == (1, (1, 3), 3)
    assert going_on.probability == ended.probability > LIKELY


def test_a_mother_that_goes_on_is_cut_in_two_and_may_divide_again():
    first = {t: seen(40, 30, 9) for t in range(2)}
    left, right = ({t: seen(x, 30, 7) for t in range(2, 4)} for x in (33, 47))
    ends = [{t: seen(33, y, 5) for t in range(4, 6)} for y in (25, 35)]
    tracks = {1: first | left | ends[0], 2: right, 3: ends[1]}
    parts, divisions = divided(tracks, propose_divisions(tracks))
    assert sorted((sorted(part), number) for number, part in parts.items()) == [
        ([0, 1], 1),
        ([2, 3], 2),
        ([2, 3], 4),
        ([4, 5], 3),
        ([4, 5], 5),
    ]
    assert {(one.mother, frozenset(one.daughters), one.frame) for one in divisions} == {
        (1, frozenset({2, 4}), 2),
        (4, frozenset({3, 5}), 4),
    }


def test_a_newcomer_at_a_distance_has_no_mother():
    assert not propose_divisions({1: {0: seen(20, 20), 1: seen(20, 20)}, 2: {1: seen(60, 40)}})


def test_the_divisions_of_a_session_are_listed_least_probable_first(store: ModelStore):
    session = AnnotationSession(np.zeros((4, *SHAPE), np.uint8), store, "nano@128", axes="TYX")

    def track(x: float, radius: float, frames: range, y: float = 30, parents: tuple[int, ...] = ()) -> int:
        masks = {frame: seen(x, y, radius).mask.compress() for frame in frames}
        return session.import_track(masks, dict.fromkeys(masks, MaskScores(1, 0.9, 1)), parents=parents)

    sure, doubtful = track(20, 8, range(2)), track(60, 8, range(2))
    for x in (14.5, 25.5):
        track(x, 6, range(2, 4), parents=(sure,))
    track(60, 8, range(2, 4), parents=(doubtful,))
    track(60, 3, range(2, 4), y=45, parents=(doubtful,))
    first, second = divisions_of(session)
    assert (first.mother, second.mother, first.frame) == (doubtful, sure, 2)
    assert first.probability < LIKELY < second.probability
