"""Session folders: whatever was done is there again after a crash, and can be replayed."""

import json
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_engine.errors import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.importing.masks import import_masks, open_masks
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_manifest, read_session, snapshot
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.manifest import FORMAT_VERSION
from sam2_plugins.storage.replay import differences, replay


def described(session: AnnotationSession) -> dict:
    """Everything that a user could see, in values that can be compared."""
    return {
        "objects": dict(session.objects),
        "prompts": {
            (i, f): [
                (p.box, p.mask, p.points and (p.points.coordinates.tolist(), p.points.labels.tolist()))
                for p in prompts
            ]
            for i in session.objects
            for f, prompts in session.prompts_of(i).items()
        },
        "masks": {(i, f): session.accepted(i, f) for i in session.objects for f in session.frames_of(i)},
        "verified": {i: session.verified(i) for i in session.objects},
        "labels": [session.label_image(f).tolist() for f in range(len(session))],
        "next": session.annotations.highest_used_id,
        "removed": session.annotations.removed_ids,
    }


@pytest.fixture
def stack(tmp_path: Path, discs) -> Path:
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    return path


@pytest.fixture
def saved(tmp_path, stack, store, small_checkpoint):
    session = AnnotationSession(stack, store, small_checkpoint)
    folder = SessionFolder.create(tmp_path / "work.sam2", session, source=stack)
    yield session, folder
    folder._lock.release()
    session.frames.close()


def annotate(session: AnnotationSession) -> None:
    """A bit of everything."""
    session.add_points(0, session.add_object("left"), [(20, 20), (22, 18)], [1, 1])
    session.add_box(2, session.add_object(label="cell"), (50, 28, 70, 48))
    steps = session.iter_propagate()
    for _ in range(3):
        next(steps)
    session.add_points(4, 1, (60, 40), [0])
    list(steps)
    session.verify(1, [2, 3])
    painted = np.zeros(session.shape, bool)
    painted[5:15, 5:25] = True
    session.add_mask(6, 1, painted)
    list(session.propagate(start=6))
    session.lineage.divide(2, 5)
    session.edit_object(3, name="daughter", color=(1, 2, 3))
    session.add_points(5, 3, (60, 36))
    session.import_masks(1, {9: painted})
    session.add_points(1, 9, (10, 8))
    session.remove_object(4)
    session.undo()
    session.undo()
    session.redo()
    list(session.propagate([1], start=3, reverse=True))


def crashed_copy(folder: Path, to: Path) -> Path:
    """The folder as a killed process leaves it."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".lock"))
    return to


def test_numbers_of_numpy_are_stored_as_any_other(saved, store, small_checkpoint):
    """Was: a TypeError at the first frame from ``np.arange``, and nothing after it was saved."""
    session, folder = saved
    object_id = session.add_object()
    for frame in np.arange(2):
        session.add_points(frame, np.int64(object_id), np.array([20, 20]))
    list(session.propagate(start=np.int64(0), stop=np.uint8(5)))
    session.verify(object_id, np.array([1]), np.True_)
    daughters = session.lineage.divide(np.int32(object_id), np.int64(4))
    session.lineage.mark_absent(daughters[0], np.int64(5), np.int64(6))
    session.clear_prompts(np.int64(object_id), np.int64(0))
    folder.snapshot()
    session.edit_object(np.int64(object_id), name="mother")
    folder.close()
    again, opened = open_session(folder.path, store)
    opened.close()
    assert described(again) == described(session)
    assert folder.save_error is None
    once_more = AnnotationSession(session.frames, store, small_checkpoint)
    list(replay(once_more, folder.calls()))
    assert described(once_more) == described(session)


def test_ids_that_no_object_had_are_free_in_a_reopened_session(saved, store):
    """Was: every id below the highest was refused, as if it had been used."""
    session, folder = saved
    session.add_object(object_id=70_000)
    session.remove_object(session.add_object(object_id=5))
    session.add_object()
    session.undo()
    folder.close()
    again, opened = open_session(folder.path, store)
    for one in (again, deepcopy(session)):
        assert one.add_object(object_id=2) == 2
        assert one.add_object() == 70_002
        for used in (5, 70_000, 70_001):
            with pytest.raises(InputError, match=f"id {used} was used before .* for example 70003"):
                one.add_object(object_id=used)
        one.frames.close()
    opened.close()


def test_of_a_session_that_stored_the_highest_id_alone_lower_ones_stay_refused(saved, store):
    session, folder = saved
    session.add_object(object_id=4)
    folder.close()
    state = json.loads((folder.path / "state.json").read_text())
    del state["removed_ids"]
    (folder.path / "state.json").write_text(json.dumps(state))
    for _ in range(2):  # it stays so when it is written again
        again, opened = open_session(folder.path, store)
        with pytest.raises(InputError, match="id 2 may have been used before"):
            again.add_object(object_id=2)
        again.add_object()
        again.frames.close()
        opened.close()


def test_a_killed_process_opens_where_it_was(saved, store, tmp_path):
    session, folder = saved
    annotate(session)
    copy = crashed_copy(folder.path, tmp_path / "copy")
    again, reopened = open_session(copy, store)
    assert described(again) == described(session)
    reopened.close()
    once_more, reopened = open_session(copy, store)
    assert described(once_more) == described(session)
    reopened.close()


def test_a_session_can_be_read_while_it_is_open_and_stays_as_it_is(saved, store):
    session, folder = saved
    annotate(session)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    reading = read_session(folder.path, store)
    assert described(reading) == described(session)
    reading.frames.close()
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_a_snapshot_in_the_middle_of_reading_is_read_again(saved, store, monkeypatch):
    session, folder = saved
    annotate(session)
    read = snapshot.read_masks
    written = []

    def interrupted(group: Path):
        if not written:
            session.add_object("meanwhile")
            written.append(folder.snapshot())
        return read(group)

    monkeypatch.setattr(snapshot, "read_masks", interrupted)
    folder.snapshot()
    reading = read_session(folder.path, store)
    assert written
    assert described(reading) == described(session)
    reading.frames.close()


def test_every_crash_point_opens_to_a_state_that_was(saved, store, tmp_path):
    """Cut the journal anywhere: what opens is the state after some action, never something between."""
    session, folder = saved
    states = [described(session)]
    session.history.subscribe(lambda _: states.append(described(session)))
    annotate(session)
    whole = (folder.path / "journal.jsonl").read_bytes()
    rng = np.random.default_rng(0)
    lengths = sorted({0, len(whole), *(int(x) for x in rng.integers(0, len(whole), 8))})
    for number, length in enumerate(lengths):
        copy = crashed_copy(folder.path, tmp_path / f"copy{number}")
        (copy / "journal.jsonl").write_bytes(whole[:length])
        again, reopened = open_session(copy, store)
        assert described(again) == states[whole[:length].count(b"\n")]
        again.add_object()
        reopened.close()
        after, reopened = open_session(copy, store)
        assert after.objects.keys() == again.objects.keys()
        reopened.close()


def test_a_crash_during_a_snapshot_loses_nothing(saved, store, tmp_path, monkeypatch):
    session, folder = saved
    annotate(session)
    expected = described(session)
    from sam2_plugins.storage import snapshot_writer

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for number, step in enumerate(("replacing", "write_masks")):
        with monkeypatch.context() as patch:
            patch.setattr(snapshot_writer, step, killed)
            with pytest.raises(KeyboardInterrupt):
                folder.snapshot()
        again, reopened = open_session(crashed_copy(folder.path, tmp_path / f"copy{number}"), store)
        assert described(again) == expected
        reopened.close()


def test_a_replay_gives_the_same_masks(saved, store, tmp_path, small_checkpoint):
    session, folder = saved
    annotate(session)
    again = AnnotationSession(session.frames, store, small_checkpoint)
    frames = sum(replay(again, folder.calls()))
    assert frames == sum(call["do"] == "follow" for call in folder.calls()) > 5
    assert differences(session, again) == []
    assert described(again) == described(session)


def test_what_was_undone_as_one_is_undone_as_one_again(saved, store, small_checkpoint):
    session, folder = saved
    left, right = session.add_object(), session.add_object()
    painted = np.zeros(session.shape, bool)
    painted[5:15, 5:25] = True
    for object_id in (left, right):  # one stroke over two objects
        session.add_mask(0, object_id, painted, undo_group="stroke")
    session.undo()
    session.add_points(0, left, (20, 20))
    list(session.propagate(stop=2))
    list(session.propagate(start=3, stop=5))  # two propagations, though the frames are in a row
    session.undo()
    again = AnnotationSession(session.frames, store, small_checkpoint)
    list(replay(again, folder.calls()))
    assert session.frames_of(left) == [0, 1, 2]
    assert described(again) == described(session)
    assert (again.undo_name, again.redo_name) == (session.undo_name, session.redo_name)


def test_an_import_with_a_click_in_between_is_one_step_in_a_replay_too(saved, store, small_checkpoint):
    session, folder = saved
    labels = np.zeros((8, 60, 80), np.uint16)
    labels[:, 5:15, 5:25] = 5
    own = session.add_object()
    with open_masks(labels, session.shape, len(session)) as masks:
        for number, _ in enumerate(import_masks.steps(session, masks)):
            if number == 12:
                session.add_points(0, own, (60, 40))
    session.undo()
    assert session.prompts_of(own) == {}
    session.undo()
    assert list(session.objects) == [own]
    session.redo()
    again = AnnotationSession(session.frames, store, small_checkpoint)
    list(replay(again, folder.calls()))
    assert described(again) == described(session)
    assert (again.undo_name, again.redo_name) == (session.undo_name, session.redo_name)
    assert [session.undo_name, session.redo_name] == ["import masks", f"click on object {own}"]


def test_replay_of_a_reopened_session_from_the_command_line(saved, store, tmp_path, capsys):
    session, folder = saved
    annotate(session)
    folder.close()
    again, reopened = open_session(folder.path, store)
    again.add_points(7, 1, (34, 20))
    list(again.propagate(start=6, reverse=True))
    labels = [again.label_image(f) for f in range(8)]
    reopened.close()
    output = tmp_path / "labels.tif"
    assert main(["replay", str(folder.path), "-o", str(output), "--device", "cpu"]) == 0
    assert "masks are the same" in capsys.readouterr().out
    np.testing.assert_array_equal(tifffile.imread(output), labels)


def test_replay_computes_in_the_type_of_the_session(stack, small_checkpoint, tmp_path, capsys, monkeypatch):
    """Was: a session replayed on a machine that chose another type said that masks differ."""
    session = AnnotationSession(stack, ModelStore("cpu", "bfloat16"), small_checkpoint)
    folder = SessionFolder.create(tmp_path / "coarse.sam2", session, source=stack)
    annotate(session)
    folder.close()
    session.frames.close()
    assert read_manifest(folder.path)["computed_in"] == "bfloat16"
    monkeypatch.setenv("SAM2_DTYPE", "float32")
    assert ModelStore("cpu").compute_dtype == "float32"
    assert main(["replay", str(folder.path), "--device", "cpu"]) == 0
    assert "masks are the same" in capsys.readouterr().out


def test_replay_says_when_masks_differ(saved, store, capsys):
    session, folder = saved
    session.add_points(0, session.add_object(), (20, 20))
    folder.close()
    actions = folder.path / "actions.jsonl"
    actions.write_text(actions.read_text().replace("[20.0,20.0]", "[50.0,40.0]"))
    assert main(["replay", str(folder.path), "--device", "cpu"]) == 1
    assert "1 of 1 masks differ, the first: object 1 on frame 0" in capsys.readouterr().err


def test_a_full_disk_is_reported_and_what_was_missing_is_written_later(saved, store, tmp_path, monkeypatch):
    session, folder = saved
    session.add_points(0, session.add_object(), (20, 20))
    add = Journal.add

    def full(self: Journal, entries: list) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "add", full)
    list(session.propagate(stop=2))
    assert "No space left" in str(folder.save_error)
    assert session.frames_of(1) == [0, 1, 2]
    monkeypatch.setattr(Journal, "add", add)
    session.verify(1, [1])
    assert folder.save_error is None
    again, reopened = open_session(crashed_copy(folder.path, tmp_path / "copy"), store)
    assert described(again) == described(session)
    reopened.close()


def test_one_window_at_a_time(saved, store):
    with pytest.raises(InputError, match="open in another window"):
        open_session(saved[1].path, store)


def test_frames_that_are_not_the_sessions(saved, store, discs, stack):
    folder = saved[1]
    folder.close()
    with pytest.raises(InputError, match=r"\(8, 60, 80\), but these are \(7, 60, 80\)"):
        open_session(folder.path, store, discs[:7])
    with pytest.raises(InputError, match="made on other pixels"):
        open_session(folder.path, store, discs[::-1].copy())
    stack.unlink()
    with pytest.raises(InputError, match=r"discs\.tif"):
        open_session(folder.path, store)
    session, reopened = open_session(folder.path, store, discs)
    reopened.close()
    assert len(session) == 8


def test_what_is_no_session_or_a_newer_one(saved, tmp_path, store):
    with pytest.raises(InputError, match="not a session folder"):
        read_manifest(tmp_path)
    manifest = saved[1].path / "session.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": FORMAT_VERSION + 1}))
    with pytest.raises(InputError, match="newer version"):
        open_session(saved[1].path, store)
    manifest.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        open_session(saved[1].path, store)


def test_a_folder_that_is_in_use_for_something_else(tmp_path, session):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        SessionFolder.create(tmp_path, session)


def test_snapshots_leave_no_old_masks_behind(saved, store):
    session, folder = saved
    annotate(session)
    folder.snapshot()
    session.verify(1, [0])
    session.remove_object(2)
    folder.snapshot()
    groups = sorted(path.name.split("-")[0] for path in (folder.path / "masks.zarr").iterdir())
    assert groups == [str(i) for i in session.objects]
    assert folder._journal.num_bytes == 0


def test_the_documented_way_to_read_masks(saved, monkeypatch):
    """docs/session-format.md shows how to read a group without this package."""
    session, folder = saved
    annotate(session)
    folder.snapshot()
    text = (Path(__file__).parents[3] / "docs" / "session-format.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    code = code.replace("work.sam2", str(folder.path)) + "    seen[int(frame)] = mask\n"
    seen: dict[int, np.ndarray] = {}
    exec(code, {"seen": seen})
    assert seen.keys() == set(session.frames_of(1))
    for frame, mask in seen.items():
        np.testing.assert_array_equal(mask, session.mask(1, frame))
