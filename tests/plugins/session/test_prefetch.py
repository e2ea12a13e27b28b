"""Frames encoded before anybody prompts there: which, how many, and what that saves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 40, 60), np.uint8)


def session_with(frames: Any, model: Path, max_bytes: int) -> tuple[AnnotationSession, FeatureCache]:
    cache = FeatureCache(max_bytes)
    return AnnotationSession(frames, ModelStore("cpu"), model, axes="TYX", cache=cache), cache


def bytes_of_one(frames: Any, model: Path) -> int:
    session, cache = session_with(frames, model, 2**30)
    assert list(session.iter_prefetch([0])) == [0]
    return cache.num_bytes


def test_a_prompt_on_a_prefetched_frame_encodes_nothing(
    frames: NDArray[np.uint8], small_checkpoint: Path
) -> None:
    session, cache = session_with(frames, small_checkpoint, 2**30)
    assert list(session.iter_prefetch([3, 4, 2])) == [3, 4, 2]
    assert len(cache) == 3
    session.add_points(4, session.add_object(), [[20, 20]])
    assert len(cache) == 3
    session.add_points(5, session.add_object(), [[20, 20]])
    assert len(cache) == 4


@pytest.mark.parametrize("room", [1, 2, 3])
def test_no_more_frames_than_the_cache_holds(
    frames: NDArray[np.uint8], small_checkpoint: Path, room: int
) -> None:
    one = bytes_of_one(frames, small_checkpoint)
    session, cache = session_with(frames, small_checkpoint, room * one)
    assert list(session.iter_prefetch([3, 4, 2, 5, 1])) == [3, 4, 2][:room]
    assert len(cache) == room
    assert cache.num_bytes <= room * one


def test_it_stops_between_two_frames(frames: NDArray[np.uint8], small_checkpoint: Path) -> None:
    session, cache = session_with(frames, small_checkpoint, 2**30)
    steps = session.iter_prefetch(range(6))
    assert next(steps) == 0
    steps.close()  # type: ignore[attr-defined]
    assert len(cache) == 1


def test_no_listener_hears_of_it(frames: NDArray[np.uint8], small_checkpoint: Path) -> None:
    session, _ = session_with(frames, small_checkpoint, 2**30)
    heard: list[object] = []
    session.history.subscribe(heard.append)
    list(session.iter_prefetch(range(6)))
    assert heard == []
    assert session.undo_name is None
