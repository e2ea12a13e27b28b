"""Sessions find their place by themselves, and are found again there."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_engine import open_frames
from sam2_engine.errors import InputError, InputWarning
from sam2_plugins.cli.app import main
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.storage import (
    TakenError,
    last_opening,
    open_or_create_session,
    open_session,
    read_manifest,
    user_sessions,
)
from sam2_plugins.storage.manifest import FORMAT_VERSION


@pytest.fixture
def stack(tmp_path: Path, discs) -> Path:
    path = tmp_path / "data" / "discs.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    return path


def test_beside_the_stack_and_there_again(stack, store, small_checkpoint, tmp_path):
    with open_frames(stack) as frames:
        opened = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path / "home")
        assert (opened.folder.path, opened.reopened) == (stack.with_suffix(".sam2"), False)
        opened.session.add_object("mine")
        with pytest.raises(InputError, match="open in another window"):
            open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path / "home")
        opened.folder.close()
        again = open_or_create_session(frames, store, "nano", source=stack, home=tmp_path / "home")
        assert again.reopened
        assert again.session.model_name == str(small_checkpoint)  # it goes on with its own model
        assert [one.name for one in again.session.objects.values()] == ["mine"]
        again.folder.close()
    assert not (tmp_path / "home").exists()


def test_other_pixels_under_the_same_name_get_a_place_of_their_own(discs, store, small_checkpoint, tmp_path):
    other = discs[::-1].copy()
    for frames, number in ((discs, ""), (other, "-2"), (discs, "")):
        stack = open_frames(frames, axes="TYX")
        opened = open_or_create_session(stack, store, small_checkpoint, name="my/cells: 1", home=tmp_path)
        assert opened.folder.path.name == f"my_cells_ 1{number}.sam2"
        opened.folder.close()
    assert opened.reopened


def test_where_nothing_can_be_written_one_works_on_and_the_reason_is_given(
    discs, store, small_checkpoint, tmp_path
):
    home = tmp_path / "file"
    home.write_text("not a folder")
    opened = open_or_create_session(open_frames(discs, axes="TYX"), store, small_checkpoint, home=home)
    assert opened.folder is None
    assert str(home) in opened.save_error
    opened.session.add_points(0, opened.session.add_object(), (20, 20))


def test_the_users_folder_can_be_another(monkeypatch, tmp_path):
    monkeypatch.setenv("SAM2_SESSIONS", str(tmp_path))
    assert user_sessions() == tmp_path
    monkeypatch.delenv("SAM2_SESSIONS")
    assert user_sessions().name == "sessions"


def test_a_stack_that_changed_on_disk_begins_anew_and_the_reason_is_given(
    stack, discs, store, small_checkpoint, tmp_path
):
    with open_frames(stack) as frames:
        opened = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        opened.session.add_object("mine")
        opened.folder.close()
    tifffile.imwrite(stack, discs[::-1].copy(), metadata={"axes": "TYX"})
    with open_frames(stack) as frames:
        anew = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        anew.folder.close()
    assert anew.folder.path.name == "discs-2.sam2"
    assert anew.note == (
        f"{stack.with_suffix('.sam2')} was made on other pixels than discs.tif has now; "
        "a new session begins, and that folder stays as it is."
    )
    with pytest.warns(InputWarning, match="was written again"):
        session, folder = open_session(opened.folder.path, store, open_frames(discs, axes="TYX"))
    assert [one.name for one in session.objects.values()] == ["mine"]
    folder.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda manifest: {**manifest, "version": FORMAT_VERSION + 1}, "newer version"),
        (lambda manifest: {}, "does not describe a session"),
        (lambda manifest: {**manifest, "frames": {}}, "damaged"),
        (lambda manifest: {**manifest, "frames": None}, "damaged"),
    ],
)
def test_a_session_that_cannot_be_read_is_named_and_left_alone(
    stack, store, small_checkpoint, tmp_path, damage, said
):
    with open_frames(stack) as frames:
        opened = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        opened.folder.close()
        manifest = opened.folder.path / "session.json"
        manifest.write_text(json.dumps(damage(json.loads(manifest.read_text()))))
        before = manifest.read_bytes()
        anew = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        anew.folder.close()
    assert said in anew.note
    assert anew.note.endswith("a new session begins, and that folder stays as it is.")
    assert manifest.read_bytes() == before
    assert not anew.reopened


def test_each_position_in_a_stack_of_volumes_has_its_own_session(discs, store, small_checkpoint, tmp_path):
    path = tmp_path / "volumes.tif"
    volumes = np.stack([discs, discs, discs[::-1]], axis=1)  # two planes have the same pixels
    tifffile.imwrite(path, volumes, photometric="minisblack", metadata={"axes": "TZYX"})
    for plane in (0, 1, 2, 1):
        opening = {"axes": "TZYX", "fixed": {"Z": plane}}
        with open_frames(path, **opening) as frames:
            opened = open_or_create_session(
                frames, store, small_checkpoint, source=path, opening=opening, home=tmp_path
            )
            assert opened.folder.path.name == f"volumes Z{plane}.sam2"
            assert opened.note is None
            opened.session.add_object(f"in plane {plane}")
            opened.folder.close()
    assert opened.reopened
    assert len(opened.session.objects) == 2
    session, folder = open_session(opened.folder.path, store)  # by itself, from the file
    np.testing.assert_array_equal(session.frames[3], volumes[3, 1])
    folder.close()
    moved = path.rename(tmp_path / "moved.tif")
    assert main(["replay", str(opened.folder.path), "--frames", str(moved), "--device", "cpu"]) == 0


def test_physical_sizes_are_stored_for_exports(stack, store, small_checkpoint, tmp_path):
    scale = PhysicalScale((0.5, 0.25), "um", 2.0, "min", 3.0)
    with open_frames(stack) as frames:
        opened = open_or_create_session(
            frames, store, small_checkpoint, source=stack, scale=scale, home=tmp_path
        )
        opened.session.import_masks(0, {1: frames[0] > 100})
        assert opened.folder.scale == scale
        opened.folder.close()
        again = open_or_create_session(frames, store, small_checkpoint, source=stack, scale=PhysicalScale())
        assert again.folder.scale == scale  # a layer that says nothing takes nothing away
        again.folder.close()
        once_more = open_or_create_session(
            frames, store, small_checkpoint, source=stack, scale=PhysicalScale((4.0, 4.0), "nm")
        )
        assert once_more.folder.scale == PhysicalScale((4.0, 4.0), "nm", 2.0, "min")  # times stay known
        once_more.folder.close()
    table = tmp_path / "table.csv"
    assert main(["export", str(opened.folder.path), "-o", str(table)]) == 0
    assert "nm" in table.read_text().splitlines()[0]
    assert (
        main(["export", str(opened.folder.path), "-o", str(table), "--overwrite", "--pixel-size", "2,mm"])
        == 0
    )
    assert "mm" in table.read_text().splitlines()[0]


def test_a_session_that_can_only_be_read_is_reopened_without_being_saved(
    stack, store, small_checkpoint, tmp_path, monkeypatch
):
    with open_frames(stack) as frames:
        opened = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        opened.session.add_object("mine")
        opened.folder.close()
        before = {path: path.read_bytes() for path in opened.folder.path.rglob("*") if path.is_file()}

        def refused(*_: object, **__: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr("sam2_plugins.storage.session_folder.FileLock.acquire", refused)
        again = open_or_create_session(frames, store, small_checkpoint, source=stack, home=tmp_path)
        again.session.add_object("another")
    assert (again.folder, again.reopened) == (None, True)
    assert "Read-only file system" in again.save_error
    assert [one.name for one in again.session.objects.values()] == ["mine", "another"]
    assert {path: path.read_bytes() for path in before} == before


def test_corrected_axes_are_stored_with_everything_that_was_done(stack, store, small_checkpoint, tmp_path):
    """A stack that its file calls a time-lapse, and its user a volume."""
    for axes in ("TYX", "ZYX"):
        opening = {"axes": axes, "channel": None, "fixed": {}}
        with open_frames(stack, **opening) as frames:
            opened = open_or_create_session(
                frames, store, small_checkpoint, source=stack, opening=opening, home=tmp_path
            )
            if not opened.reopened:
                opened.session.import_masks(0, {1: frames[0] > 100})
            opened.folder.close()
    assert opened.reopened
    manifest = read_manifest(opened.folder.path)
    assert (manifest["frames"]["axes"], manifest["frames"]["opening"]["axes"]) == ("ZYX", "ZYX")
    session, folder = open_session(opened.folder.path, store)
    assert (session.frames.axis, session.frames_of(1)) == ("Z", [0])
    folder.close()
    for command in ("export", "replay"):
        output = tmp_path / f"{command}.tif"
        assert main([command, str(opened.folder.path), "-o", str(output), *device(command)]) == 0
        with tifffile.TiffFile(output) as tiff:
            assert tiff.series[0].axes == "ZYX"


def device(command: str) -> list[str]:
    return ["--device", "cpu"] if command == "replay" else []


def test_a_stack_is_read_as_in_its_session_used_last(discs, store, small_checkpoint, tmp_path):
    channels = np.stack([discs, 255 - discs], axis=1)

    def open_as(opening):
        return open_frames(channels, **opening)

    assert last_opening(open_as, "cells", home=tmp_path) is None
    first, second = ({"axes": "TCYX", "channel": channel, "fixed": {}} for channel in (0, 1))
    for opening in (first, second, first):
        opened = open_or_create_session(
            open_as(opening), store, small_checkpoint, opening=opening, name="cells", home=tmp_path
        )
        opened.folder.close()
        assert last_opening(open_as, "cells", home=tmp_path) == opening
    assert sorted(path.name for path in tmp_path.glob("*.sam2")) == ["cells-2.sam2", "cells.sam2"]
    assert last_opening(open_as, "cell", home=tmp_path) is None  # another stack
    other = channels[::-1].copy()
    assert last_opening(lambda opening: open_frames(other, **opening), "cells", home=tmp_path) is None
    manifest = opened.folder.path / "session.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "frames": {"opening": 3}}))
    assert last_opening(open_as, "cells", home=tmp_path) == second


def test_a_session_that_begins_later_writes_nothing_before_the_first_action(
    stack, store, small_checkpoint, tmp_path
):
    before = sorted(tmp_path.rglob("*"))
    with open_frames(stack) as frames:
        opened = open_or_create_session(
            frames, store, small_checkpoint, source=stack, home=tmp_path, begin_later=True
        )
        assert (opened.folder, opened.save_error, sorted(tmp_path.rglob("*"))) == (None, None, before)
        opened.session.add_object("mine")
        assert opened.folder.path == stack.with_suffix(".sam2")
        opened.close()
        saved = {path: path.stat().st_mtime_ns for path in opened.folder.path.rglob("*")}
        again = open_or_create_session(frames, store, small_checkpoint, source=stack, begin_later=True)
        assert again.reopened
        again.close()
    assert {path: path.stat().st_mtime_ns for path in opened.folder.path.rglob("*")} == saved


def test_the_first_action_is_refused_where_another_has_begun_meanwhile(
    stack, store, small_checkpoint, tmp_path
):
    with open_frames(stack) as frames:
        mine, other = (
            open_or_create_session(
                frames, store, small_checkpoint, source=stack, home=tmp_path, begin_later=True
            )
            for _ in range(2)
        )
        other.session.add_object()
        with pytest.raises(TakenError, match="exists and is not empty"):
            mine.session.add_object()
        assert mine.session.objects == {}
        mine.close()
        other.close()
