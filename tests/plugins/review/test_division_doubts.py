"""Divisions in the review: the least probable first, by name, until somebody has looked."""

import numpy as np
import pytest

from sam2_engine.masks import CompressedMask
from sam2_plugins.review import DOUBTFUL, LiveReview, review_queue
from sam2_plugins.review.cues import PERHAPS_BORN
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskRemark, MaskScores

SURE = MaskScores(1, 0.97, 1)


@pytest.fixture
def cells(store: ModelStore) -> AnnotationSession:
    return AnnotationSession(np.zeros((6, 60, 80), np.uint8), store, "nano@128", axes="TYX")


def track(session: AnnotationSession, x: float, radius: float, frames: range, **keywords: object) -> int:
    rows, columns = np.ogrid[:60, :80]
    y = keywords.pop("y", 30)
    mask = CompressedMask.from_array((columns - x) ** 2 + (rows - y) ** 2 < radius**2)
    masks = dict.fromkeys(frames, mask)
    return session.import_track(masks, dict.fromkeys(masks, SURE), **keywords)


def divide(session: AnnotationSession) -> tuple[int, int, int]:
    """An unlikely division: one goes on as large as before, the other one is small, and not beside it."""
    mother = track(session, 30, 8, range(3))
    one = track(session, 30, 8, range(3, 6), parents=(mother,))
    other = track(session, 32, 3, range(3, 6), y=46, parents=(mother,))
    return mother, one, other


def test_a_doubtful_division_comes_first_where_the_daughters_begin(cells: AnnotationSession) -> None:
    mother, one, other = divide(cells)
    cells.edit_object(mother, name="Ada")
    first, second, *_ = review_queue(cells)
    assert (first.object_id, first.frame) == (one, 3)
    assert first.score > DOUBTFUL > second.score
    said = f"it and object {other} may not come from Ada: that division is "
    assert first.told({mother: "Ada"}).startswith(said)
    cells.verify(one, [3])
    assert (one, 3) not in {(item.object_id, item.frame) for item in review_queue(cells)}


def test_a_probable_division_raises_no_doubt(cells: AnnotationSession) -> None:
    mother = track(cells, 30, 9, range(3))
    for x in (24, 36):
        track(cells, x, 6, range(3, 6), parents=(mother,))
    assert all(item.score < DOUBTFUL for item in review_queue(cells))


def test_a_division_that_was_not_taken_for_one_is_asked_about(cells: AnnotationSession) -> None:
    born = track(cells, 30, 8, range(2, 6), remark=MaskRemark.PERHAPS_BORN)
    first, *others = review_queue(cells)
    assert (first.object_id, first.frame, first.score) == (born, 2, PERHAPS_BORN)
    assert first.reason == "it begins beside an object that may have divided"
    assert PERHAPS_BORN > DOUBTFUL > others[0].score


def test_the_live_queue_follows_masks_lineage_and_undo(cells: AnnotationSession) -> None:
    live = LiveReview(cells)
    mother, one, _ = divide(cells)
    assert live.queue() == review_queue(cells)
    assert live.queue()[0].object_id == one
    cells.lineage.set_parents(one, ())
    assert live.queue() == review_queue(cells)
    assert live.queue()[0].score < DOUBTFUL
    cells.undo()
    assert live.queue()[0].object_id == one
    cells.remove_object(mother)
    assert live.queue() == review_queue(cells)
    assert live.queue()[0].score < DOUBTFUL


def test_a_division_that_was_proposed_is_judged_by_the_masks_of_now(cells: AnnotationSession) -> None:
    live = LiveReview(cells)
    mother = track(cells, 30, 9, range(3))
    goes_on = track(cells, 24, 6, range(3, 6))
    cells.lineage.merge(mother, goes_on)
    born = track(cells, 36, 6, range(3, 6), remark=MaskRemark.PERHAPS_BORN)
    asked = next(item for item in live.queue() if item.object_id == born)
    assert asked.frame == 3
    assert asked.reason.startswith(f"it may have come from object {mother}: that division is ")
    assert asked.score > 0.9
    for change in (
        lambda: cells.lineage.delete_from(mother, 2),
        lambda: cells.lineage.delete_from(mother, 1),
        cells.undo,
        cells.undo,
        lambda: cells.remove_object(mother),
        cells.undo,
    ):
        change()
        assert live.queue() == review_queue(cells)
    assert next(item for item in live.queue() if item.object_id == born) == asked
    for daughter in (cells.lineage.split(mother, 3), born):
        cells.lineage.set_parents(daughter, mother)
    assert all(item.score < DOUBTFUL for item in live.queue() if item.object_id == born)
    cells.undo()
    cells.remove_object(born)
    assert live.queue() == review_queue(cells)
