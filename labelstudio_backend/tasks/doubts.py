"""Scores of predictions and regions by the review's doubt, with one meaning for images and videos."""

from collections.abc import Iterable

from sam2_plugins.review import Review, ReviewItem, review_queue
from sam2_plugins.review.queue import MasksByObject
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["scores_by_object", "scores_in_session", "task_score"]


def scores_by_object(masks: MasksByObject, review: Review | None = None) -> dict[int, float]:
    """Return 1 less the largest doubt about each object, over all frames on which it has a mask.

    Parameters
    ----------
    masks
        By object id and frame; all objects of the image or the video, as their overlaps are doubtful, too.
    review
        That of the last time, so that only what changed is computed anew; None computes everything.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_engine.masks import CompressedMask
    >>> from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskScores
    >>> mask = CompressedMask.from_array(np.pad(np.ones((10, 10), bool), 20))
    >>> tracked = {
    ...     frame: AcceptedMask(mask, MaskOrigin.TRACKED, MaskScores(1.0, iou, 0.95))
    ...     for frame, iou in enumerate((0.9, 0.4))
    ... }
    >>> scores = scores_by_object({1: {0: tracked[0]}, 2: tracked})
    >>> scores[1] > scores[2] == task_score(scores.values())
    True
    """
    return _scores(masks, (review or Review()).review_items(masks))


def scores_in_session(session: AnnotationSession) -> dict[int, float]:
    """Return 1 less the largest doubt about each object of a session, its division among them."""
    return _scores(session.objects, review_queue(session))


def _scores(objects: Iterable[int], items: Iterable[ReviewItem]) -> dict[int, float]:
    worst = dict.fromkeys(objects, 0.0)
    for item in items:
        worst[item.object_id] = max(worst[item.object_id], item.score)
    return {object_id: 1.0 - doubt for object_id, doubt in worst.items()}


def task_score(scores: Iterable[float]) -> float:
    """Return the score of a prediction, that of its most doubtful object; 0 if nothing was found.

    So the tasks that need a person most come first where they are sorted by it, ascending.
    """
    return min(scores, default=0.0)
