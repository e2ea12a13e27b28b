"""Review items of a session, the most doubtful first, updated as it changes."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Protocol

from sam2_plugins.review.cues import CueInputs, ReviewItem, review_mask
from sam2_plugins.review.encounters import Encounters
from sam2_plugins.review.families import Families
from sam2_plugins.review.mask_features import NO_OVERLAP, Overlap, frame_overlaps
from sam2_plugins.review.ranking import RankedItems, Ranking
from sam2_plugins.review.reviewed_object import ReviewedObject
from sam2_plugins.runtime.garbage import making_what_stays
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject, ChangeKind
from sam2_plugins.session.history import Action
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["DOUBTFUL", "LiveReview", "MasksByObject", "Review", "ReviewableSession", "review_queue"]

DOUBTFUL = 0.25
"""From this doubt on a mask is called doubtful; the queue goes on below it."""

_MANY = 10_000
"""Masks to measure at once, which a click never brings about but opening a long session does."""
MasksByObject = Mapping[int, Mapping[int, AcceptedMask]]
"""Masks by object id and frame."""


class ObjectWithParents(Protocol):
    """What the review reads of an object."""

    @property
    def parents(self) -> Sequence[int]:
        """Ids of the objects that it came from."""


class ReviewableSession(Protocol):
    """What the review reads of an ``AnnotationSession``."""

    @property
    def objects(self) -> Mapping[int, ObjectWithParents]:
        """All objects by id."""

    def frames_of(self, object_id: int) -> list[int]:
        """Frames on which an object is annotated, ascending."""

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """An object's mask on a frame."""

    def verified(self, object_id: int) -> Collection[int]:
        """Frames on which a person confirmed an object's mask."""


class Review:
    """Review items, of which only those are computed anew that depend on what has changed.

    Not for several threads at once.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_engine.masks import CompressedMask
    >>> from sam2_plugins.session.masks import MaskOrigin, MaskScores
    >>> mask = CompressedMask.from_array(np.pad(np.ones((10, 10), bool), 20))
    >>> def tracked(predicted_iou):
    ...     return AcceptedMask(mask, MaskOrigin.TRACKED, MaskScores(1.0, predicted_iou, 0.95))
    >>> masks = {1: {0: AcceptedMask.painted(mask), 1: tracked(0.93), 2: tracked(0.41), 3: tracked(0.94)}}
    >>> review = Review()
    >>> items = review.review_items(masks)
    >>> for item in items[:3]:
    ...     print(item.frame, item.reason)
    0 a person has confirmed it
    1 nothing is unusual about it
    2 the model is not sure of the outline
    >>> review.change(1, 2, tracked(0.97), verified=False)
    >>> [item.frame for item in review.queue()]  # the most doubtful first
    [3, 1, 2]
    """

    def __init__(self) -> None:
        self._objects: dict[int, ReviewedObject] = {}
        self._by_frame: dict[int, dict[int, AcceptedMask]] = {}
        self._overlaps: dict[int, dict[int, Overlap]] = {}
        self._outdated: set[tuple[int, int]] = set()
        self._moved: set[int] = set()
        self._families = Families()
        self._encounters = Encounters()
        self._ranking = Ranking()
        self._ranked: dict[tuple[int, int], ReviewItem] = {}
        self._worst: dict[int, float] = {}

    def change(self, object_id: int, frame: int, mask: AcceptedMask | None, *, verified: bool) -> None:
        """Take over that an object has this mask on a frame now (None: nothing is known there)."""
        known = self._objects.setdefault(object_id, ReviewedObject())
        moved = known.masks.get(frame) is not mask
        if mask is None:
            self._outdated.add((object_id, frame))
        changed = known.change(frame, mask, verified)
        self._outdated.update((object_id, other) for other in changed)
        if moved or changed:
            self._encounters.touch(object_id, frame)
        if moved:
            self._families.touch(object_id, frame, mask)
            self._moved.add(frame)
            there = self._by_frame.setdefault(frame, {})
            if mask is None:
                there.pop(object_id, None)
            else:
                there[object_id] = mask

    def descend(self, object_id: int, parents: Iterable[int]) -> None:
        """Take over whom an object came from."""
        self._families.change(object_id, parents)

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames of which a mask of an object was taken over."""
        return list(self._objects[object_id].frames) if object_id in self._objects else []

    def review_items(
        self, masks: MasksByObject, verified: Mapping[int, Collection[int]] | None = None
    ) -> list[ReviewItem]:
        """Return the review item of every mask, object by object, frame by frame.

        Parameters
        ----------
        masks
            By object id and frame; these are all that there are.
        verified
            By object id: frames whose mask a person confirmed.
        """
        self._take_over(masks, verified or {})
        self._update()
        return [self._objects[i].items[frame] for i in masks for frame in self._objects[i].frames]

    def cue_inputs(
        self, masks: MasksByObject, verified: Mapping[int, Collection[int]]
    ) -> Iterator[tuple[int, CueInputs]]:
        """Yield object id and inputs of the cues of every mask."""
        self._take_over(masks, verified)
        self._update()
        for object_id in masks:
            for frame in self._objects[object_id].frames:
                yield object_id, self._inputs(object_id, frame)

    def queue(self, min_score: float = 0.0) -> RankedItems:
        """Return the items with more than a score, the most doubtful first."""
        self._update()
        return self._ranking.above(min_score)

    def worst(self) -> dict[int, float]:
        """Return the largest doubt by object; objects of which nothing is to be reviewed are left out."""
        self._update()
        return self._worst.copy()

    def _take_over(self, masks: MasksByObject, verified: Mapping[int, Collection[int]]) -> None:
        for object_id in self._objects.keys() | masks.keys():
            now, confirmed = masks.get(object_id, {}), set(verified.get(object_id, ()))
            self._objects.setdefault(object_id, ReviewedObject())
            for frame in set(self.frames_of(object_id)) - now.keys():
                self.change(object_id, frame, None, verified=False)
            for frame, mask in now.items():
                self.change(object_id, frame, mask, verified=frame in confirmed)

    def _inputs(self, object_id: int, frame: int) -> CueInputs:
        overlap = self._overlaps.get(frame, {}).get(object_id, NO_OVERLAP)
        division, encounter = self._families.doubt(object_id, frame), self._encounters.asked(object_id, frame)
        return self._objects[object_id].inputs(frame, overlap, division, encounter)

    def _update(self) -> None:
        """Compute what is outdated, and put it into its place in the queue."""
        for frame in self._moved:
            before, there = self._overlaps.get(frame, {}), dict(sorted(self._by_frame[frame].items()))
            features = {i: self._objects[i].features[frame] for i in there}
            now = frame_overlaps(there, {i: one.area for i, one in features.items()})
            self._encounters.meet(frame, features, now)
            self._overlaps[frame] = now
            self._outdated.update((i, frame) for i in there if before.get(i) != now.get(i))
        self._outdated |= self._families.update(self._objects) | self._encounters.update(self._objects)
        old, new = [], []
        for object_id, frame in self._outdated:
            known = self._objects[object_id]
            if (item := self._ranked.pop((object_id, frame), None)) is not None:
                old.append(item)
            if frame in known.masks:
                item = known.items[frame] = review_mask(object_id, self._inputs(object_id, frame))
                self._ranked[object_id, frame] = item
                new.append(item)
        for object_id in {object_id for object_id, _ in self._outdated}:
            worst = max((item.score for item in self._objects[object_id].items.values()), default=0.0)
            if worst:
                self._worst[object_id] = worst
            else:
                self._worst.pop(object_id, None)
        self._moved.clear()
        self._outdated.clear()
        self._ranking.exchange(old, new)


def review_queue(
    session: ReviewableSession, review: Review | None = None, min_score: float = 0.0
) -> RankedItems:
    """Return what a person should look at, the most doubtful first; masks with a score of 0 are left out.

    Parameters
    ----------
    session
        An ``AnnotationSession``.
    review
        That of the last time, so that only what changed is computed anew; None computes everything.
    min_score
        Items up to this score are left out, 0..1.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from sam2_engine.masks import CompressedMask
    >>> from sam2_plugins.session.masks import MaskOrigin, MaskScores
    >>> mask = CompressedMask.from_array(np.pad(np.ones((10, 10), bool), 20))
    >>> scores = {0: 0.95, 1: 0.41, 2: 0.7}
    >>> session = SimpleNamespace(  # as an AnnotationSession
    ...     objects={1: SimpleNamespace(parents=())},
    ...     frames_of=lambda object_id: sorted(scores),
    ...     accepted=lambda object_id, frame: AcceptedMask(
    ...         mask, MaskOrigin.TRACKED, MaskScores(1.0, scores[frame], 0.95)
    ...     ),
    ...     verified=lambda object_id: {0},
    ... )
    >>> [(item.object_id, item.frame) for item in review_queue(session)]
    [(1, 1), (1, 2)]
    """
    review = review or Review()
    masks: dict[int, dict[int, AcceptedMask]] = {object_id: {} for object_id in session.objects}
    for object_id, frames in masks.items():
        for frame in session.frames_of(object_id):
            accepted = session.accepted(object_id, frame)
            if accepted is not None:  # removed meanwhile
                frames[frame] = accepted
    for object_id, one in session.objects.items():
        review.descend(object_id, one.parents)
    review.review_items(masks, {object_id: session.verified(object_id) for object_id in masks})
    return review.queue(min_score)


class LiveReview:
    """The review queue of a session that changes: what was done since the last time decides what is computed.

    Attributes
    ----------
    session
        Whose masks are reviewed.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((3, 64, 80), np.uint8), ModelStore())
    >>> live = LiveReview(session)
    >>> clicked = session.add_points(1, session.add_object(), (40, 32))
    >>> [(item.object_id, item.frame) for item in live.queue()]
    [(1, 1)]
    """

    def __init__(self, session: AnnotationSession) -> None:
        self.session = session
        self._review = Review()
        with session.annotations.lock:
            self._objects = set(session.objects)
            self._places: set[tuple[int, int]] = set()
            session.history.subscribe(self._on_action)

    def close(self) -> None:
        """Listen to the session no more."""
        self.session.history.unsubscribe(self._on_action)

    def queue(self) -> RankedItems:
        """Return what a person should look at now, as :func:`review_queue`."""
        annotations = self.session.annotations
        with annotations.lock:
            objects, self._objects = self._objects, set()
            places, self._places = self._places, set()
            known = annotations.objects() if objects else {}
        for object_id in objects:
            self._review.descend(object_id, known[object_id].parents if object_id in known else ())
            frames = {*self._review.frames_of(object_id), *annotations.frames_of(object_id)}
            places |= {(object_id, frame) for frame in frames}
        with making_what_stays() if len(places) > _MANY else nullcontext():
            for object_id, frame in sorted(places):
                mask, verified = annotations.mask(object_id, frame), annotations.is_verified(object_id, frame)
                self._review.change(object_id, frame, mask, verified=verified)
            return self._review.queue()

    def worst(self) -> dict[int, float]:
        """Return the largest doubt by object, as of the last :meth:`queue`."""
        return self._review.worst()

    def _on_action(self, action: Action) -> None:
        for change in action.changes:
            if change.kind is ChangeKind.OBJECT:
                if _lineage(change.before) != _lineage(change.after):  # else its name, or the like
                    self._objects.add(change.object_id)
            elif change.frame is not None:
                self._places.add((change.object_id, change.frame))


def _lineage(one: object) -> tuple[int, ...] | None:
    """Return whom an object came from; None of one that is not there."""
    return one.parents if isinstance(one, AnnotatedObject) else None
