"""Sessions find their place by themselves, and are found again there."""

from pathlib import Path

import pytest
import tifffile

from sam2_engine import open_frames
from sam2_engine.errors import InputError
from sam2_plugins.storage import keep_session, user_sessions


@pytest.fixture
def stack(tmp_path: Path, discs) -> Path:
    path = tmp_path / "data" / "discs.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    return path


def test_beside_the_stack_and_there_again(stack, store, small_checkpoint, tmp_path):
    with open_frames(stack) as frames:
        kept = keep_session(frames, store, small_checkpoint, source=stack, home=tmp_path / "home")
        assert (kept.folder.path, kept.reopened) == (stack.with_suffix(".sam2"), False)
        kept.session.add_object("mine")
        with pytest.raises(InputError, match="open in another window"):
            keep_session(frames, store, small_checkpoint, source=stack, home=tmp_path / "home")
        kept.folder.close()
        again = keep_session(frames, store, small_checkpoint, source=stack, home=tmp_path / "home")
        assert again.reopened
        assert [one.name for one in again.session.objects.values()] == ["mine"]
        again.folder.close()
        anew = keep_session(frames, store, small_checkpoint, source=stack, home=tmp_path / "home", anew=True)
        assert (anew.folder.path.name, anew.reopened) == ("discs-2.sam2", False)
        assert not anew.session.objects
        anew.folder.close()
    assert not (tmp_path / "home").exists()


def test_other_pixels_under_the_same_name_get_a_place_of_their_own(discs, store, small_checkpoint, tmp_path):
    other = discs[::-1].copy()
    for frames, number in ((discs, ""), (other, "-2"), (discs, "")):
        stack = open_frames(frames, axes="TYX")
        kept = keep_session(stack, store, small_checkpoint, name="my/cells: 1", home=tmp_path)
        assert kept.folder.path.name == f"my_cells_ 1{number}.sam2"
        kept.folder.close()
    assert kept.reopened


def test_where_nothing_can_be_written_one_works_on_and_is_told(discs, store, small_checkpoint, tmp_path):
    home = tmp_path / "file"
    home.write_text("not a folder")
    kept = keep_session(open_frames(discs, axes="TYX"), store, small_checkpoint, home=home)
    assert kept.folder is None
    assert str(home) in kept.trouble
    kept.session.add_points(0, kept.session.add_object(), (20, 20))


def test_the_users_folder_can_be_another(monkeypatch, tmp_path):
    monkeypatch.setenv("SAM2_SESSIONS", str(tmp_path))
    assert user_sessions() == tmp_path
    monkeypatch.delenv("SAM2_SESSIONS")
    assert user_sessions().name == "sessions"
