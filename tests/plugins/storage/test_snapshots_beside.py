"""A long journal becomes a snapshot beside the work: no action waits for it, and nothing is lost."""

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, read_session, session_folder, snapshot_writer

FRAMES = np.zeros((4, 30, 40), np.uint8)


class Gate:
    """Holds the writing of masks until it is opened, or lets it fail."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self.entered, self.opened = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def __call__(self, *arguments: object) -> None:
        self.entered.set()
        assert self.opened.wait(30)
        if self.error is not None:
            raise self.error
        self._write(*arguments)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(snapshot_writer.write_masks)
    monkeypatch.setattr(snapshot_writer, "write_masks", gate)
    return gate


@pytest.fixture
def saved(tmp_path: Path, store: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Any:
    session = AnnotationSession(FRAMES, store, axes="TYX")
    folder = SessionFolder.create(tmp_path / "work.sam2", session)
    session.import_masks(0, {1: FRAMES[0] == 0})
    monkeypatch.setattr(session_folder, "_LONG_JOURNAL", 0)
    session.edit_object(1, name="this makes it due")
    monkeypatch.setattr(session_folder, "_LONG_JOURNAL", 1 << 30)
    assert gate.entered.wait(30)
    yield session, folder
    gate.opened.set()
    folder._lock.release()


def left(folder: SessionFolder, store: Any, to: Path) -> AnnotationSession:
    """Return what a process that was killed now leaves."""
    shutil.copytree(folder.path, to, ignore=shutil.ignore_patterns(".lock"))
    return read_session(to, store, FRAMES)


def check(session: AnnotationSession, again: AnnotationSession) -> None:
    assert dict(again.objects) == dict(session.objects)
    for object_id in session.objects:
        assert again.frames_of(object_id) == session.frames_of(object_id)
        for frame in session.frames_of(object_id):
            assert again.accepted(object_id, frame) == session.accepted(object_id, frame)


def test_actions_go_on_meanwhile(saved: Any, gate: Gate, store: Any, tmp_path: Path) -> None:
    session, folder = saved
    session.import_masks(1, {1: FRAMES[0] == 0, 2: np.eye(30, 40, dtype=bool)})
    session.edit_object(1, name="meanwhile")
    check(session, left(folder, store, tmp_path / "during"))
    gate.opened.set()
    folder._wait_for_snapshot()
    numbers = [entry["number"] for entry in folder._journal.read()]
    assert numbers == [3, 4]  # what the snapshot holds is no longer in the journal
    assert folder.save_error is None
    check(session, left(folder, store, tmp_path / "after"))
    assert [call["do"] for call in folder.calls()] == [
        "take_masks",
        "edit_object",
        "take_masks",
        "edit_object",
    ]
    session.edit_object(1, name="and on")
    assert folder.notice is None  # its files are its own
    folder.close()
    check(session, left(folder, store, tmp_path / "closed"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("of a library")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_fails_is_left_to_the_next(
    saved: Any, gate: Gate, store: Any, tmp_path: Path, error: BaseException
) -> None:
    session, folder = saved
    gate.error = error
    gate.opened.set()
    folder._wait_for_snapshot()
    if isinstance(error, OSError):
        assert folder.save_error == f"{folder.path}: No space left on device; make space there."
    gate.error = None
    folder.close()
    assert folder.save_error is None
    check(session, left(folder, store, tmp_path / "copy"))


def test_a_foreign_change_meanwhile(saved: Any, gate: Gate, store: Any, tmp_path: Path) -> None:
    session, folder = saved
    (folder.path / "journal.jsonl").unlink()
    gate.opened.set()
    folder._wait_for_snapshot()
    session.edit_object(1, name="later")
    assert folder.notice is not None
    folder.close()
    check(session, left(folder, store, tmp_path / "copy"))
