from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine import ImagePredictor, VideoSession, feature_cache
from sam2_engine.feature_cache import FeatureCache, encoder_fingerprint, feature_key, weights_fingerprint
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


def other_weights(model: Sam2) -> dict[str, torch.Tensor]:
    return {name: tensor * 1.1 for name, tensor in model.state_dict().items()}


def take_a_step(model: Sam2) -> None:
    model.requires_grad_(True)
    model.encode_image(torch.ones(1, 3, 128, 128)).embedding.square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model.requires_grad_(False).zero_grad()


def load_others(model: Sam2) -> None:
    model.load_state_dict(other_weights(model))


def assign_others(model: Sam2) -> None:
    model.load_state_dict(other_weights(model), assign=True)


def change_in_place(model: Sam2) -> None:
    with torch.no_grad():
        model.image_encoder.trunk.blocks[0].norm1.weight[0] += 1


def change_without_a_version(model: Sam2) -> None:
    for parameter in model.parameters():
        parameter.data.mul_(1.1)


def change_rows_without_a_version(model: Sam2) -> None:
    """Rows of one matrix, as pruning does."""
    weight = model.image_encoder.trunk.blocks[1].attn.qkv.weight
    weight.data[1 : 1 + len(weight) // 20] = 0


def change_through_numpy(model: Sam2) -> None:
    model.image_encoder.trunk.blocks[0].attn.proj.weight.detach().numpy()[3, 5] += 1


def exchange_rows_without_a_version(model: Sam2) -> None:
    weight = model.image_encoder.trunk.blocks[0].attn.qkv.weight
    weight.data[[1, 2]] = weight.data[[2, 1]]


def hook_a_layer(model: Sam2) -> None:
    model.image_encoder.trunk.blocks[0].register_forward_hook(lambda module, given, answer: answer * 0.5)


def change_position_without_a_version(model: Sam2) -> None:
    model.image_encoder.trunk.pos_embed.data.add_(0.1)


def change_what_the_decoder_sees(model: Sam2) -> None:
    with torch.no_grad():
        model.sam_mask_decoder.conv_s0.weight.mul_(1.1)


CHANGES = [
    take_a_step,
    load_others,
    assign_others,
    change_in_place,
    change_without_a_version,
    change_rows_without_a_version,
    change_through_numpy,
    exchange_rows_without_a_version,
    hook_a_layer,
    change_position_without_a_version,
    change_what_the_decoder_sees,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("on_disk", [False, True])
def test_no_features_of_earlier_weights_are_used(
    change: Callable[[Sam2], None],
    on_disk: bool,
    small_model: Sam2,
    moving_discs: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    model = deepcopy(small_model)
    cache = FeatureCache(folder=tmp_path if on_disk else None)
    predictor = ImagePredictor(model, cache)
    predictor.set_image(moving_discs[0])
    session = VideoSession(model, moving_discs[:1], cache=FeatureCache(folder=tmp_path if on_disk else None))
    session.encode(0)
    change(model)
    if on_disk:
        cache.clear()
    fresh = ImagePredictor(deepcopy(model))
    fresh.set_image(moving_discs[0])
    predictor.set_image(moving_discs[0])
    for features in (predictor.features, session.encode(0)):
        for got, wanted in zip((features.embedding, *features.high_res), fresh_tensors(fresh)):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def fresh_tensors(predictor: ImagePredictor) -> tuple[torch.Tensor, ...]:
    return predictor.features.embedding, *predictor.features.high_res


def test_another_model_of_the_same_start_has_features_of_its_own(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    cache, other = FeatureCache(), deepcopy(small_model)
    assert encoder_fingerprint(other) == encoder_fingerprint(small_model)
    load_others(other)
    first, second = (ImagePredictor(model, cache) for model in (small_model, other))
    for predictor in (first, second):
        predictor.set_image(moving_discs[0])
    assert not torch.equal(first.features.embedding, second.features.embedding)


def test_weights_that_encode_nothing_cost_no_encoding(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    model = deepcopy(small_model)
    before, all_before = encoder_fingerprint(model), weights_fingerprint(model)
    with torch.no_grad():
        model.no_mem_embed.add_(1)
    assert encoder_fingerprint(model) == before
    assert weights_fingerprint(model) != all_before


def test_the_key_follows_everything_that_decides_the_features(small_model: Sam2) -> None:
    pixels = np.zeros((3, 4), np.uint8)
    model = deepcopy(small_model)
    keys = [feature_key(model, pixels)]
    model.compute_dtype = torch.bfloat16
    keys.append(feature_key(model, pixels))
    model.train()
    keys.append(feature_key(model, pixels))
    model.config = replace(model.config, image_size=96)
    keys.append(feature_key(model, pixels))
    keys.append(feature_key(model.double(), pixels))
    keys.append(feature_key(model, pixels, None, (0, 0, 2, 2)))
    assert len(set(keys)) == len(keys)


def test_the_weights_are_not_read_again_for_every_click(
    small_model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder_fingerprint(small_model)
    monkeypatch.setattr("sam2_engine.feature_cache._digest", refuse)
    encoder_fingerprint(small_model)


def test_pixels_that_nobody_can_write_to_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    original = feature_cache.hash_pixels
    monkeypatch.setattr(feature_cache, "hash_pixels", lambda p: hashed.append(p.size) or original(p))
    cache = FeatureCache()
    image = np.full((4, 4, 3), np.arange(3, dtype=np.uint8))
    for _ in range(2):
        cache.hashed(image[:2])
    assert hashed == [24, 24]  # somebody may have written to it
    image.setflags(write=False)
    hashed.clear()
    for _ in range(2):
        assert cache.hashed(image).digest() == original(image).digest()
        assert cache.hashed(image[:2]).digest() == original(image[:2]).digest()
        assert cache.hashed(image[2:]).digest() == original(image[2:]).digest()
    assert hashed == [48, 24, 24]
    writable = np.zeros((4, 4), np.uint8)
    view = writable[:]
    view.setflags(write=False)
    before = cache.hashed(view).digest()
    writable[0, 0] = 1
    assert cache.hashed(view).digest() != before
    del image
    fixed = np.frombuffer(bytes(range(16)), np.uint8)
    cache.hashed(fixed)
    assert len(cache._hashed) == 1  # what is gone is forgotten
