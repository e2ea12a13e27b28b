"""Ranking of many items, of which some are exchanged."""

import gc

import numpy as np

from sam2_plugins.review.cues import ReviewItem
from sam2_plugins.review.ranking import Ranking


def item(object_id: int, frame: int, score: float) -> ReviewItem:
    return ReviewItem(object_id, frame, score, ("area",))


def in_order(items: dict) -> list[ReviewItem]:
    return sorted(items.values(), key=lambda one: (-one.score, one.object_id, one.frame))


def test_it_is_in_order_whatever_was_exchanged() -> None:
    rng = np.random.default_rng(0)
    ranking, items = Ranking(), {}
    for count in (0, 1, 5, 4000, 300, 2000, 0, 1, 300):
        places = {(int(rng.integers(1, 8)), int(rng.integers(1000))) for _ in range(count)}
        old = [items.pop(place) for place in places if place in items]
        new = [item(*place, round(float(rng.random()), 1)) for place in places if rng.random() < 0.8]
        ranking.exchange(old, new)
        items |= {(one.object_id, one.frame): one for one in new}
        assert ranking.above(-1) == in_order(items)
        assert ranking.above(0.5) == [one for one in in_order(items) if one.score > 0.5]
    ranking.exchange(items.values(), [])
    assert ranking.above(-1) == []
    ranking.exchange([], [item(1, 1, 0.5)])
    assert ranking.above(0) == [item(1, 1, 0.5)]


def test_no_list_grows_with_the_items() -> None:
    """A new long list is gone through by the next garbage collection, at every click."""
    gc.collect()
    gc.freeze()
    ranking = Ranking()
    ranking.exchange([], [item(1, frame, frame / 20_000) for frame in range(20_000)])
    ranking.exchange([], [item(2, frame, 0.5) for frame in range(5_000)])
    held = max(len(one) for one in gc.get_objects() if type(one) is list and one)
    gc.unfreeze()
    assert held < 1000


def test_what_was_asked_for_stays_and_shares_its_lists() -> None:
    """A queue of 20,000 masks is as quickly made as one of 20; only the lists that change are copied."""
    ranking = Ranking()
    items = [item(1, frame, 0.1 + frame / 30_000) for frame in range(20_000)]
    ranking.exchange([], items)
    before = ranking.above(0)
    as_list = list(before)
    ranking.exchange([items[7], items[9_000]], [item(1, 7, 0.5)])
    after = ranking.above(0)
    assert list(before) == as_list
    assert len(after) == len(before) - 1
    shared = sum(one is other for one in after._parts for other in before._parts)
    assert shared >= len(before._parts) - 4
    assert before[-1] is items[0]
    assert before[:3] == as_list[:3]
    assert [before[place] for place in (0, 300, 19_999)] == [as_list[place] for place in (0, 300, 19_999)]
