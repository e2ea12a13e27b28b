from pathlib import Path

import numpy as np
import torch

from sam2_engine.feature_cache import FeatureCache, feature_key
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2


def features(value: float) -> ImageFeatures:
    return ImageFeatures(torch.full((1, 4, 2, 2), value), (torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 4, 4)))


def refuse() -> ImageFeatures:
    raise AssertionError("encoded although it was cached")


def test_the_least_recently_used_goes_first(small_model: Sam2) -> None:
    cache = FeatureCache(max_bytes=2 * features(0).num_bytes)
    for key in "ab":
        cache.get_or_encode(key, small_model, lambda: features(1))
    cache.get_or_encode("a", small_model, refuse)
    cache.get_or_encode("c", small_model, lambda: features(3))
    assert ("a" in cache, "b" in cache, "c" in cache) == (True, False, True)
    assert cache.num_bytes <= cache.max_bytes
    cache.clear()
    assert len(cache) == cache.num_bytes == 0


def test_one_frame_stays_however_large(small_model: Sam2) -> None:
    cache = FeatureCache(max_bytes=1)
    cache.get_or_encode("a", small_model, lambda: features(1))
    cache.get_or_encode("a", small_model, refuse)


def test_files_outlive_the_process_and_a_damaged_one_is_replaced(small_model: Sam2, tmp_path: Path) -> None:
    folder = tmp_path / "features"
    FeatureCache(folder=folder).get_or_encode("a", small_model, lambda: features(5))
    again = FeatureCache(folder=folder).get_or_encode("a", small_model, refuse)
    assert float(again.embedding[0, 0, 0, 0]) == 5
    (folder / "a.safetensors").write_bytes(b"cut off")
    renewed = FeatureCache(folder=folder).get_or_encode("a", small_model, lambda: features(6))
    assert float(renewed.embedding[0, 0, 0, 0]) == 6
    assert float(FeatureCache(folder=folder).get_or_encode("a", small_model, refuse).embedding.max()) == 6
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]


def test_the_key_tells_pixels_window_and_weights_apart(small_model: Sam2) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    key = feature_key(small_model, pixels, (0, 1))
    assert key == feature_key(small_model, pixels.copy(), (0, 1))
    others = [
        feature_key(small_model, pixels.reshape(4, 3), (0, 1)),
        feature_key(small_model, pixels.astype(np.uint16), (0, 1)),
        feature_key(small_model, pixels, (0, 2)),
    ]
    assert len({key, *others}) == 4
