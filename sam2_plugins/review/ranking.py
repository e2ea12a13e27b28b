"""Review items in order, of which a few are exchanged at a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from itertools import chain

from sam2_plugins.review.cues import ReviewItem

__all__ = ["Ranking"]

Key = tuple[float, int, int]
"""Minus the score, object id and frame, which no two share: the most doubtful come first."""

_LONGEST = 512


class _Part:
    """Some items that follow one another."""

    def __init__(self, keys: list[Key], items: list[ReviewItem]) -> None:
        self.keys, self.items = keys, items


class Ranking:
    """Review items, the most doubtful first.

    They lie in short lists one after the other: to exchange some changes only the lists that they lie in, and
    makes no long one, which Python's garbage collection would go through at once.

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
        self._parts = [_Part([], [])]
        self._firsts: list[Key] = []  # where every part but the first begins

    def exchange(self, old: Iterable[ReviewItem], new: Collection[ReviewItem]) -> None:
        """Take items out and put others in."""
        for item in old:
            key = _key(item)
            part = self._parts[bisect_right(self._firsts, key)]
            place = bisect_left(part.keys, key)
            del part.keys[place], part.items[place]
        if len(new) > sum(len(part.keys) for part in self._parts):
            self._begin_with([*chain.from_iterable(part.items for part in self._parts), *new])
            return
        for item in new:
            key = _key(item)
            number = bisect_right(self._firsts, key)
            part = self._parts[number]
            place = bisect_left(part.keys, key)
            part.keys.insert(place, key)
            part.items.insert(place, item)
            if len(part.keys) > _LONGEST:
                self._split(number)

    def above(self, min_score: float) -> list[ReviewItem]:
        """Return the items with more than a score."""
        end = (-min_score,)
        number = bisect_left(self._firsts, end)
        last = self._parts[number]
        whole = (part.items for part in self._parts[:number])
        return [*chain.from_iterable(whole), *last.items[: bisect_left(last.keys, end)]]

    def _begin_with(self, items: list[ReviewItem]) -> None:
        items.sort(key=_key)
        size = _LONGEST // 2
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        self._parts = [_Part([_key(item) for item in part], part) for part in parts]
        self._firsts = [part.keys[0] for part in self._parts[1:]]

    def _split(self, number: int) -> None:
        part = self._parts[number]
        half = len(part.keys) // 2
        rest = _Part(part.keys[half:], part.items[half:])
        del part.keys[half:], part.items[half:]
        self._parts.insert(number + 1, rest)
        self._firsts.insert(number, rest.keys[0])


def _key(item: ReviewItem) -> Key:
    return -item.score, item.object_id, item.frame
