"""Objects that tracking exchanged back: their stored masks of the frames since they met, too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.video import choosing
from sam2_engine.video.identities import watch
from sam2_engine.video.memory_policies.policy import Exchange, FrameNote
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask, MaskRemark

Masks = dict[tuple[int, int], AcceptedMask]


def tracked(
    discs: NDArray[np.uint8], store: ModelStore, model: Path, verified: int | None
) -> AnnotationSession:
    session = AnnotationSession(discs, store, model, axes="TYX", overlapping=False)
    y, x = np.mgrid[:60, :80]
    for place in ((20, 20), (60, 40)):
        session.add_mask(0, session.add_object(), (x - place[0]) ** 2 + (y - place[1]) ** 2 < 80)
    group = object()
    for result in session.iter_propagate(stop=7, undo_group=group):
        if result.frame == verified:
            session.verify(1, [result.frame])
    return session


def masks_of(session: AnnotationSession) -> Masks:
    found = {(i, f): session.accepted(i, f) for i in session.objects for f in session.frames_of(i)}
    return {place: mask for place, mask in found.items() if mask is not None}


@pytest.fixture
def exchanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """On frame 6 each of both objects has been the other one since frame 3."""

    def watching(notes: dict[int, FrameNote], *given: object) -> dict[int, FrameNote]:
        result = watch(notes, *given)  # type: ignore[arg-type]
        if given[2] != 6 or len(notes) < 2:
            return result
        pairs = {1: Exchange(2, 3), 2: Exchange(1, 3)}
        return {i: replace(note, exchanged=pairs[i]) for i, note in result.items()}

    monkeypatch.setattr(choosing, "watch", watching)


@pytest.mark.parametrize("verified", [None, 4])
def test_masks_of_the_frames_since_are_exchanged(
    discs: NDArray[np.uint8],
    store: ModelStore,
    small_checkpoint: Path,
    request: pytest.FixtureRequest,
    verified: int | None,
) -> None:
    before = masks_of(tracked(discs, store, small_checkpoint, verified))
    request.getfixturevalue("exchanging")
    session = tracked(discs, store, small_checkpoint, verified)
    after = masks_of(session)
    assert any(before[1, f].mask != before[2, f].mask for f in (3, 5))
    for frame in range(7):
        is_other = frame >= 3 and frame != verified
        for one in (1, 2):
            assert after[one, frame].mask == before[3 - one if is_other else one, frame].mask, (one, frame)
    assert after[1, 6].remark == after[2, 6].remark == MaskRemark.EXCHANGED
    if verified is None:  # all of it is one action
        session.undo()
        assert {frame for _, frame in masks_of(session)} == {0}
