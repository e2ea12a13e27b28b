"""Which frame to correct next: where a correction is expected to mend most."""

import pytest

from sam2_plugins.review.next_frame import expected_gains, frames_by_gain
from sam2_plugins.session.annotation_session import AnnotationSession


def best(doubts: list[float], settled: set[int]) -> int:
    gains = expected_gains(dict(enumerate(doubts)), settled)
    return max(gains, key=lambda frame: gains[frame])


def test_a_stretch_of_doubt_goes_before_one_frame_that_is_worse() -> None:
    assert best([0, 0.6, 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5], {0}) == 7


def test_a_right_mask_between_wrong_ones_is_not_corrected() -> None:
    assert best([0, 0.5, 0.0, 0.5, 0.5], {0}) != 2


def test_what_is_mended_ends_at_the_next_settled_frame() -> None:
    doubts = [0, 0.5, 0.5, 0, 0.5, 0.5, 0.5]
    assert best(doubts, {0, 3}) == 5
    gains = expected_gains(dict(enumerate(doubts)), {0, 3})
    assert gains.keys() == {1, 2, 4, 5, 6}
    assert gains[1] == pytest.approx(0.25 * (1 + 2.718281828 ** (-1 / 8)))


def test_frames_of_a_session_are_ranked(session: AnnotationSession) -> None:
    disc = session.add_object()
    session.add_points(0, disc, (20, 20))
    session.propagate()
    session.verify(disc, [4])
    ranked = frames_by_gain(session, disc)
    assert {one.frame for one in ranked} == {1, 2, 3, 5, 6, 7}
    assert [one.gain for one in ranked] == sorted((one.gain for one in ranked), reverse=True)
