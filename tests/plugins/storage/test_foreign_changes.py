"""Session folders that another program changes, damages or half makes: nothing is lost, all of them open."""

import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from filelock import FileLock

from sam2_engine import open_frames
from sam2_engine.errors import InputError, InputWarning
from sam2_plugins.cli.app import main
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import (
    SessionFolder,
    open_or_create_session,
    open_session,
    read_session,
    snapshot_writer,
)
from sam2_plugins.storage.creation import making

SHAPE = (60, 80)


def square(x: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[10:20, x : x + 10] = True
    return mask


@pytest.fixture
def stack(tmp_path: Path, discs: Any) -> Path:
    path = tmp_path / "work.tif"
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    return path


@pytest.fixture
def open_folder(stack: Path, store: Any, small_checkpoint: Path) -> Any:
    """A session with a snapshot, actions since, and its folder."""
    session = AnnotationSession(stack, store, small_checkpoint)
    folder = SessionFolder.create(stack.with_suffix(".sam2"), session, source=stack)
    session.import_masks(0, {1: square(5), 2: square(40)})
    folder.snapshot()
    session.import_masks(1, {1: square(6)})
    yield session, folder
    folder._lock.release()
    session.frames.close()


def known(session: AnnotationSession) -> dict[int, list[int]]:
    return {i: session.frames_of(i) for i in session.objects}


def emptied(path: Path) -> None:
    (path / "journal.jsonl").write_bytes(b"")


def deleted(path: Path) -> None:
    (path / "journal.jsonl").unlink()


def put_back_older(path: Path) -> None:
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    shutil.copy(path / "journal.jsonl", path / "copy")
    (path / "journal.jsonl").write_bytes(b"".join(lines[:-1]) + b"\0" * 80)


def without_state(path: Path) -> None:
    (path / "state.json").unlink()


def replaced_state(path: Path) -> None:
    (path / "state.json").write_text('{"applied": 0}')


def moved_away(path: Path) -> None:
    path.rename(path.with_name("moved"))


def moved_away_and_an_empty_one_in_its_place(path: Path) -> None:
    moved_away(path)
    path.mkdir()


def moved_away_and_a_copy_in_its_place(path: Path) -> None:
    moved_away(path)
    shutil.copytree(path.with_name("moved"), path)


def without_masks(path: Path) -> None:
    shutil.rmtree(path / "masks.zarr")


def masks_that_are_a_file(path: Path) -> None:
    without_masks(path)
    (path / "masks.zarr").write_bytes(b"x")


def journal_that_is_a_folder(path: Path) -> None:
    deleted(path)
    (path / "journal.jsonl").mkdir()


def state_that_is_a_pipe(path: Path) -> None:
    without_state(path)
    os.mkfifo(path / "state.json")


def links_that_lead_to_themselves(path: Path) -> None:
    for name in ("journal.jsonl", "state.json"):
        (path / name).unlink()
        (path / name).symlink_to(name)


CHANGES = [
    emptied,
    deleted,
    put_back_older,
    without_state,
    replaced_state,
    moved_away,
    moved_away_and_an_empty_one_in_its_place,
    moved_away_and_a_copy_in_its_place,
    without_masks,
    masks_that_are_a_file,
    journal_that_is_a_folder,
    *([state_that_is_a_pipe, links_that_lead_to_themselves] if sys.platform != "win32" else []),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("then", ["action", "snapshot", "close"])
def test_what_another_program_changes_is_noticed_and_written_anew(
    open_folder: Any, change: Any, then: str, store: Any
) -> None:
    session, folder = open_folder
    change(folder.path)
    if then == "action":
        session.import_masks(2, {1: square(7)})
    elif then == "snapshot":
        folder.snapshot()
    if then != "close":
        assert folder.save_error is None
        assert "anew" in folder.notice
        assert known(read_session(folder.path, store, session.frames)) == known(session)
        session.import_masks(3, {2: square(41)})
    folder.close()
    assert folder.save_error is None
    again, reopened = open_session(folder.path, store, session.frames)
    assert known(again) == known(session)
    reopened.close()


@pytest.mark.parametrize("change", [replaced_state, put_back_older])
def test_what_was_in_the_place_of_the_files_stays(open_folder: Any, change: Any) -> None:
    session, folder = open_folder
    change(folder.path)
    content = {file.name: file.read_bytes() for file in folder.path.iterdir() if file.is_file()}
    session.import_masks(2, {1: square(7)})
    found = {file.name: file.read_bytes() for file in (folder.path / "found-1").iterdir() if file.is_file()}
    assert found == {name: value for name, value in content.items() if name != ".lock"}


def test_a_copy_that_is_open_elsewhere_is_not_written(open_folder: Any, store: Any) -> None:
    session, folder = open_folder
    moved_away_and_a_copy_in_its_place(folder.path)
    lock = FileLock(folder.path / ".lock")
    lock.acquire(timeout=0)
    session.import_masks(2, {1: square(7)})
    assert "open in another window" in folder.save_error
    lock.release()
    session.import_masks(3, {1: square(7)})
    assert folder.save_error is None
    assert known(read_session(folder.path, store, session.frames)) == known(session)


def test_closing_releases_whatever_goes_wrong(open_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = open_folder

    def broken() -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(folder, "_snapshot", broken)
    with pytest.raises(RuntimeError):
        folder.close()
    FileLock(folder.path / ".lock").acquire(timeout=0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], b"\0" * len(lines[1]) + b"\n", *lines[2:]],
        lambda lines: [lines[0], b'{"number": "odd"}\n', *lines[2:]],
        lambda lines: [lines[0], lines[1].replace(b'"changes"', b'"changed"'), *lines[2:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[0], b"[" * 100_000 + b"\n", *lines[2:]],
    ],
    ids=["NUL bytes", "odd types", "a part missing", "a line missing", "nested"],
)
def test_a_damaged_journal_does_not_hide_the_state(
    open_folder: Any, damage: Any, store: Any, tmp_path: Path
) -> None:
    session, folder = open_folder
    session.import_masks(2, {1: square(7)})
    session.import_masks(3, {1: square(8)})
    copy = shutil.copytree(folder.path, tmp_path / "copy")
    journal = copy / "journal.jsonl"
    journal.write_bytes(b"".join(damage(journal.read_bytes().splitlines(keepends=True))))
    damaged = journal.read_bytes()
    with pytest.warns(InputWarning, match=r"what was done after action 2 is lost"):
        reading = read_session(copy, store)
    assert known(reading) == {1: [0, 1], 2: [0]}
    assert journal.read_bytes() == damaged
    reading.frames.close()
    with pytest.warns(InputWarning, match="lost"):
        again, reopened = open_session(copy, store)
    again.import_masks(5, {2: square(30)})
    reopened.close()
    assert (copy / "found-1" / "journal.jsonl").read_bytes() == damaged
    last, reopened = open_session(copy, store)  # without a warning
    assert known(last) == {1: [0, 1], 2: [0, 5]}
    reopened.close()


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_what_cannot_be_written_anew_leaves_all_in_its_place(
    open_folder: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, folder = open_folder
    replaced_state(folder.path)
    before = contents(folder.path)
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(snapshot_writer, "write_masks", full)
        for frame in (2, 3):
            session.import_masks(frame, {1: square(7)})
            assert "No space left" in folder.save_error
            assert folder.notice is None
            assert contents(folder.path) == before
    session.import_masks(4, {1: square(7)})
    assert folder.save_error is None
    assert "found-1" in folder.notice
    assert known(read_session(folder.path, store, session.frames)) == known(session)
    assert [call["do"] for call in folder.calls()][-3:] == ["take_masks"] * 3


def test_masks_that_are_gone_are_written_again(open_folder: Any, store: Any) -> None:
    session, folder = open_folder
    folder.snapshot()
    (group,) = (folder.path / "masks.zarr").glob("2-*")
    shutil.rmtree(group)
    folder.close()
    again, reopened = open_session(folder.path, store, session.frames)
    assert known(again) == known(session)
    reopened.close()


def test_masks_that_may_not_be_read_are_no_damage(
    open_folder: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, folder = open_folder
    folder.close()
    before = contents(folder.path)
    with monkeypatch.context() as patch:

        def forbidden(**_: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(zarr, "open_group", forbidden)
        for read in (open_session, read_session):
            with pytest.raises(InputError, match=r"masks\.zarr/1-\d+: Permission denied"):
                read(folder.path, store, session.frames)
    assert contents(folder.path) == before
    again, reopened = open_session(folder.path, store, session.frames)
    assert known(again) == known(session)
    reopened.close()


@pytest.mark.skipif(sys.platform == "win32", reason="makes pipes and links")
@pytest.mark.filterwarnings("ignore:.*journal.jsonl is damaged")
@pytest.mark.parametrize("name", ["state.json", "journal.jsonl", "actions.jsonl", "session.json"])
@pytest.mark.parametrize("special", [os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_pipes_and_links_in_place_of_files_are_refused_or_passed_over(
    open_folder: Any, stack: Path, store: Any, name: str, special: Any
) -> None:
    session, folder = open_folder
    folder.close()
    (folder.path / name).unlink(missing_ok=True)
    special(folder.path / name)
    if name == "state.json":
        with pytest.raises(InputError, match=r"work\.sam2/state\.json"):
            open_or_create_session(session.frames, store, session.model_name, source=stack)
        return
    opened = open_or_create_session(session.frames, store, session.model_name, source=stack)
    assert opened.reopened == (name != "session.json")
    opened.folder.close()
    assert opened.folder.save_error is None
    if opened.reopened:
        assert known(opened.session) == known(session)
        assert (folder.path / "found-1" / name).is_symlink() or (folder.path / "found-1" / name).is_fifo()


def test_a_lock_that_is_none_is_named(open_folder: Any, store: Any) -> None:
    session, folder = open_folder
    folder.close()
    (folder.path / ".lock").unlink(missing_ok=True)
    (folder.path / ".lock").mkdir()
    with pytest.raises(InputError, match=r"work\.sam2/\.lock: Is a directory"):
        open_session(folder.path, store, session.frames)
    assert known(read_session(folder.path, store, session.frames)) == known(session)


def test_damaged_masks_are_named_and_the_others_open(open_folder: Any, store: Any, tmp_path: Path) -> None:
    _, folder = open_folder
    folder.snapshot()
    (group,) = (folder.path / "masks.zarr").glob("1-*")
    rng = np.random.default_rng(0)
    files = sorted(file for file in group.rglob("*") if file.is_file())
    for number in range(30):
        copy = shutil.copytree(folder.path, tmp_path / f"copy{number}")
        damaged = copy / files[number % len(files)].relative_to(folder.path)
        content = bytearray(damaged.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        damaged.write_bytes(bytes(content))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            reading = read_session(copy, store)
        assert all("object 1 are damaged" in str(one.message) for one in said)
        assert len(reading.frames_of(1)) == 2 or said
        for i in reading.objects:
            for frame in reading.frames_of(i):
                reading.mask(i, frame)
        assert known(reading)[2] == [0]
        reading.frames.close()


KILLED = """
import sys, os
from pathlib import Path
import numpy as np
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import SessionFolder
count, killed_at = 0, int(sys.argv[2])
def hook(event, args):
    global count
    if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir") and "work.sam2" in str(args[0]):
        count += 1
        if count == killed_at:
            os._exit(9)
session = AnnotationSession(sys.argv[1], ModelStore("cpu"))
session.import_masks(0, {1: np.eye(60, 80, dtype=bool)})
sys.addaudithook(hook)
SessionFolder.create(Path(sys.argv[1]).with_suffix(".sam2"), session, source=Path(sys.argv[1]))
print(count)
"""


@pytest.mark.slow
def test_a_creation_killed_at_any_file_operation_blocks_nothing(stack: Path, store: Any) -> None:
    def create(killed_at: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(stack), str(killed_at)], capture_output=True, text=True
        )

    operations = int(create(0).stdout)
    shutil.rmtree(stack.with_suffix(".sam2"))
    assert operations > 10
    for killed_at in range(1, operations + 1, max(1, operations // 12)):
        assert create(killed_at).returncode == 9
        with open_frames(stack) as frames:
            opened = open_or_create_session(frames, store, "nano", source=stack)
            assert opened.folder is not None
            assert opened.folder.path == stack.with_suffix(".sam2")
            opened.folder.close()
        assert [p.name for p in stack.parent.iterdir() if "work.sam2" in p.name] == ["work.sam2"]
        shutil.rmtree(stack.with_suffix(".sam2"))


@pytest.mark.parametrize("left", [[".lock"], ["session.json"], [".lock", "session.json", ".state-abc.json"]])
def test_what_earlier_programs_left_half_made_is_cleared(
    stack: Path, store: Any, left: list[str], open_folder: Any
) -> None:
    session, folder = open_folder
    manifest = (folder.path / "session.json").read_bytes()
    folder.close()
    shutil.rmtree(folder.path)
    folder.path.mkdir()
    for name in left:
        (folder.path / name).write_bytes(manifest if name == "session.json" else b"")
    opened = open_or_create_session(session.frames, store, "nano", source=stack)
    assert opened.folder is not None
    assert (opened.folder.path, opened.reopened) == (folder.path, False)
    opened.folder.close()


def test_what_is_being_made_now_is_no_leftover(tmp_path: Path) -> None:
    with making(tmp_path / "work.sam2") as first:
        with making(tmp_path / "work.sam2") as second:
            assert first.is_dir()
            assert second.is_dir()
        shutil.rmtree(tmp_path / "work.sam2")
    assert [path.name for path in tmp_path.iterdir()] == ["work.sam2"]


def test_temporary_files_of_a_killed_snapshot_are_cleared(open_folder: Any, store: Any) -> None:
    session, folder = open_folder
    folder.close()
    (folder.path / ".state-x1y2.json").write_text("{")
    _, reopened = open_session(folder.path, store, session.frames)
    reopened.close()
    assert not list(folder.path.glob(".state-*"))


def test_export_and_replay_only_read(
    open_folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = open_folder  # it is open: its lock is held
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    if os.name == "posix":
        for path in [folder.path, *folder.path.rglob("*")]:
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    assert main(["export", str(folder.path), "-o", str(tmp_path / "labels.tif")]) == 0
    assert main(["replay", str(folder.path)]) == 0
    assert "all 3 masks are the same" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    for path in [folder.path, *folder.path.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_a_replay_of_what_is_missing_is_refused(open_folder: Any, store: Any) -> None:
    _, folder = open_folder
    folder.close()
    lines = (folder.path / "actions.jsonl").read_bytes().splitlines(keepends=True)
    (folder.path / "actions.jsonl").write_bytes(b"".join(lines[1:]))
    with pytest.raises(InputError, match=r"action 1 of \d+ is missing"):
        list(folder.calls())


def test_a_closed_folder_is_closed_again(store: Any, tmp_path: Path) -> None:
    session = AnnotationSession(np.zeros((2, *SHAPE), np.uint8), store, axes="TYX")
    folder = SessionFolder.create(tmp_path / "a.sam2", session)
    folder.close()
    folder.close()


def test_a_process_may_go_into_another_folder(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    frames = np.zeros((2, *SHAPE), np.uint8)
    session = AnnotationSession(frames, store, axes="TYX")
    folder = SessionFolder.create("a.sam2", session)
    monkeypatch.chdir(tmp_path / "elsewhere")
    session.add_object("cell")
    folder.close()
    assert folder.notice is None
    assert not list((tmp_path / "elsewhere").iterdir())
    assert read_session(tmp_path / "a.sam2", store, frames).objects[1].name == "cell"
