"""Opening of long sessions: what it reads, and what it leaves out."""

import gc
import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr

import sam2_plugins
from sam2_engine.errors import InputWarning
from sam2_engine.frames import open_frames
from sam2_plugins.runtime.garbage import making_what_stays
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_session, snapshot
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.source_files import source_files


@pytest.fixture
def saved(tmp_path: Path, store, small_checkpoint):
    session = AnnotationSession(np.zeros((4, 40, 60), np.uint8), store, small_checkpoint)
    folder = SessionFolder.create(tmp_path / "work.sam2", session)
    session.add_object()
    for frame in range(4):
        session.add_mask(frame, 1, np.pad(np.ones((10, 20), bool), ((5, 25), (10, 30))))
    folder.close()
    return session, folder


@pytest.mark.parametrize("cut", ["", '{"number": 4, "ca'])
def test_adding_to_a_journal_reads_only_its_end(tmp_path: Path, cut: str, monkeypatch) -> None:
    path = tmp_path / "journal.jsonl"
    lines = [json.dumps({"number": number, "text": "x" * 50_000}) + "\n" for number in (1, 2, 3)]
    path.write_text("".join(lines) + cut)
    with monkeypatch.context() as patch:
        patch.delattr(Journal, "read")
        Journal(path).add([{"number": 4}])
    assert path.read_text() == "".join(lines) + '{"number":4}\n'
    assert [entry["number"] for entry in Journal(path).read()] == [1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b'{"number": 1', b"\n"])
def test_adding_to_a_journal_without_a_whole_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    Journal(path).add([{"number": 1}])
    assert path.read_bytes().endswith(b'{"number":1}\n')
    assert [entry["number"] for entry in Journal(path).read()] == [1] or content == b"\n"


def test_no_garbage_is_collected_while_masks_are_made(saved, store, monkeypatch) -> None:
    session, folder = saved
    collecting = []
    read_masks = snapshot.read_masks
    monkeypatch.setattr(
        snapshot, "read_masks", lambda path: collecting.append(gc.isenabled()) or read_masks(path)
    )
    _, again = open_session(folder.path, store, session.frames)
    again.close()
    assert collecting == [False] * len(session.objects)
    assert gc.isenabled()


def test_garbage_is_collected_again_after_an_error_and_only_if_it_was_before() -> None:
    with pytest.raises(KeyError), making_what_stays():
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with making_what_stays():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_bits_that_do_not_fill_their_box_are_damage(saved, store) -> None:
    session, folder = saved
    group = next((folder.path / "masks.zarr").glob("*-*"))
    box = zarr.open_array(store=str(group / "box"))
    box[0] = np.array([0, 1, 0, 1])
    with pytest.warns(InputWarning, match="are damaged and left out: frame"):
        _, again = open_session(folder.path, store, session.frames)
    again.close()


def test_frames_that_were_written_again_are_said_once(tmp_path: Path, store, small_checkpoint) -> None:
    frames = np.zeros((7, 40, 60), np.uint8)
    stack = tmp_path / "cells.tif"
    tifffile.imwrite(stack, frames)
    with sam2_plugins.open(stack, small_checkpoint, device="cpu") as work:
        work.add_object("cell")
    frames[1] = 200  # a frame that is not among those that are compared
    tifffile.imwrite(stack, frames)
    with pytest.warns(InputWarning, match=r"cells.tif was written again since .*cells.sam2 was made on it"):
        read_session(tmp_path / "cells.sam2", store).frames.close()
    with pytest.warns(InputWarning, match="the others were not compared"):
        sam2_plugins.open(stack, device="cpu").close()
    with sam2_plugins.open(stack, device="cpu") as work:  # warnings are errors here
        assert work.objects[1].name == "cell"


def test_another_file_of_the_same_pixels_is_said_with_its_axes(
    tmp_path: Path, store, small_checkpoint
) -> None:
    frames = np.zeros((7, 40, 60), np.uint8)
    for name, axes in (("times", "TYX"), ("planes", "ZYX")):
        tifffile.imwrite(tmp_path / f"{name}.tif", frames, metadata={"axes": axes, "made": name})
    with sam2_plugins.open(tmp_path / "times.tif", small_checkpoint, device="cpu") as work:
        work.add_object("cell")
    said = r"times.sam2 was made on .*times.tif, and is opened with .*planes.tif, .*Its axes are ZYX now"
    with pytest.warns(InputWarning, match=said):
        read_session(tmp_path / "times.sam2", store, open_frames(tmp_path / "planes.tif")).frames.close()


def test_what_lies_among_the_images_of_a_folder_is_none_of_them(tmp_path: Path, monkeypatch) -> None:
    for frame in range(3):
        iio.imwrite(tmp_path / f"{frame}.png", np.zeros((40, 60), np.uint8))
    before = source_files(tmp_path)
    (tmp_path / "cells.csv").write_text("object,frame\n")
    assert source_files(tmp_path) == before is not None
    assert source_files(tmp_path / "gone.tif") is None
    monkeypatch.setattr("sam2_plugins.storage.source_files._MOST_FILES", 3)
    assert source_files(tmp_path) is None


def test_a_session_and_its_stack_are_moved_together(tmp_path: Path, store, small_checkpoint) -> None:
    (tmp_path / "day1").mkdir()
    stack = tmp_path / "day1" / "cells.tif"
    tifffile.imwrite(
        stack, np.zeros((3, 40, 60), np.uint8), metadata={"axes": "TYX"}, photometric="minisblack"
    )
    with sam2_plugins.open(stack, small_checkpoint, device="cpu") as work:
        work.add_object("cell")
    (tmp_path / "day1").rename(tmp_path / "day2")
    session = read_session(tmp_path / "day2" / "cells.sam2", store)
    assert session.frames.opened_as[0] == tmp_path / "day2" / "cells.tif"
    session.frames.close()
