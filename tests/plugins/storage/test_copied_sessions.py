"""Copies of sessions: each opens the file that was copied with it, also while the original is there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import sam2_plugins
from sam2_engine.errors import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session, read_manifest, read_session, reading_of


def _write(path: Path, frames: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, frames, metadata={"axes": "TYX"}, photometric="minisblack")
    return path


def _opened(session: Path, store: ModelStore) -> Path:
    """Return the file that a session opens by itself, to read it and to go on."""
    reading = read_session(session, store)
    reading.frames.close()
    work, folder = open_session(session, store)
    folder.close()
    assert reading.frames.opened_as is not None
    assert reading.frames.opened_as == work.frames.opened_as
    return reading.frames.opened_as[0].resolve()


def test_a_session_that_was_copied_with_its_stack(discs, store, small_checkpoint, tmp_path) -> None:
    stack = _write(tmp_path / "day1" / "cells.tif", discs)
    with sam2_plugins.open(stack, small_checkpoint, device="cpu") as work:
        work.add_object("cell")
    shutil.copytree(tmp_path / "day1", tmp_path / "copy")
    assert _opened(tmp_path / "copy" / "cells.sam2", store) == tmp_path / "copy" / "cells.tif"
    assert _opened(tmp_path / "day1" / "cells.sam2", store) == stack


def test_a_batch_whose_sessions_lie_in_another_folder_than_its_stacks(
    discs, store, small_checkpoint, tmp_path
) -> None:
    names = ("a", "b")
    for name in names:
        _write(tmp_path / "day1" / "stacks" / f"{name}.tif", discs)
        _write(tmp_path / "day1" / "seeds" / f"{name}.tif", (discs[0] > 200).astype(np.uint8))
    (tmp_path / "day1" / "sessions").mkdir()
    places = {option: str(tmp_path / "day1" / option) for option in ("stacks", "seeds", "sessions")}
    command = ["track", *(f"{places['stacks']}/{name}.tif" for name in names), "--each", "--stop", "1"]
    where = ["--masks", places["seeds"], "--session", places["sessions"]]
    assert main([*command, *where, "--model", str(small_checkpoint), "--device", "cpu"]) == 0
    shutil.copytree(tmp_path / "day1", tmp_path / "copy")
    for name in names:
        session = tmp_path / "copy" / "sessions" / f"{name}.sam2"
        assert _opened(session, store) == tmp_path / "copy" / "stacks" / f"{name}.tif"
    shutil.rmtree(tmp_path / "day1")
    assert _opened(session, store) == tmp_path / "copy" / "stacks" / "b.tif"


def test_a_data_set_of_masklets(discs, store, small_checkpoint, tmp_path) -> None:
    dataset = MaskletDataset.create(tmp_path / "dataset")
    video = dataset.take_video(_write(tmp_path / "video.tif", discs))
    session = AnnotationSession(video, store, small_checkpoint, axes="TYX")
    source, opening = reading_of(session.frames)
    SessionFolder.create(dataset.session("video"), session, source=source, opening=opening).close()
    session.frames.close()
    shutil.copytree(dataset.path, tmp_path / "copy")
    assert _opened(tmp_path / "copy" / "video.sam2", store) == tmp_path / "copy" / "video.tif"


def test_what_lies_beside_with_other_pixels_is_not_meant(discs, store, small_checkpoint, tmp_path) -> None:
    stack = _write(tmp_path / "day1" / "cells.tif", discs)
    with sam2_plugins.open(stack, small_checkpoint, device="cpu") as work:
        work.add_object("cell")
    other = _write(tmp_path / "day2" / "cells.tif", discs[::-1].copy())
    session = shutil.copytree(tmp_path / "day1" / "cells.sam2", tmp_path / "day2" / "cells.sam2")
    assert _opened(session, store) == stack
    other.write_bytes(b"no stack")
    assert _opened(session, store) == stack
    _write(stack, discs[::-1].copy())
    with pytest.raises(InputError, match=r"^Neither .*day2.cells.tif nor .*day1.cells.tif has the frames of"):
        read_session(session, store)


def test_sessions_of_earlier_versions_know_the_name_alone(discs, store, small_checkpoint, tmp_path) -> None:
    stack = _write(tmp_path / "day1" / "cells.tif", discs)
    with sam2_plugins.open(stack, small_checkpoint, device="cpu") as work:
        work.add_object("cell")
    manifest = read_manifest(tmp_path / "day1" / "cells.sam2")
    assert manifest["frames"].pop("source_from_here") == "cells.tif"
    (tmp_path / "day1" / "cells.sam2" / "session.json").write_text(json.dumps(manifest))
    shutil.copytree(tmp_path / "day1", tmp_path / "copy")
    assert _opened(tmp_path / "copy" / "cells.sam2", store) == tmp_path / "copy" / "cells.tif"
