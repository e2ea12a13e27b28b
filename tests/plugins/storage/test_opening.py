"""Opening of long sessions: what it reads, and what it leaves out."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from sam2_engine.errors import InputWarning
from sam2_plugins.runtime.garbage import making_what_stays
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, snapshot
from sam2_plugins.storage.journal import Journal


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
