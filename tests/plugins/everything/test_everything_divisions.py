import json
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pytest
from seen import SHAPE, seen

from sam2_engine.masks import PackedMask
from sam2_plugins.everything import storing
from sam2_plugins.everything.divisions import (
    LIKELY,
    ProposedDivision,
    divided,
    division_probability,
    propose_divisions,
    under_parts,
)
from sam2_plugins.everything.existing import Existing, beside
from sam2_plugins.everything.looking_back import begun_earlier, look_back
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.everything.storing import divisions_of
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskRemark, MaskScores
from sam2_plugins.session.readable import run_to_end
from sam2_plugins.storage.replay import RECORDED_CALLS
from sam2_plugins.storage.serialization import call_from_json, call_to_json, to_text


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
    first_of_both, second = sorted(propose_divisions(tracks), key=lambda one: one.frame)
    parts, _ = divided(tracks, [first_of_both])
    (told,) = under_parts([second], tracks, parts)  # of whom the mother has become, not of her before
    assert (told.mother, frozenset(told.daughters)) == (4, frozenset({4, 3}))


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_daughter_of_which_a_few_pixels_were_followed_back_is_one(goes_on: bool):
    """Looked at were the frames 0, 2 and 4: on frame 3 the mother's mask holds both daughters."""
    mother = {t: seen(40, 30, 9, found=t % 2 == 0) for t in range(4)}
    left, right = ({t: seen(x, 30, 6) for t in range(4, 7)} for x in (34, 46))
    right |= {3: seen(47, 30, 1.5, found=False)}
    tracks = {1: mother | left, 3: right} if goes_on else {1: mother, 2: left, 3: right}
    (one,) = propose_divisions(tracks)
    assert (one.frame, 3 in one.daughters, one.probability > 0.9) == (4, True, True)
    parts, (division,) = divided(tracks, [one])
    assert [sorted(parts[each]) for each in (division.mother, *division.daughters)] == [
        [0, 1, 2, 3],
        [4, 5, 6],
        [4, 5, 6],
    ]


def test_a_daughter_that_was_followed_back_rightly_begins_there():
    mother = {t: seen(40, 30, 9, found=t % 2 == 0) for t in range(3)}
    left, right = ({t: seen(x, 30, 6, found=t != 3) for t in range(3, 6)} for x in (34, 46))
    (one,) = propose_divisions({1: mother | left, 3: right})
    assert one.frame == 3


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


def test_a_division_that_is_not_likely_is_stored_as_a_question_and_replayed(store: ModelStore):
    first, again = (
        AnnotationSession(np.zeros((4, *SHAPE), np.uint8), store, "nano@128", axes="TYX") for _ in range(2)
    )
    calls: list[Any] = []
    first.history.subscribe(lambda action: calls.append(json.loads(to_text(call_to_json(action.call)))))
    tracks = {0: {t: seen(30, 30, 9) for t in range(4)}, 1: {t: seen(46, 30, 6) for t in range(2, 4)}}
    asked = [ProposedDivision(0, (0, 1), 2, 0.4)]
    given = storing.ToStore(Existing(), beside(Existing(), tracks), asked=asked)
    ids = run_to_end(storing.store(first, given, object()))
    for call in calls:
        call.pop("joined", None)
        arguments = call_from_json(call)
        RECORDED_CALLS[arguments.pop("do")](again, **arguments)
    for session in (first, again):
        found = {(i, f) for i in ids.values() for f in range(4) if _remark(session, i, f)}
        assert found == {(ids[1], 2)}
        assert _remark(session, ids[1], 2) is MaskRemark.PERHAPS_BORN


def _remark(session: AnnotationSession, object_id: int, frame: int) -> MaskRemark:
    accepted = session.accepted(object_id, frame)
    return MaskRemark.NONE if accepted is None else accepted.remark


@pytest.mark.parametrize(("since", "expected"), [(4, 4), (3, 3), (2, 2), (1, 2)])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_division_begins_where_the_mother_first_holds_two_daughters(
    since: int, expected: int, goes_on: bool
):
    """Both are found as one up to frame 4; asked for, they are two from ``since`` on. She needs a frame."""
    left, right = seen(33, 30, 7), seen(47, 30, 7)
    both = left.mask.to_array() | right.mask.to_array()
    whole = Sighting(PackedMask.from_array(both), int(both.sum()), 0.8)
    mother = dict.fromkeys(range(1, 5), whole)
    first = dict.fromkeys(range(5, 7), left)
    tracks = {1: mother | first} if goes_on else {1: mother, 2: first}
    tracks |= {3: {5: right}}
    asked: list[int] = []

    def apart(
        frame: int, pairs: Sequence[tuple[tuple[float, float], tuple[float, float]]]
    ) -> Generator[None, None, list[tuple[Sighting | None, ...]]]:
        yield
        asked.append(frame)
        (places,) = pairs
        np.testing.assert_allclose(places, (left.center, right.center), atol=1)
        return [(left, right) if frame >= since else (whole, whole)]

    daughters = (1, 3) if goes_on else (2, 3)
    (begun,) = run_to_end(look_back(tracks, [ProposedDivision(1, daughters, 5, 0.3)], apart))
    parts, (division,) = divided(begun_earlier(tracks, [begun]), [begun.division])
    first_frames = [min(parts[one]) for one in (*division.daughters, 3)]
    assert (division.frame, sorted(parts[1]), *first_frames) == (
        expected,
        [*range(1, expected)],
        *[expected] * 3,
    )
    assert asked == [*range(4, max(expected - 2, 1), -1)]
    assert (sightings := parts[division.daughters[0]])[expected].area == sightings[5].area


def test_a_division_is_proposed_though_only_one_daughter_was_seen_for_a_while():
    mother, left, right = seen(40, 30, 9), seen(34, 30, 6), seen(46, 30, 6)
    late = {1: {0: mother, 1: mother, 2: left, 3: left}, 2: {3: right}}
    (division,) = propose_divisions(late)
    assert division.probability > LIKELY > division_probability(left, (left, right))
