"""Snapshots of engine sessions: another one goes on from there, to the same masks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import open_frames
from sam2_plugins.cluster.snapshots import restore_session, take_snapshot
from sam2_plugins.runtime.model_store import ModelStore


@pytest.mark.parametrize("size", [1, 9])
@pytest.mark.parametrize("model", ["nano@256", "nano@256+fast"])
def test_a_session_goes_on_elsewhere(
    discs: NDArray[np.uint8], store: ModelStore, model: str, size: int
) -> None:
    pixels = np.pad(discs, ((0, 0), (0, (size - 1) * 60), (0, (size - 1) * 80)))  # large planes have tiles
    frames, cache = open_frames(pixels, axes="TYX"), FeatureCache(2**20)
    session = store.open_session(model, frames, None, cache, history=2**20)
    session.add_points(0, 1, (20, 20))
    session.add_box(2, 2, (50, 25, 70, 50))
    list(session.propagate(stop=4))
    session.add_points(3, 1, (28, 22))

    shared: dict[str, object] = {"model": store.get(model), "frames": frames, "cache": cache}
    snapshot = take_snapshot(session, shared)
    assert len(snapshot) < 2 * session.num_bytes + 2**18, "tensors without what they are views of"
    shared = {
        "model": store.get(model),
        "frames": open_frames(pixels, axes="TYX"),
        "cache": FeatureCache(2**20),
    }
    other = restore_session(snapshot, shared)
    assert other.num_bytes == session.num_bytes
    for one, two in zip(session.propagate(start=3), other.propagate(start=3), strict=True):
        np.testing.assert_array_equal(one.low_res_logits, two.low_res_logits)
        assert one.object_ids == two.object_ids == (1, 2)
