"""Folders of format 1 open, go on, and replay."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from sam2_plugins.cli.app import main
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_manifest, read_session
from sam2_plugins.storage.manifest import FORMAT_VERSION


def edit_json(path: Path, unknown: set[str], **other: Any) -> None:
    value = {**json.loads(path.read_text()), **other}
    path.write_text(json.dumps({name: value[name] for name in value.keys() - unknown}))


def make_format_1(folder: Path) -> None:
    """Take away what format 1 did not have."""
    edit_json(folder / "session.json", {"scale"}, version=1)
    edit_json(folder / "state.json", {"window", "model"})
    for name in ("actions.jsonl", "journal.jsonl"):
        if (folder / name).exists():
            entries = [json.loads(line) for line in (folder / name).read_text().splitlines()]
            for entry in entries:
                entry["call"].pop("joined", None)
            (folder / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for group in (folder / "masks.zarr").glob("*-*"):
        masks = zarr.open_group(store=str(group), mode="r+")
        column = np.asarray(masks["logits_window"][...])
        masks.create_array("logits_window", data=column.astype(np.int64), overwrite=True)


def masks_of(session: AnnotationSession) -> dict[tuple[int, int], Any]:
    return {(i, f): session.accepted(i, f) for i in session.objects for f in session.frames_of(i)}


@pytest.fixture
def folder(tmp_path: Path, discs: Any, store: Any, small_checkpoint: Path) -> Any:
    """A folder of format 1, as a killed process left it: a snapshot, and actions since; and its session."""
    stack = tmp_path / "discs.tif"
    tifffile.imwrite(stack, discs.astype(np.uint16) * 200, metadata={"axes": "TYX"})
    session = AnnotationSession(stack, store, small_checkpoint)
    created = SessionFolder.create(tmp_path / "work.sam2", session, source=stack)
    session.add_points(0, session.add_object("left"), (20, 20))
    list(session.propagate(stop=3))
    session.undo()
    session.add_box(1, session.add_object(), (50, 28, 70, 48))
    list(session.propagate(stop=2))
    created.snapshot()
    list(session.propagate([1], start=3, stop=6))
    session.undo()
    list(session.propagate([2], start=3, stop=4))
    session.verify(1, [1])
    created._lock.release()
    make_format_1(created.path)
    yield created.path, session
    session.frames.close()


def test_it_opens_where_it_was(folder: Any, store: Any) -> None:
    path, session = folder
    before = (path / "session.json").read_bytes()
    read = read_session(path, store)
    assert (path / "session.json").read_bytes() == before  # reading changes nothing
    assert masks_of(read) == masks_of(session)
    assert any(mask.logits is not None for mask in masks_of(read).values())
    assert (read.window, read.model_name) == (session.window, session.model_name)
    assert (dict(read.objects), read.verified(1)) == (dict(session.objects), session.verified(1))
    read.frames.close()


def test_it_goes_on_and_replays(folder: Any, store: Any, capsys: Any) -> None:
    path, session = folder
    again, opened = open_session(path, store)
    assert read_manifest(path)["version"] == FORMAT_VERSION  # earlier programs do not know what comes now
    again.set_window((5000, 40000))
    again.add_points(5, 2, (60, 35))
    list(again.propagate([2], start=5, stop=7))
    expected = masks_of(again)
    opened.close()
    reopened, opened = open_session(path, store)
    assert masks_of(reopened) == expected
    assert reopened.window == again.window != session.window
    opened.close()
    assert main(["replay", str(path), "--device", "cpu"]) == 0
    assert f"all {len(expected)} masks are the same" in capsys.readouterr().out
