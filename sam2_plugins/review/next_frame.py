"""Next frame to correct of an object: the most doubtful one that no person has settled."""

from sam2_plugins.review.cues import ReviewItem
from sam2_plugins.review.queue import Review
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["frames_to_correct"]


def frames_to_correct(session: AnnotationSession, object_id: int) -> list[ReviewItem]:
    """Return the frames of an object that no person prompted or verified, the most doubtful first.

    Doubt alone decides. A correction also mends the frames around it, but rules that count these, by their
    doubts, by the distance to settled frames or by how many are tracked from it, were not shown to gain more.
    This one gains more than frames evenly spread (``benchmarks/results/review/masklets.md``).

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> y, x = np.ogrid[:64, :80]
    >>> frames = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(4)])
    >>> session = AnnotationSession(frames, ModelStore("cpu"), "nano@256")
    >>> disc = session.add_object("disc")
    >>> clicked = session.add_points(0, disc, (30, 32))
    >>> tracked = session.propagate()
    >>> sorted(one.frame for one in frames_to_correct(session, disc))
    [1, 2, 3]
    """
    masks = {one: session.annotations.masks_of(one) for one in session.objects}
    verified = {one: session.verified(one) for one in session.objects}
    settled = session.annotations.prompts_of(object_id).keys() | verified[object_id]
    open_ones = [
        item
        for item in Review().review_items(masks, verified)
        if item.object_id == object_id and item.frame not in settled
    ]
    return sorted(open_ones, key=lambda item: (-item.score, item.frame))
