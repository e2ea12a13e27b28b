"""Review items of a session, the most doubtful first, updated as it changes."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Generic, Protocol, TypeVar

from sam2_plugins.review.cues import PROMPTED_FACTOR, CueInputs, Neighbor, ReviewItem, review_mask
from sam2_plugins.review.mask_features import NO_OVERLAP, MaskFeatures, Overlap, frame_overlaps
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

__all__ = ["MasksByObject", "Review", "ReviewableSession", "review_queue"]

MasksByObject = Mapping[int, Mapping[int, AcceptedMask]]
"""Masks by object id and frame."""


class ReviewableSession(Protocol):
    """What the review reads of an ``AnnotationSession``."""

    @property
    def objects(self) -> Mapping[int, object]:
        """All objects by id."""

    def frames_of(self, object_id: int) -> list[int]:
        """Frames on which an object is annotated, ascending."""

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """An object's mask on a frame."""

    def verified(self, object_id: int) -> Collection[int]:
        """Frames on which a person confirmed an object's mask."""


Key = TypeVar("Key")
Value = TypeVar("Value")


class _Memo(Generic[Key, Value]):
    """Values computed in the last round, reused while their inputs are the same."""

    def __init__(self) -> None:
        self._last: dict[Key, tuple[tuple[object, ...], Value]] = {}
        self._now: dict[Key, tuple[tuple[object, ...], Value]] = {}

    def get(self, key: Key, inputs: tuple[object, ...], compute: Callable[[], Value]) -> Value:
        entry = self._last.get(key)
        if entry is None or entry[0] != inputs:  # tuples: identical items are not compared further
            entry = (inputs, compute())
        self._now[key] = entry
        return entry[1]

    def end_round(self) -> None:
        """Drop what was not asked for in this round."""
        self._last, self._now = self._now, {}


class Review:
    """Review items, of which only those of changed masks and their neighbors are computed anew.

    Not for several threads at once.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_engine.masks import CompressedMask
    >>> from sam2_plugins.session.masks import MaskScores
    >>> mask = CompressedMask.from_array(np.pad(np.ones((10, 10), bool), 20))
    >>> def tracked(predicted_iou):
    ...     return AcceptedMask(mask, MaskOrigin.TRACKED, MaskScores(1.0, predicted_iou, 0.95))
    >>> masks = {1: {0: AcceptedMask.painted(mask), 1: tracked(0.93), 2: tracked(0.41), 3: tracked(0.94)}}
    >>> items = Review().review_items(masks)
    >>> [(item.frame, item.reason) for item in items]
    [(0, 'confirmed by a person'), (1, 'nothing unusual'), (2, 'predicted IoU 0.41'), (3, 'nothing unusual')]
    """

    def __init__(self) -> None:
        self._features: _Memo[tuple[int, int], MaskFeatures] = _Memo()
        self._overlaps: _Memo[int, dict[int, Overlap]] = _Memo()
        self._items: _Memo[tuple[int, int], ReviewItem] = _Memo()

    def review_items(
        self, masks: MasksByObject, verified: Mapping[int, Collection[int]] | None = None
    ) -> list[ReviewItem]:
        """Return the review item of every mask, object by object, frame by frame.

        Parameters
        ----------
        masks
            By object id and frame; the frames of each object ascending.
        verified
            By object id: frames whose mask a person confirmed.
        """
        verified = verified or {}
        items = [
            self._items.get((i, inputs.frame), inputs, partial(review_mask, i, inputs))
            for i, inputs in self.cue_inputs(masks, verified)
        ]
        self._items.end_round()
        return items

    def cue_inputs(
        self, masks: MasksByObject, verified: Mapping[int, Collection[int]]
    ) -> Iterator[tuple[int, CueInputs]]:
        """Yield object id and inputs of the cues of every mask."""
        features = {
            i: {
                f: self._features.get((i, f), (mask,), partial(MaskFeatures.of, mask))
                for f, mask in frames.items()
            }
            for i, frames in masks.items()
        }
        self._features.end_round()
        overlaps = self._all_overlaps(masks, features)
        for object_id, frames in masks.items():
            confirmed = set(verified.get(object_id, ()))
            confirmed.update(frame for frame, mask in frames.items() if mask.origin == MaskOrigin.PAINTED)
            prompted = {frame for frame, mask in frames.items() if mask.origin == MaskOrigin.PROMPTED}
            yield from _cue_inputs_of_object(object_id, features[object_id], confirmed, prompted, overlaps)

    def _all_overlaps(
        self, masks: MasksByObject, features: Mapping[int, Mapping[int, MaskFeatures]]
    ) -> dict[int, dict[int, Overlap]]:
        by_frame: dict[int, dict[int, AcceptedMask]] = {}
        for object_id, frames in masks.items():
            for frame, mask in frames.items():
                by_frame.setdefault(frame, {})[object_id] = mask
        found = {
            frame: self._overlaps.get(
                frame, tuple(there.items()), partial(frame_overlaps, there, frame, features)
            )
            for frame, there in by_frame.items()
        }
        self._overlaps.end_round()
        return found


def review_queue(
    session: ReviewableSession, review: Review | None = None, min_score: float = 0.0
) -> list[ReviewItem]:
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
    >>> from sam2_plugins.session.masks import MaskScores
    >>> mask = CompressedMask.from_array(np.pad(np.ones((10, 10), bool), 20))
    >>> scores = {0: 0.95, 1: 0.41, 2: 0.7}
    >>> session = SimpleNamespace(  # as an AnnotationSession
    ...     objects={1: "cell"},
    ...     frames_of=lambda object_id: sorted(scores),
    ...     accepted=lambda object_id, frame: AcceptedMask(
    ...         mask, MaskOrigin.TRACKED, MaskScores(1.0, scores[frame], 0.95)
    ...     ),
    ...     verified=lambda object_id: {0},
    ... )
    >>> [(item.object_id, item.frame) for item in review_queue(session)]
    [(1, 1), (1, 2)]
    """
    ids = list(session.objects)
    masks: dict[int, dict[int, AcceptedMask]] = {object_id: {} for object_id in ids}
    for object_id, frames in masks.items():
        for frame in session.frames_of(object_id):
            accepted = session.accepted(object_id, frame)
            if accepted is not None:  # removed meanwhile
                frames[frame] = accepted
    items = (review or Review()).review_items(masks, {i: session.verified(i) for i in ids})
    return sorted((i for i in items if i.score > min_score), key=lambda i: (-i.score, i.object_id, i.frame))


def _cue_inputs_of_object(
    object_id: int,
    features: Mapping[int, MaskFeatures],
    confirmed: Collection[int],
    prompted: Collection[int],
    overlaps: Mapping[int, Mapping[int, Overlap]],
) -> Iterator[tuple[int, CueInputs]]:
    """Yield the inputs of one object's masks.

    ``confirmed`` frames are painted or verified by a person, ``prompted`` ones clicked or boxed.
    """
    frames = sorted(features)
    reviewed = [frame for frame in frames if frame in confirmed or frame in prompted]
    for number, frame in enumerate(frames):
        index = bisect_left(reviewed, frame)
        around = (*reviewed[max(index - 1, 0) : index], *reviewed[index : index + 2])
        nearest = min((c for c in around if c != frame), key=lambda c: abs(c - frame), default=None)
        beside = frames[max(number - 1, 0) : number] + frames[number + 1 : number + 2]

        def neighbor(other: int, frame: int = frame) -> Neighbor:
            return Neighbor(other, abs(other - frame), features[other])

        yield (
            object_id,
            CueInputs(
                frame,
                features[frame],
                0.0 if frame in confirmed else PROMPTED_FACTOR if frame in prompted else 1.0,
                tuple(map(neighbor, beside)),
                None if nearest is None else neighbor(nearest),
                overlaps[frame].get(object_id, NO_OVERLAP),
            ),
        )
