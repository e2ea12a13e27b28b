"""Everything in a session that has objects: these stay, the rest is found, their divisions are proposed."""

from collections.abc import Callable, Generator, Iterable, Mapping

import numpy as np
import pytest
import tifffile
from seen import SHAPE, seen

import sam2_plugins
from sam2_engine import InputError
from sam2_engine.masks import PackedMask
from sam2_plugins.everything import run as run_module
from sam2_plugins.everything.accepting import came_from
from sam2_plugins.everything.divisions import LIKELY
from sam2_plugins.everything.following import Follower
from sam2_plugins.everything.linking import Track
from sam2_plugins.everything.run import TrackedEverything, track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.review import review_queue
from sam2_plugins.review.cues import PERHAPS_BORN
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskScores

Sightings = dict[int, Sighting]
Find = Callable[..., TrackedEverything]

BEFORE, AFTER = range(3), range(3, 6)


def united(*ones: Sighting) -> Sighting:
    mask = np.logical_or.reduce([one.mask.to_array() for one in ones])
    return Sighting(PackedMask.from_array(mask), int(mask.sum()), 0.9)


MOTHER, LEFT, RIGHT, OTHER = seen(40, 30, 9), seen(33, 30, 6.5), seen(47, 30, 6.5), seen(12, 12)
BOTH = united(LEFT, RIGHT)
TRUTH: list[Sightings] = [
    dict.fromkeys(BEFORE, MOTHER),
    dict.fromkeys(AFTER, LEFT),
    dict.fromkeys(AFTER, RIGHT),
    dict.fromkeys(range(6), OTHER),
]


@pytest.fixture
def session(store: ModelStore) -> AnnotationSession:
    return AnnotationSession(np.zeros((6, *SHAPE), np.uint8), store, "nano@128", axes="TYX")


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Find:
    """Find and track everything in a session, where the model sees some tracks; by default the truth."""

    def run(
        session: AnnotationSession, tracks: Iterable[Sightings] = TRUTH, divisions: bool | None = None
    ) -> TrackedEverything:
        def see(*_: object) -> Generator[tuple[int, int], None, tuple[list[Track], list[int]]]:
            yield 6, 6
            return [Track(dict(one)) for one in tracks], []

        def none_apart(
            _: object, __: int, pairs: list[object]
        ) -> Generator[int, None, list[tuple[None, None]]]:
            yield 0
            return [(None, None) for _ in pairs]

        monkeypatch.setattr(run_module, "_seen", see)
        monkeypatch.setattr(Follower, "apart", none_apart)
        return track_everything(session, EverythingSettings(divisions=divisions))

    return run


def have(session: AnnotationSession, masks: Mapping[int, Sighting]) -> int:
    """Let a session have an object that was tracked, and return its id."""
    packed = {frame: one.mask.compress() for frame, one in masks.items()}
    return session.import_track(packed, dict.fromkeys(packed, MaskScores(1, 0.9, 1)))


def masks_of(session: AnnotationSession, object_id: int) -> dict[int, bytes]:
    return {frame: one.mask.bits for frame, one in session.annotations.masks_of(object_id).items()}


def are(session: AnnotationSession) -> dict[int, str]:
    """Return by object what it is on each frame: mother, left, right, both, other; - for nothing of these."""
    kinds = {"m": MOTHER, "l": LEFT, "r": RIGHT, "b": BOTH, "o": OTHER}
    told = {}
    for object_id in session.objects:
        words = ""
        for frame in range(6):
            mask = session.mask(object_id, frame)
            alike = {
                kind: 0.0
                if mask is None
                else (mask & one.mask.to_array()).sum() / (mask | one.mask.to_array()).sum()
                for kind, one in kinds.items()
            }
            best = max(alike, key=lambda kind: alike[kind])
            words += best if alike[best] > 0.8 else "-"
        told[object_id] = words
    return told


DAUGHTERS = {"---lll", "---rrr"}


def test_without_an_object_all_are_found_and_the_division_is_in_the_lineage(session, find):
    found = find(session)
    assert {*are(session).values()} == {"mmm---", *DAUGHTERS, "oooooo"}
    assert len(found.divisions) == 1
    assert not found.proposed
    assert str(found).startswith("4 objects, 1 division,")


@pytest.mark.parametrize(
    ("mine", "new", "linked"),
    [
        (dict.fromkeys(BEFORE, MOTHER), DAUGHTERS, True),
        ({0: MOTHER}, DAUGHTERS, True),
        (dict.fromkeys(BEFORE, MOTHER) | dict.fromkeys(AFTER, LEFT), {"---rrr"}, False),
        ({0: MOTHER, 5: LEFT}, {"---rrr"}, False),
        (dict.fromkeys(BEFORE, MOTHER) | dict.fromkeys(AFTER, BOTH), DAUGHTERS, False),
        (dict.fromkeys(BEFORE, MOTHER) | {3: BOTH, 4: LEFT, 5: LEFT}, {"---rrr"}, False),
    ],
    ids=["ended", "one frame", "one daughter", "two frames", "both daughters", "both, then one"],
)
def test_both_daughters_of_an_object_that_is_there_are_known_and_the_division_is_asked_about(
    session, find, mine, new, linked
):
    session.add_object("taken")
    session.remove_object(1)
    mother = have(session, mine)
    session.edit_object(mother, name="Ada")
    before = masks_of(session, mother), session.objects[mother]
    found = find(session)
    assert (masks_of(session, mother), session.objects[mother]) == before
    assert {kind for object_id, kind in are(session).items() if object_id != mother} == {*new, "oooooo"}
    (division,) = found.divisions if linked else found.proposed
    assert (division.mother, division.frame) == (mother, 3)
    assert division.probability > LIKELY
    if linked:
        assert {one.parents for i, one in session.objects.items() if i in division.daughters} == {(mother,)}
    else:
        born = {*division.daughters} - {mother}
        first = next(item for item in review_queue(session) if item.object_id in born)
        assert first.frame == 3
        if 4 in mine or 3 in mine:  # else it has no masks to judge by
            assert first.score > LIKELY
            assert "may have come from Ada: that division is" in first.told({mother: "Ada"})
        assert first.score >= PERHAPS_BORN
        assert not any(one.parents for one in session.objects.values())
    again = find(session)
    assert (again.object_ids, again.known) == ((), len(session.objects))
    assert str(again).startswith(f"0 new objects beside {again.known},")
    session.undo()
    assert [*session.objects] == [mother]


def test_what_a_person_says_is_one_object_has_not_divided(session, find):
    mother = have(session, dict.fromkeys(BEFORE, MOTHER) | dict.fromkeys(AFTER, BOTH))
    session.verify(mother, [5])
    found = find(session)
    assert are(session) == {mother: "mmmbbb", 2: "oooooo"}
    assert not found.proposed + found.divisions + found.unlikely


def test_said_on_an_early_frame_alone_it_has_divided_later(session, find):
    mother = have(session, dict.fromkeys(BEFORE, MOTHER) | dict.fromkeys(AFTER, BOTH))
    session.verify(mother, [3])
    find(session)
    assert sorted(are(session).values()) == ["----ll", "----rr", "mmmbbb", "oooooo"]


def test_in_a_volume_nothing_divides(session, find):
    mother = have(session, dict.fromkeys(BEFORE, MOTHER) | dict.fromkeys(AFTER, BOTH))
    found = find(session, divisions=False)
    assert are(session) == {mother: "mmmbbb", 2: "oooooo"}
    assert not found.proposed + found.divisions


def test_daughters_that_are_there_without_a_lineage_get_one_and_keep_it_as_people_set_it(session, find):
    mother, left, right = (have(session, one) for one in TRUTH[:3])
    before = [masks_of(session, one) for one in (mother, left, right)]
    found = find(session)
    assert {session.objects[one].parents for one in (left, right)} == {(mother,)}
    assert len(found.divisions) == 1
    assert [masks_of(session, one) for one in (mother, left, right)] == before
    session.lineage.set_parents(right, ())
    find(session)
    assert session.objects[right].parents == ()
    session.undo()
    session.undo()
    assert not any(one.parents for one in session.objects.values())


@pytest.mark.parametrize("begins", [3, 4])
def test_the_mother_of_a_daughter_that_is_there_is_found(session, find, begins):
    left = have(session, dict.fromkeys(range(begins, 6), LEFT))
    before = session.objects[left]
    found = find(session)
    (division,) = (
        found.divisions if begins == 3 else found.proposed
    )  # it is not cut, nor made to begin earlier
    assert (are(session)[division.mother], left in division.daughters) == ("mmm---", True)
    assert (session.objects[left] == before) == (begins == 4)
    assert {*are(session).values()} == {"mmm---", "---rrr", "oooooo", are(session)[left]}


def test_a_lineage_that_is_there_is_not_contradicted(session, find):
    mother, left = have(session, TRUTH[0]), have(session, TRUTH[1])
    child = have(session, {4: seen(70, 50), 5: seen(70, 50)})
    session.lineage.set_parents(child, mother)
    found = find(session)
    assert session.objects[left].parents == ()
    assert not found.proposed + found.divisions + found.unlikely
    assert sorted(are(session).values()) == ["------", "---lll", "---rrr", "mmm---", "oooooo"]


def test_the_second_daughter_joins_one_that_has_its_mother(session, find):
    mother, left = have(session, TRUTH[0]), have(session, TRUTH[1])
    session.lineage.set_parents(left, mother)
    find(session)
    (right,) = (one for one, kind in are(session).items() if kind == "---rrr")
    assert session.objects[right].parents == (mother,)


def test_what_was_found_and_removed_stays_out_until_that_is_undone(session, find):
    find(session)
    (other,) = (one for one, kind in are(session).items() if kind == "oooooo")
    session.remove_object(other)
    found = find(session)
    assert (found.object_ids, found.rejected) == ((), 1)
    assert "1 object that had been removed stayed out" in str(found)
    session.undo()
    assert find(session).rejected == 0
    assert other in session.objects


def test_what_was_undone_is_found_again(session, find):
    find(session)
    session.undo()
    assert len(find(session).object_ids) == 4


def test_what_somebody_clicked_on_and_removed_is_found(session, find):
    session.import_masks(0, {1: OTHER.mask.to_array()}, as_prompts=True)
    session.remove_object(1)
    assert "oooooo" in are_found(session, find(session))


def are_found(session: AnnotationSession, found: TrackedEverything) -> set[str]:
    return {kind for object_id, kind in are(session).items() if object_id in found.object_ids}


def test_a_daughter_that_was_removed_is_not_proposed_again(session, find):
    have(session, TRUTH[0] | TRUTH[1])
    (division,) = find(session).proposed
    (born,) = {*division.daughters} - {division.mother}
    session.remove_object(born)
    found = find(session)
    assert not found.object_ids + found.proposed + found.divisions


def test_nothing_is_lost_where_an_object_goes_from_one_cell_to_another(session, find):
    """Up to frame 2 it lies on the left cell, then on the right one: the rest of both is found."""
    mixed = have(session, dict.fromkeys(BEFORE, LEFT) | dict.fromkeys(AFTER, RIGHT))
    find(session, [dict.fromkeys(range(6), one) for one in (LEFT, RIGHT)])
    assert sorted(are(session).values()) == ["---lll", "lllrrr", "rrr---"]
    assert not find(session, [dict.fromkeys(range(6), one) for one in (LEFT, RIGHT)]).object_ids
    assert are(session)[mixed] == "lllrrr"


def test_new_masks_take_nothing_from_those_that_are_there(session, find):
    mine = have(session, dict.fromkeys(range(6), LEFT))
    beside = seen(42, 30, 6.5)
    find(session, [dict.fromkeys(range(6), LEFT), dict.fromkeys(range(6), beside)])
    assert are(session)[mine] == "llllll"
    for frame in range(6):
        one, other = (session.mask(each, frame) for each in session.objects)
        assert other.any()
        assert not (one & other).any()


def test_where_objects_may_overlap_one_in_another_is_found(store, find):
    cell, nucleus = seen(40, 30, 18), seen(40, 30, 9)
    for overlapping, number in ((None, 1), (True, 2)):
        session = AnnotationSession(
            np.zeros((6, *SHAPE), np.uint8), store, "nano@128", axes="TYX", overlapping=overlapping
        )
        have(session, dict.fromkeys(range(6), cell))
        find(session, [dict.fromkeys(range(6), nucleus)])
        assert len(session.objects) == number


def test_cells_in_an_outline_of_all_of_them_are_found(session, find):
    colony = have(session, dict.fromkeys(range(6), seen(40, 30, 28)))
    cells = [dict.fromkeys(range(6), seen(x, 30, 5)) for x in (30, 50)]
    assert len(find(session, cells).object_ids) == 2
    assert all(session.mask(one, 3).sum() > 60 for one in session.objects if one != colony)
    assert not find(session, cells).object_ids


def test_frames_on_which_a_person_says_that_it_is_not_are_not_named(session, find):
    mine = have(session, {0: OTHER, 1: OTHER})
    assert find(session).seen_beyond == {mine: (2, 3, 4, 5)}
    session.lineage.delete_from(mine, 4)
    session.lineage.mark_absent(mine, 2)
    assert find(session).seen_beyond == {mine: (3,)}


@pytest.mark.parametrize("answer", ["lineage", "verified"])
def test_a_question_that_was_answered_is_not_asked_again(session, find, answer):
    mother = have(session, TRUTH[0] | TRUTH[1])
    (division,) = find(session).proposed
    (born,) = {*division.daughters} - {mother}
    if answer == "verified":
        session.verify(born, [3])
    else:
        came_from(session, born, mother)
    assert (born, 3) not in {
        (item.object_id, item.frame) for item in review_queue(session) if item.score > 0.25
    }
    found = find(session)
    assert not found.object_ids + found.proposed + found.divisions


@pytest.mark.parametrize("later", [LEFT, BOTH], ids=["one", "both"])
def test_a_proposed_division_is_taken_in_one_step(session, find, later):
    mother = have(session, TRUTH[0] | dict.fromkeys(AFTER, later))
    find(session)
    before = are(session)
    (first, *_) = (one for one, kind in before.items() if kind == "---rrr")
    daughters = came_from(session, first, mother)
    assert sorted(are(session).values()) == ["---lll", "---rrr", "mmm---", "oooooo"]
    assert sorted(are(session)[one] for one in daughters) == ["---lll", "---rrr"]
    assert {session.objects[one].parents for one in daughters} == {(mother,)}
    assert not find(session).object_ids
    session.undo()
    assert are(session) == before
    assert not any(one.parents for one in session.objects.values())


def test_who_cannot_be_a_mother_is_refused_and_nothing_changes(session):
    early, late = have(session, TRUTH[0]), have(session, TRUTH[1])
    for daughter, mother in ((early, late), (late, late), (session.add_object(), early)):
        with pytest.raises(InputError, match="cannot have come from"):
            came_from(session, daughter, mother)
    assert are(session) == {early: "mmm---", late: "---lll", 3: "------"}


def test_what_was_removed_stays_out_of_a_session_that_is_opened_again(find, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", np.zeros((6, *SHAPE), np.uint8), metadata={"axes": "TYX"})
    with sam2_plugins.open(tmp_path / "cells.tif", model="nano@128") as work:
        find(work.annotation)
        (other,) = (one for one, kind in are(work.annotation).items() if kind == "oooooo")
        work.remove_object(other)
    with sam2_plugins.open(tmp_path / "cells.tif") as work:
        assert (len(work.objects), find(work.annotation).rejected) == (3, 1)
        work.undo()
        assert sorted(are(work.annotation).values()) == ["---lll", "---rrr", "mmm---", "oooooo"]


def test_labels_that_were_imported_with_gaps_stay_and_are_known(session, find):
    for frame, one in {0: MOTHER, 2: MOTHER, 4: RIGHT}.items():
        session.import_masks(frame, {300 if one is MOTHER else 7: one.mask.to_array()})
    found = find(session)
    assert found.seen_beyond == {7: (3, 5), 300: (1,)}
    assert are(session) == {7: "----r-", 300: "m-m---", 301: "oooooo", 302: "---lll"}
    (division,) = found.proposed  # one daughter is not seen where it begins
    assert (division.mother, {*division.daughters}, division.frame) == (300, {7, 302}, 3)


def test_a_run_that_was_stopped_while_it_stored_goes_on(session, find, monkeypatch):
    store_track, made = session.import_track, []

    def once(*arguments, **options):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(store_track(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(session, "import_track", once)
    with pytest.raises(KeyboardInterrupt):
        find(session)
    monkeypatch.undo()
    assert len(session.objects) == 3
    found = find(session)
    assert sorted(are(session).values()) == ["---lll", "---rrr", "mmm---", "oooooo"]
    (mother,) = (one for one, kind in are(session).items() if kind == "mmm---")
    born = {one.parents for one_id, one in session.objects.items() if are(session)[one_id] in DAUGHTERS}
    assert (born, len(found.object_ids)) == ({(mother,)}, 1)


def test_one_undo_and_one_redo_take_all_of_a_run(session, find):
    mother, left, right = (have(session, one) for one in TRUTH[:3])
    before = are(session)
    find(session)
    after = are(session)
    session.undo()
    assert (are(session), session.objects[left].parents, session.objects[right].parents) == (before, (), ())
    session.redo()
    assert (are(session), session.objects[left].parents) == (after, (mother,))
    assert session.undo_name == "find everything"


def test_an_object_whose_daughters_both_divide_is_asked_about_twice(session, find):
    ends = [seen(33, y, 4.6) for y in (25, 35)]
    tracks = [TRUTH[0], {3: LEFT, 4: LEFT}, TRUTH[2], {5: ends[0]}, {5: ends[1]}]
    mother = have(session, TRUTH[0] | tracks[1] | tracks[3])
    found = find(session, tracks)
    assert sorted(one.frame for one in found.proposed) == [3, 5]
    assert {one.mother for one in found.proposed} == {mother}
    assert len(session.objects) == 3


def test_a_daughter_that_is_seen_longer_than_her_sister_is_found(session, find):
    have(session, TRUTH[0] | dict.fromkeys(AFTER, BOTH))
    find(session, [TRUTH[0], {3: LEFT}, TRUTH[2]])
    assert sorted(are(session).values()) == ["---l--", "---rrr", "mmmbbb"]
