"""Copies of sessions: each opens the file that was copied with it, also while the original is there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import sam2_plugins
from sam2_engine.errors import InputError, InputWarning
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


@pytest.fixture
def own(discs, small_checkpoint, tmp_path) -> Path:
    """A folder with a session, its stack, and a model of one's own by which it computes."""
    home = tmp_path / "day1"
    stack = _write(home / "cells.tif", discs)
    (home / "mine.safetensors").write_bytes(small_checkpoint.read_bytes())
    with sam2_plugins.open(stack, "nano", device="cpu") as work:
        work.annotation.use_model(f"{home / 'mine.safetensors'}@64")
        cell = work.add_object("cell")
        work.annotation.add_points(0, cell, (20, 20))
    return home


def _model(session: Path, store: ModelStore) -> str:
    reading = read_session(session, store)
    reading.frames.close()
    return reading.model_name


@pytest.mark.parametrize("place", ["mine.safetensors", "cells.sam2/mine.safetensors"])
def test_a_model_of_ones_own_is_found_in_and_beside_a_copy(own: Path, store, tmp_path, place) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(own, copy)
    (copy / "mine.safetensors").rename(copy / place)
    (own / "mine.safetensors").unlink()
    assert _model(copy / "cells.sam2", store) == f"{copy / place}@64"
    with sam2_plugins.open(copy / "cells.sam2", device="cpu") as work:  # goes on, and remembers that place
        assert work.annotation.add_points(1, 1, (21, 20)).masks.any()
    assert _model(copy / "cells.sam2", store) == f"{copy / place}@64"
    assert main(["replay", str(copy / "cells.sam2"), "--device", "cpu"]) == 0


def test_the_copy_of_a_model_comes_first_and_other_weights_are_not_taken(own: Path, store, tmp_path) -> None:
    shutil.copytree(own, tmp_path / "copy")
    session, beside = tmp_path / "copy" / "cells.sam2", tmp_path / "copy" / "mine.safetensors"
    assert _model(session, store) == f"{beside}@64"
    beside.write_bytes(beside.read_bytes()[:-1] + b"!")
    assert _model(session, store) == f"{own / 'mine.safetensors'}@64"
    (own / "mine.safetensors").write_bytes(beside.read_bytes())
    with pytest.warns(InputWarning, match=r"mine.safetensors holds other weights by now; what is computed"):
        _model(session, store)
    (own / "mine.safetensors").unlink()
    with pytest.warns(InputWarning, match=r"nor is a file mine.safetensors with the same weights"):
        assert _model(session, store) == f"{own / 'mine.safetensors'}@64"


def test_a_session_that_began_with_a_model_of_ones_own(own: Path, discs, store, tmp_path) -> None:
    """And computes by another one since: nothing is said of the first."""
    stack = _write(tmp_path / "day2" / "more.tif", discs)
    with sam2_plugins.open(stack, own / "mine.safetensors", device="cpu") as work:
        work.add_object("cell")
        work.annotation.use_model("nano")
    shutil.rmtree(own)
    assert _model(tmp_path / "day2" / "more.sam2", store) == "nano"
