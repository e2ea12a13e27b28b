"""Creation of one session folder by several processes at once."""

import errno
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_or_create_session, open_session
from sam2_plugins.storage.creation import TakenError, clear_leftovers, making

FRAMES = np.zeros((3, 40, 60), np.uint8)


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "work.sam2"

    def make() -> None:
        with making(path):
            path.mkdir()
            (path / "state.json").write_text("theirs")

    with pytest.raises(TakenError, match="made by another window or process"):
        make()
    assert [file.name for file in tmp_path.iterdir()] == ["work.sam2"]
    assert (path / "state.json").read_text() == "theirs"


def test_what_was_begun_this_moment_may_be_taken_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "work.sam2"
    make = tempfile.mkdtemp

    def make_and_meet_another(**given: Any) -> str:
        made = make(**given)
        clear_leftovers(path)  # as another process that begins at the same time
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_meet_another)
    with making(path) as aside:
        (aside / "state.json").write_text("mine")
    assert (path / "state.json").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["work.sam2"]


@pytest.mark.parametrize("closes", [True, False])
def test_the_session_that_another_process_made_is_opened(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    create = SessionFolder.create
    theirs: list[SessionFolder] = []

    def create_after_another(path: Path, session: AnnotationSession, **given: Any) -> SessionFolder:
        other = AnnotationSession(open_frames(FRAMES, axes="TYX"), store)
        theirs.append(create(path, other))
        other.add_object("theirs")
        if closes:
            theirs[0].close()
        monkeypatch.setattr(SessionFolder, "create", create)
        return create(path, session, **given)

    monkeypatch.setattr(SessionFolder, "create", create_after_another)
    frames = open_frames(FRAMES, axes="TYX")
    if closes:
        opened = open_or_create_session(frames, store, "nano", home=tmp_path, name="work")
        assert opened.reopened
        assert opened.session.objects[1].name == "theirs"
        assert opened.folder is not None
        opened.folder.close()
    else:
        with pytest.raises(InputError, match=r"work\.sam2 is open in another window or process"):
            open_or_create_session(frames, store, "nano", home=tmp_path, name="work")
        theirs[0].close()


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize(
    ("left", "who"), [("4242\nfar\n1\n", "process 4242 on far"), ("", "another window or process")]
)
def test_a_lock_of_who_died_elsewhere_where_the_file_system_knows_none(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch, left: str, who: str
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    path = tmp_path / "work.sam2"
    SessionFolder.create(path, AnnotationSession(open_frames(FRAMES, axes="TYX"), store)).close()
    (path / ".lock").write_text(left)
    with pytest.raises(
        InputError, match=rf"is open in {who}; .* or delete .*/work\.sam2/\.lock if it no longer"
    ):
        open_session(path, store, FRAMES)
    (path / ".lock").unlink()
    open_session(path, store, FRAMES)[1].close()
