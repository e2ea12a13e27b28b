"""Memory of everything: what it holds does not grow with frames, but for the masks that it finds."""

import gc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine import FrameSource
from sam2_engine.malloc_trim import release_freed_memory
from sam2_plugins.everything.run import track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

EARLY, LATE = 12, 32


class Drawn(FrameSource):
    """Two discs on circles, drawn when they are read."""

    def _read(self, frame: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[:96, :96]
        image = np.random.default_rng(frame).integers(30, 34, (96, 96)).astype(np.uint8)
        across, down = 6 * np.cos(frame / 4), 6 * np.sin(frame / 4)
        image[(x - 26 - across) ** 2 + (y - 26 - down) ** 2 < 160] = 220
        image[(x - 66 + across) ** 2 + (y - 68 + down) ** 2 < 200] = 190
        return image


def resident() -> float:
    """MiB of this process."""
    gc.collect()
    release_freed_memory()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as Linux tells it")
def test_memory_does_not_grow_with_frames():
    store = ModelStore("cpu", encoded_bytes=2**20)  # of encoded frames no more are kept
    frames = Drawn("drawn", shape=(96, 96), channels=1, dtype=np.dtype(np.uint8), length=LATE, axes="TYX")
    session = AnnotationSession(frames, store, "nano@128", history=None)
    few, held = EverythingSettings(points_per_side=6, min_area=40, confidence=0.6, every=1), {}
    for done, _ in track_everything.steps(session, few):
        if done in (EARLY, LATE) and done not in held:
            held[done] = resident()
    assert len(session.objects) >= 2
    assert held[LATE] - held[EARLY] < 4
