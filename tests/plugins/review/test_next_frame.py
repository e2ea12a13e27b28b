"""Which frame to correct next: the most doubtful one that nobody has settled."""

from sam2_plugins.review import Review
from sam2_plugins.review.next_frame import frames_to_correct
from sam2_plugins.session.annotation_session import AnnotationSession


def test_frames_that_nobody_settled_are_ranked_by_their_doubt(session: AnnotationSession) -> None:
    disc = session.add_object()
    session.add_points(0, disc, (20, 20))
    session.propagate()
    session.verify(disc, [4])
    ranked = frames_to_correct(session, disc)
    assert {one.frame for one in ranked} == {1, 2, 3, 5, 6, 7}
    masks = {disc: session.annotations.masks_of(disc)}
    doubts = {one.frame: one.score for one in Review().review_items(masks, {disc: session.verified(disc)})}
    assert [doubts[one.frame] for one in ranked] == sorted(
        (doubts[frame] for frame in (1, 2, 3, 5, 6, 7)), reverse=True
    )
