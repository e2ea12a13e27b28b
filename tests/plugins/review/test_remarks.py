"""What was noticed while tracking: kept with the mask, and said by the review."""

from pathlib import Path

import numpy as np
import pytest

from sam2_engine.masks import CompressedMask
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.memory_policies.policy import Exchange, FrameNote
from sam2_engine.video.scene_changes import SceneChange
from sam2_plugins.review.cues import REMARK
from sam2_plugins.review.queue import review_queue
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskRemark, MaskScores
from sam2_plugins.storage.mask_store import read_masks, write_masks

SQUARE = CompressedMask.from_array(np.pad(np.ones((20, 20), bool), ((20, 20), (30, 30))))
SURE = MaskScores(1.0, 0.95, 0.98)


@pytest.mark.parametrize(
    ("change", "rivals", "expected"),
    [
        (SceneChange.NONE, (), MaskRemark.NONE),
        (SceneChange.CUT, (), MaskRemark.CUT),
        (SceneChange.BLANK, (), MaskRemark.BLANK),
        (SceneChange.NONE, (4,), MaskRemark.GAVE_WAY),
    ],
)
def test_a_result_says_it(change: SceneChange, rivals: tuple[int, ...], expected: MaskRemark) -> None:
    logits, one = np.full((1, 16, 16), 4, np.float32), np.ones(1, np.float32)
    note = FrameNote(0.9, 5.0, 9, (0, 0, 1, 1), rivals=rivals)
    result = FrameResult(3, (1,), logits, one, one, (60, 80), scene_change=change, notes=(note,))
    assert AcceptedMask.predicted(result, 0, MaskOrigin.TRACKED).remark is expected


def test_a_result_says_that_objects_were_exchanged_back() -> None:
    logits, one = np.full((2, 16, 16), 4, np.float32), np.ones(2, np.float32)
    notes = [FrameNote(0.9, 5.0, 9, (0, 0, 1, 1), exchanged=Exchange(other, 1)) for other in (7, 4)]
    result = FrameResult(3, (4, 7), logits, one, one, (60, 80), notes=tuple(notes))
    assert result.exchanges == {(4, 7): 1}
    remarks = [AcceptedMask.predicted(result, index, MaskOrigin.TRACKED).remark for index in range(2)]
    assert remarks == [MaskRemark.EXCHANGED] * 2


def test_it_is_stored(tmp_path: Path) -> None:
    masks = {
        frame: AcceptedMask(SQUARE, MaskOrigin.TRACKED, SURE, remark=remark)
        for frame, remark in enumerate(MaskRemark)
    }
    write_masks(tmp_path / "1", (60, 80), masks)
    assert read_masks(tmp_path / "1") == (masks, "")


@pytest.mark.parametrize(
    ("noticed", "reason"),
    [
        (MaskRemark.CUT, "another shot begins with this frame"),
        (MaskRemark.EXCHANGED, "it was exchanged back with another object, as it goes on as that one did"),
    ],
)
def test_the_review_says_it(session: AnnotationSession, noticed: MaskRemark, reason: str) -> None:
    cell = session.add_object()
    with session._edit("masks", {"do": "nothing"}):
        for frame in range(4):
            remark = noticed if frame == 2 else MaskRemark.NONE
            mask = AcceptedMask(SQUARE, MaskOrigin.TRACKED, SURE, remark=remark)
            session.annotations.set_mask(cell, frame, mask)
    first, *others = review_queue(session)
    assert (first.frame, first.reason) == (2, reason)
    assert all(first.score > one.score for one in others)
    assert REMARK > 0
