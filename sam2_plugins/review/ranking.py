"""Review items in order, of which a few are exchanged at a time."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TypeVar

from sam2_plugins.review.cues import ReviewItem

__all__ = ["Ranking"]

T = TypeVar("T")
Key = tuple[float, int, int]
"""Minus the score, object id and frame: the most doubtful come first."""


class Ranking:
    """Review items, the most doubtful first.

    Exchanging a few costs a look-up for each and a copy of two lists, also among many thousands.

    Examples
    --------
    >>> a, b, c = (ReviewItem(1, frame, score, ("area",)) for frame, score in enumerate((0.2, 0.9, 0.5)))
    >>> ranking = Ranking()
    >>> ranking.exchange([], [a, b])
    >>> ranking.exchange([a], [c])
    >>> [item.score for item in ranking.above(0.1)]
    [0.9, 0.5]
    """

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._items: list[ReviewItem] = []

    def exchange(self, old: Iterable[ReviewItem], new: Iterable[ReviewItem]) -> None:
        """Take items out and put others in."""
        gone = sorted(bisect_left(self._keys, _key(item)) for item in old)
        keys, items = _without(self._keys, gone), _without(self._items, gone)
        entries = sorted(((_key(item), item) for item in new), key=itemgetter(0))
        places = [bisect_left(keys, key) for key, _ in entries]
        self._keys = _with(keys, places, [key for key, _ in entries])
        self._items = _with(items, places, [item for _, item in entries])

    def above(self, min_score: float) -> list[ReviewItem]:
        """Return the items with more than a score."""
        return self._items[: bisect_left(self._keys, (-min_score,))]


def _key(item: ReviewItem) -> Key:
    return -item.score, item.object_id, item.frame


def _without(values: Sequence[T], places: Iterable[int]) -> list[T]:
    kept: list[T] = []
    start = 0
    for place in places:
        kept += values[start:place]
        start = place + 1
    kept += values[start:]
    return kept


def _with(values: Sequence[T], places: Sequence[int], new: Sequence[T]) -> list[T]:
    """Return values with new ones, each before the value at its place; places ascend."""
    joined: list[T] = []
    start = 0
    for place, value in zip(places, new, strict=True):
        joined += values[start:place]
        joined.append(value)
        start = place
    joined += values[start:]
    return joined
