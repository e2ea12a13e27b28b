"""What a session remembers by: kept in its folder, used again, and not exchanged in the middle."""

import json
from contextlib import closing
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import sam2_plugins
from sam2_engine.errors import InputError
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_plugins.cli.app import main
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.memory_options import MemoryOptions
from sam2_plugins.storage import open_session, read_manifest

Stack = NDArray[np.uint8]


@pytest.fixture
def stack(tmp_path: Path, discs: Stack) -> Path:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, discs, metadata={"axes": "TYX"})
    return path


def test_reopening_uses_the_same(stack: Path, store: ModelStore, small_checkpoint: Path) -> None:
    options = {"memory_policy": "long_term", "overlapping": [(3, 1)]}
    with sam2_plugins.open(stack, small_checkpoint, device="cpu", **options) as work:
        folder = work.path
    assert folder is not None
    session, saved = open_session(folder, store)
    with closing(saved), session.frames:
        expected = MemoryOptions("long_term", ((1, 3),))
        assert session.memory == expected
        cell = session.add_object()
        session.add_points(0, cell, (20, 20))
        session.propagate(stop=3)
        with session.engine.acquire() as engine:
            assert engine.memory_policy.name == "long_term"  # type: ignore[attr-defined]
            assert engine.overlapping.allows(1, 3)  # type: ignore[attr-defined]
            assert not engine.overlapping.allows(1, 2)  # type: ignore[attr-defined]
    with sam2_plugins.open(stack, device="cpu", memory_policy="long_term") as work:
        assert work.annotation.memory == expected
    with pytest.raises(InputError, match="remembers by the policy 'long_term', not 'motion'"):
        sam2_plugins.open(stack, device="cpu", memory_policy="motion")
    with pytest.raises(InputError, match="another choice of which objects may overlap"):
        sam2_plugins.open(stack, device="cpu", overlapping=True)


def test_auto_stands_for_a_name(discs: Stack, store: ModelStore, small_checkpoint: Path) -> None:
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX", memory_policy="auto")
    assert session.memory.memory_policy != "auto"
    assert deepcopy(session).memory == session.memory


def test_what_cannot_be_kept_is_refused(discs: Stack, store: ModelStore, small_checkpoint: Path) -> None:
    def begin(**options: object) -> AnnotationSession:
        return AnnotationSession(discs, store, small_checkpoint, axes="TYX", **options)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="There is no memory policy 'recant'"):
        begin(memory_policy="recant")
    with pytest.raises(InputError, match="stores the name of its memory policy"):
        begin(memory_policy=object())
    with pytest.raises(InputError, match="pairs of two objects"):
        begin(overlapping=[(1, 2, 3)])


def test_the_command_line_keeps_it_too(
    stack: Path, small_checkpoint: Path, disc_mask: NDArray[np.bool_], capsys: pytest.CaptureFixture[str]
) -> None:
    clicks, folder = stack.with_name("clicks.json"), stack.with_name("work.sam2")
    clicks.write_text(json.dumps([{"frame": 0, "object_id": 1, "points": [[20, 20]]}]))
    given = ["track", str(stack), "--prompts", str(clicks), "--session", str(folder)]
    motion = ["--memory-policy", "motion"]
    assert main([*given, "--model", str(small_checkpoint), *motion, "--no-overlaps", "--stop", "3"]) == 0
    manifest = read_manifest(folder)
    assert (manifest["memory_policy"], manifest["overlapping"]) == ("motion", False)
    assert main([*given, *motion]) == 0
    capsys.readouterr()
    assert main([*given, "--memory-policy", "recent"]) == 2
    assert "remembers by the policy 'motion', not 'recent'" in capsys.readouterr().err
    assert main(["replay", str(folder)]) == 0


def test_a_session_of_a_large_plane_without_overlaps(
    discs: Stack, store: ModelStore, small_checkpoint: Path
) -> None:
    large = np.tile(discs[:3], (1, 5, 5))  # 300 x 400 for a model of 128: in tiles
    session = AnnotationSession(large, store, small_checkpoint, axes="TYX", overlapping=False)
    for x in (20, 60, 180):
        session.add_points(0, session.add_object(), (x, 20))
    session.propagate()
    with session.engine.acquire() as engine:
        assert isinstance(engine, TiledVideoSession)
        assert not engine.overlapping.everything
    assert all(session.accepted(i, 2) is not None for i in session.objects)
