"""The doubts of a session, worst first, kept up to date as it changes."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Generic, Protocol, TypeVar

from sam2_plugins.review.cues import PROMPTED_SHARE, CueInputs, Neighbor, ReviewItem, judge
from sam2_plugins.review.mask_features import ALONE, MaskFeatures, Overlap, overlaps_on
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

__all__ = ["MasksByObject", "Review", "Reviewable", "review_queue"]

MasksByObject = Mapping[int, Mapping[int, AcceptedMask]]
"""Masks by object id and frame."""


class Reviewable(Protocol):
    """What is read of an ``AnnotationSession``."""

    @property
    def objects(self) -> Mapping[int, object]:
        """All objects by id."""

    def frames_of(self, object_id: int) -> list[int]:
        """Frames on which something is known of an object, ascending."""

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """An object's mask on a frame."""

    def verified(self, object_id: int) -> Collection[int]:
        """Frames on which a person confirmed an object's mask."""


Key = TypeVar("Key")
Value = TypeVar("Value")


class _Memo(Generic[Key, Value]):
    """What was computed in the last round, for as long as its inputs are the same."""

    def __init__(self) -> None:
        self._last: dict[Key, tuple[tuple[object, ...], Value]] = {}
        self._now: dict[Key, tuple[tuple[object, ...], Value]] = {}

    def get(self, key: Key, inputs: tuple[object, ...], compute: Callable[[], Value]) -> Value:
        kept = self._last.get(key)
        if kept is None or kept[0] != inputs:  # tuples: what is the very same object is not compared further
            kept = (inputs, compute())
        self._now[key] = kept
        return kept[1]

    def end_round(self) -> None:
        """Forget what was not asked for in this round."""
        self._last, self._now = self._now, {}


class Review:
    """Doubts that are kept up to date: only what changed, and what is beside it, is looked at again.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._looks: _Memo[tuple[int, int], MaskFeatures] = _Memo()
        self._overlaps: _Memo[int, dict[int, Overlap]] = _Memo()
        self._doubts: _Memo[tuple[int, int], ReviewItem] = _Memo()

    def doubts(
        self, masks: MasksByObject, verified: Mapping[int, Collection[int]] | None = None
    ) -> list[ReviewItem]:
        """Return the doubt of every mask, object by object, frame by frame.

        Parameters
        ----------
        masks
            By object id and frame; the frames of each object ascending.
        verified
            By object id: frames whose mask a person confirmed.
        """
        verified = verified or {}
        doubts = [
            self._doubts.get((i, view.frame), view, partial(judge, i, view))
            for i, view in self.views(masks, verified)
        ]
        self._doubts.end_round()
        return doubts

    def views(
        self, masks: MasksByObject, verified: Mapping[int, Collection[int]]
    ) -> Iterator[tuple[int, CueInputs]]:
        """Yield object id and all that the cues look at, of every mask."""
        features = {
            i: {
                f: self._looks.get((i, f), (mask,), partial(MaskFeatures.of, mask))
                for f, mask in frames.items()
            }
            for i, frames in masks.items()
        }
        self._looks.end_round()
        overlaps = self._all_overlaps(masks, features)
        for object_id, frames in masks.items():
            sure = set(verified.get(object_id, ()))
            sure.update(frame for frame, mask in frames.items() if mask.origin == MaskOrigin.PAINTED)
            helped = {frame for frame, mask in frames.items() if mask.origin == MaskOrigin.PROMPTED}
            yield from _views_of_object(object_id, features[object_id], sure, helped, overlaps)

    def _all_overlaps(
        self, masks: MasksByObject, features: Mapping[int, Mapping[int, MaskFeatures]]
    ) -> dict[int, dict[int, Overlap]]:
        by_frame: dict[int, dict[int, AcceptedMask]] = {}
        for object_id, frames in masks.items():
            for frame, mask in frames.items():
                by_frame.setdefault(frame, {})[object_id] = mask
        found = {
            frame: self._overlaps.get(
                frame, tuple(there.items()), partial(overlaps_on, there, frame, features)
            )
            for frame, there in by_frame.items()
        }
        self._overlaps.end_round()
        return found


def review_queue(session: Reviewable, review: Review | None = None, least: float = 0.0) -> list[ReviewItem]:
    """Return what a person should look at, worst first; masks without any doubt are left out.

    Parameters
    ----------
    session
        An ``AnnotationSession``.
    review
        That of the last time, so that only what changed is looked at again; None looks at everything.
    least
        Doubts up to this are left out, 0..1.
    """
    ids = list(session.objects)
    masks: dict[int, dict[int, AcceptedMask]] = {object_id: {} for object_id in ids}
    for object_id, frames in masks.items():
        for frame in session.frames_of(object_id):
            accepted = session.accepted(object_id, frame)
            if accepted is not None:  # removed meanwhile
                frames[frame] = accepted
    doubts = (review or Review()).doubts(masks, {i: session.verified(i) for i in ids})
    return sorted((d for d in doubts if d.score > least), key=lambda d: (-d.score, d.object_id, d.frame))


def _views_of_object(
    object_id: int,
    features: Mapping[int, MaskFeatures],
    sure: Collection[int],
    helped: Collection[int],
    overlaps: Mapping[int, Mapping[int, Overlap]],
) -> Iterator[tuple[int, CueInputs]]:
    """Yield the views of one object's masks; ``sure`` frames are a person's, ``helped`` ones prompted."""
    frames = sorted(features)
    checked = [frame for frame in frames if frame in sure or frame in helped]
    for number, frame in enumerate(frames):
        place = bisect_left(checked, frame)
        around = (*checked[max(place - 1, 0) : place], *checked[place : place + 2])
        nearest = min((c for c in around if c != frame), key=lambda c: abs(c - frame), default=None)
        beside = frames[max(number - 1, 0) : number] + frames[number + 1 : number + 2]

        def neighbor(other: int, frame: int = frame) -> Neighbor:
            return Neighbor(other, abs(other - frame), features[other])

        yield (
            object_id,
            CueInputs(
                frame,
                features[frame],
                0.0 if frame in sure else PROMPTED_SHARE if frame in helped else 1.0,
                tuple(map(neighbor, beside)),
                None if nearest is None else neighbor(nearest),
                overlaps[frame].get(object_id, ALONE),
            ),
        )
