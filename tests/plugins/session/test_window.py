"""The intensities that the model sees: frozen, changed only on purpose, undone, stored and replayed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from sam2_engine.errors import InputError
from sam2_engine.preprocessing import IntensityWindow
from sam2_plugins.cli.app import main
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_session

WIDE, NARROW = IntensityWindow((0,), (60000,)), IntensityWindow((20000,), (30000,))


@pytest.fixture
def stack(tmp_path: Path, discs: Any) -> Path:
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, discs.astype(np.uint16) * 200, metadata={"axes": "TYX"})
    return path


@pytest.fixture
def session(stack: Path, store: Any, small_checkpoint: Path) -> Any:
    session = AnnotationSession(stack, store, small_checkpoint, contrast=WIDE)
    yield session
    session.frames.close()


def masks_of(session: AnnotationSession) -> list[Any]:
    return [session.label_image(frame).tolist() for frame in range(len(session))]


def click_and_track(session: AnnotationSession) -> None:
    session.add_points(0, session.add_object(), (20, 20))
    list(session.propagate(stop=4))


def test_masks_of_clicks_alone_are_predicted_anew_and_the_others_when_they_are_tracked(
    session: AnnotationSession, stack: Path, store: Any, small_checkpoint: Path
) -> None:
    click_and_track(session)
    painted = np.zeros(session.shape, bool)
    painted[5:9, 5:9] = True
    session.add_mask(0, session.add_object(), painted)
    session.add_points(0, session.add_object(), (60, 40))
    session.verify(3, [0])
    before = {(i, f): session.accepted(i, f) for i in (1, 2, 3) for f in session.frames_of(i)}
    session.set_window(NARROW)
    assert session.window == NARROW
    after = {(i, f): session.accepted(i, f) for i in (1, 2, 3) for f in session.frames_of(i)}
    assert {place for place in before if after[place] is not before[place]} == {(1, 0)}
    with AnnotationSession(stack, store, small_checkpoint, contrast=NARROW).frames as frames:
        other = AnnotationSession(frames, store, small_checkpoint, contrast=NARROW)
        other.add_points(0, other.add_object(), (20, 20))
        np.testing.assert_array_equal(session.mask(1, 0), other.mask(1, 0))
    list(session.propagate([1], stop=4))
    assert all(session.accepted(1, f) is not before[1, f] for f in range(5))


def test_it_is_one_step_to_undo(session: AnnotationSession) -> None:
    click_and_track(session)
    before = masks_of(session)
    session.set_window((20000, 30000))
    assert session.undo_name == "contrast"
    session.undo()
    assert session.window == WIDE
    assert masks_of(session) == before
    list(session.propagate(stop=4))
    assert masks_of(session) == before
    session.undo()
    session.redo()
    assert session.window == WIDE


def test_the_same_window_is_no_action(session: AnnotationSession) -> None:
    session.set_window(WIDE)
    assert session.undo_name is None
    with pytest.raises(InputError, match="from a lower to a higher"):
        session.set_window((5, 5))


def test_it_is_stored_and_replayed(
    session: AnnotationSession, stack: Path, store: Any, tmp_path: Path, capsys: Any
) -> None:
    folder = SessionFolder.create(tmp_path / "work.sam2", session, source=stack)
    click_and_track(session)
    session.set_window(NARROW)
    session.undo()
    session.redo()
    list(session.propagate(start=2, stop=4))
    read = read_session(folder.path, store)  # from the journal
    assert read.window == NARROW
    read.frames.close()
    folder.close()
    again, reopened = open_session(folder.path, store)  # from the snapshot
    assert again.window == NARROW
    assert masks_of(again) == masks_of(session)
    list(again.propagate(start=4))
    reopened.close()
    assert main(["replay", str(folder.path), "--device", "cpu"]) == 0
    assert "masks are the same" in capsys.readouterr().out


def test_fill_values_of_the_frames_are_part_of_every_window_stored_and_replayed(
    tmp_path: Path, discs: Any, store: Any, small_checkpoint: Path
) -> None:
    pixels = discs.astype(np.uint16) * 200
    pixels[:, :4] = 65535
    path = tmp_path / "discs.zarr"
    zarr.create_array(path, data=pixels, attributes={"_FillValue": 65535})
    session = AnnotationSession(path, store, small_checkpoint, axes="TYX")
    assert session.window is not None
    assert session.window.high[0] < 65535
    folder = SessionFolder.create(tmp_path / "work.sam2", session, source=path, opening={"axes": "TYX"})
    session.set_window((0, 60000))
    expected = IntensityWindow((0,), (60000,), ((65535, 65535),))
    assert session.window == expected
    read = read_session(folder.path, store)  # from the journal
    assert read.window == expected
    read.frames.close()
    folder.close()
    again, reopened = open_session(folder.path, store)  # from the snapshot
    assert again.window == expected
    again.undo()
    assert again.window is not None
    assert again.window.fill == expected.fill
    reopened.close()
    session.frames.close()
