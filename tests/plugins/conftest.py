from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_plugins.runtime import run_estimate
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

_NUMBERS = count()


@pytest.fixture(autouse=True)
def measured_apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs of tests take is not what runs of the person who tests take."""
    folder = tmp_path_factory.getbasetemp() / f"measured-{next(_NUMBERS)}"
    monkeypatch.setattr(run_estimate, "user_cache", lambda: folder)


@pytest.fixture(scope="session")
def store() -> ModelStore:
    return ModelStore("cpu")


@pytest.fixture(scope="session")
def discs() -> NDArray[np.uint8]:
    """(8, 60, 80) uint8: two discs that move over noise."""
    y, x = np.mgrid[:60, :80]
    frames = np.random.default_rng(3).integers(20, 60, (8, 60, 80)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100] = 220
        frame[(x - 60) ** 2 + (y - 40 + t) ** 2 < 80] = 150
    return frames


@pytest.fixture
def session(discs: NDArray[np.uint8], store: ModelStore, small_checkpoint: Path) -> AnnotationSession:
    return AnnotationSession(discs, store, small_checkpoint, axes="TYX")


@pytest.fixture
def disc_mask() -> NDArray[np.bool_]:
    """(60, 80): the first disc on frame 0."""
    y, x = np.mgrid[:60, :80]
    return (x - 20) ** 2 + (y - 20) ** 2 < 100
