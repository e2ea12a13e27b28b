"""Another model in the middle of work: everything a person did stays, and it can all be done again."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from small_model import SMALL

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.loading import save_model
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_manifest
from sam2_plugins.storage.replay import differences, replay


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same kind with other weights, so with other masks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Sam2(SMALL)
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 6.0)
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def worked(discs, store, small_checkpoint) -> AnnotationSession:
    """Two objects tracked by the first model, one of them corrected, a frame verified."""
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX")
    session.add_points(0, session.add_object(), (20, 20))
    session.add_box(0, session.add_object(), (50, 30, 70, 50))
    list(session.propagate())
    session.add_points(5, 2, (60, 35))
    session.verify(2, [3])
    return session


def everything(session: AnnotationSession) -> dict:
    masks = {(i, f): session.accepted(i, f) for i in session.objects for f in session.frames_of(i)}
    return {
        "objects": dict(session.objects),
        "masks": masks,
        "verified": {i: session.verified(i) for i in session.objects},
        "undo": session.undo_name,
    }


def test_what_was_done_stays_and_can_still_be_undone(worked, other_checkpoint):
    before = everything(worked)
    worked.use_model(other_checkpoint)
    assert worked.model_name == str(other_checkpoint)
    assert everything(worked) == before
    while worked.undo_name:
        worked.undo()
    assert not worked.objects
    while worked.redo_name:
        worked.redo()
    assert everything(worked) == before


def test_the_other_model_computes_from_now_on(worked, other_checkpoint, discs, store):
    worked.use_model(other_checkpoint)
    expected = AnnotationSession(discs, store, other_checkpoint, axes="TYX")
    expected.add_object(), expected.add_object()
    expected.add_points(0, 1, (20, 20))
    list(worked.repredict(worked.single_frame_prompts()))
    list(worked.propagate([1]))
    list(expected.propagate([1]))
    assert all(np.array_equal(worked.mask(1, f), expected.mask(1, f)) for f in range(len(worked)))


def test_only_what_comes_of_its_prompts_alone_is_predicted_again(worked, other_checkpoint):
    before = everything(worked)["masks"]
    worked.use_model(other_checkpoint)
    assert worked.single_frame_prompts() == [(1, 0)]  # object 2 was corrected, with memories, on frame 5
    list(worked.repredict([(1, 0), (2, 3), (9, 0), (2, 4)]))
    after = everything(worked)["masks"]
    assert [place for place in after if after[place] is not before[place]] == [(1, 0)]
    worked.undo()
    assert everything(worked)["masks"] == before


def test_a_painted_mask_is_no_prediction(worked, disc_mask):
    worked.add_mask(0, 1, disc_mask)
    assert worked.single_frame_prompts() == []


def test_a_model_that_is_not_there_changes_nothing(worked, small_checkpoint):
    with pytest.raises(InputError, match="no model 'nanoo'"):
        worked.use_model("nanoo")
    assert worked.model_name == str(small_checkpoint)


@pytest.mark.parametrize("snapshot", [False, True])
def test_it_is_recorded_and_can_be_replayed(
    discs, store, small_checkpoint, other_checkpoint, tmp_path, snapshot
):
    stack = tmp_path / "discs.tif"
    tifffile.imwrite(stack, discs, metadata={"axes": "TYX"})
    session = AnnotationSession(stack, store, small_checkpoint)
    folder = SessionFolder.create(tmp_path / "work.sam2", session, source=stack)
    session.add_points(0, session.add_object(), (20, 20))
    steps = session.iter_propagate()
    next(steps), next(steps)
    session.use_model(other_checkpoint)  # in the middle of a propagation, which the other model ends
    list(steps)
    list(session.repredict(session.single_frame_prompts()))
    list(session.propagate(start=4))
    if snapshot:
        folder.snapshot()
    folder._lock.release()
    session.frames.close()

    again, folder = open_session(folder.path, store)
    assert again.model_name == str(other_checkpoint)
    assert not differences(session, again)
    replayed = AnnotationSession(discs, store, read_manifest(folder.path)["model"], axes="TYX")
    list(replay(replayed, folder.calls()))
    assert replayed.model_name == str(other_checkpoint)
    assert not differences(again, replayed)
    folder.close()
