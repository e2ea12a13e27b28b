"""Review items in order, of which a few are exchanged at a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import overload

from sam2_plugins.review.cues import ReviewItem

__all__ = ["RankedItems", "Ranking"]

Key = tuple[float, int, int]
"""Minus the score, object id and frame, which no two share: the most doubtful come first."""

_LONGEST = 512


class _Part:
    """Some items that follow one another."""

    def __init__(self, keys: list[Key], items: list[ReviewItem]) -> None:
        self.keys, self.items = keys, items
        self._is_shared = False

    def share(self) -> list[ReviewItem]:
        """Return the items, in a list that stays as it is."""
        self._is_shared = True
        return self.items

    def own_items(self) -> list[ReviewItem]:
        """Return the items, in a list that nobody else sees."""
        if self._is_shared:
            self.items, self._is_shared = self.items.copy(), False
        return self.items


class RankedItems(Sequence[ReviewItem]):
    """Review items in order, as they were when they were asked for; as quickly made for many as for few.

    Examples
    --------
    >>> doubts = [[ReviewItem(1, 0, 0.9, ())], [ReviewItem(1, 1, 0.5, ()), ReviewItem(2, 0, 0.2, ())]]
    >>> items = RankedItems(doubts)
    >>> len(items), items[-1].score, [item.score for item in items[:2]]
    (3, 0.2, [0.9, 0.5])
    """

    def __init__(self, parts: Sequence[list[ReviewItem]]) -> None:
        self._parts = parts
        self._ends = [*accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[ReviewItem]:
        return chain.from_iterable(self._parts)

    @overload
    def __getitem__(self, index: int) -> ReviewItem: ...
    @overload
    def __getitem__(self, index: slice) -> list[ReviewItem]: ...
    def __getitem__(self, index: int | slice) -> ReviewItem | list[ReviewItem]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        number = bisect_right(self._ends, place)
        return self._parts[number][place - self._ends[number]]  # counted from its end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]


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
            del part.keys[place], part.own_items()[place]
        if len(new) > sum(len(part.keys) for part in self._parts):
            self._begin_with([*chain.from_iterable(part.items for part in self._parts), *new])
            return
        for item in new:
            key = _key(item)
            number = bisect_right(self._firsts, key)
            part = self._parts[number]
            place = bisect_left(part.keys, key)
            part.keys.insert(place, key)
            part.own_items().insert(place, item)
            if len(part.keys) > _LONGEST:
                self._split(number)

    def above(self, min_score: float) -> RankedItems:
        """Return the items with more than a score."""
        end = (-min_score,)
        number = bisect_left(self._firsts, end)
        last = self._parts[number]
        whole = [part.share() for part in self._parts[:number]]
        return RankedItems([*whole, last.items[: bisect_left(last.keys, end)]])

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
        del part.keys[half:], part.own_items()[half:]
        self._parts.insert(number + 1, rest)
        self._firsts.insert(number, rest.keys[0])


def _key(item: ReviewItem) -> Key:
    return -item.score, item.object_id, item.frame
