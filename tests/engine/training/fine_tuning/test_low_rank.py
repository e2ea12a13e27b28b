"""Low-rank adapters: what is trained, what they change, and their files over the right base."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import config_to_dict
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.low_rank import (
    LowRank,
    adapted_layers,
    add_adapters,
    merge_adapters,
)
from sam2_engine.weights.adapters import Adapter, AdapterBase, weights_digest
from sam2_engine.weights.downloads import add
from sam2_engine.weights.loading import load_model, save_model


@pytest.fixture
def base(small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam2:
    """The small model, added under the name ``cells``."""
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    add(small_checkpoint, "cells")
    return load_model("cells", "cpu")


def _embedding(model: Sam2) -> torch.Tensor:
    with torch.no_grad():
        return model.encode_image(torch.linspace(-1, 1, 3 * 128 * 128).view(1, 3, 128, 128)).embedding


def _changed(model: Sam2, blocks: str = "trunk,decoder") -> Adapter:
    """Give a model drawn adapters, and return them."""
    digest = weights_digest(model.state_dict())
    for name, parameter in add_adapters(model, 2, blocks).items():
        torch.manual_seed(len(name))
        torch.nn.init.normal_(parameter, std=0.1)
    return Adapter(AdapterBase("cells", digest), model.config, LowRank.scale, merge_adapters(model))


def test_only_adapters_take_gradients_and_nothing_changes_before_they_are_trained(base: Sam2) -> None:
    before = _embedding(base)
    names = [*dict(base.named_parameters())]
    trained = add_adapters(base, 2, "2-3,decoder")
    assert torch.equal(_embedding(base), before)
    base.encode_image(torch.ones(1, 3, 128, 128)).embedding.square().sum().backward()
    with_gradient = {name for name, one in base.named_parameters() if one.grad is not None}
    assert with_gradient == {name for name in trained if ".blocks.2." in name or ".blocks.3." in name}
    assert all(".lora_" in name for name in trained)
    merge_adapters(base)
    assert {*dict(base.named_parameters())} == {*names}


def test_merged_is_unmerged_and_loaded_is_merged(base: Sam2, tmp_path: Path) -> None:
    before = _embedding(base)
    digest = weights_digest(base.state_dict())
    for parameter in add_adapters(base, 2, "trunk,decoder,memory").values():
        torch.nn.init.normal_(parameter, std=0.1)
    unmerged = _embedding(base)
    adapter = Adapter(AdapterBase("cells", digest), base.config, LowRank.scale, merge_adapters(base))
    assert not torch.allclose(unmerged, before)
    assert torch.equal(_embedding(base), unmerged)
    file = tmp_path / "adapter.safetensors"
    adapter.save(file)
    loaded = load_model(file, "cpu")
    assert all(torch.equal(one, base.state_dict()[name]) for name, one in loaded.state_dict().items())
    assert torch.equal(_embedding(loaded), unmerged)
    assert file.stat().st_size < 60_000


def test_an_adapter_is_added_by_name_and_refused_over_another_base(
    base: Sam2, tmp_path: Path, small_checkpoint: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    _changed(base).save(file)
    assert add(file).name == "mine.safetensors"
    assert torch.equal(_embedding(load_model("mine", "cpu")), _embedding(base))
    other = load_model(small_checkpoint, "cpu")
    with torch.no_grad():
        other.no_mem_embed.add_(1)
    save_model(other, tmp_path / "other.safetensors")
    add(tmp_path / "other.safetensors", "cells", overwrite=True)
    with pytest.raises(InputError, match=r"mine\.safetensors is an adapter for another cells than the one"):
        load_model("mine", "cpu")


def test_an_adapter_without_its_base_or_damaged_is_refused(
    base: Sam2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = _changed(base, "decoder")
    file = tmp_path / "mine.safetensors"
    replace(adapter, layers={"image_encoder.nothing": next(iter(adapter.layers.values()))}).save(file)
    with pytest.raises(InputError, match=r"changes a layer that cells does not have: image_encoder\.nothing"):
        load_model(file, "cpu")
    replace(adapter, layers={}).save(file)
    with pytest.raises(InputError, match="cannot be read"):
        load_model(file, "cpu")
    adapter.save(file)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=r"adapter for the model cells, which is not on this machine"):
        load_model(file, "cpu")


def _edited(file: Path, **values: object) -> Path:
    """Write a copy of an adapter that says something else of itself, with the same matrices."""
    with safe_open(file, "pt") as opened:
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = opened.metadata()
    said = json.loads(metadata["sam2_adapter"])
    edited = file.with_stem("edited")
    save_file(weights, edited, metadata={**metadata, "sam2_adapter": json.dumps({**said, **values})})
    return edited


def test_an_adapter_whose_strength_or_rank_was_edited_is_refused(base: Sam2, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    _changed(base).save(file)
    assert torch.equal(_embedding(load_model(_edited(file), "cpu")), _embedding(base))
    config = {**config_to_dict(base.config), "best_confidence": 0.1}
    for values in ({"scale": 1.0}, {"scale": float("nan")}, {"config": config}, {"name": "nano"}):
        with pytest.raises(
            InputError, match=r"What .*edited\.safetensors says of itself was edited after it"
        ):
            load_model(_edited(file, **values), "cpu")
    with safe_open(file, "pt") as opened:
        weights, metadata = {n: opened.get_tensor(n) for n in opened.keys()}, opened.metadata()  # noqa: SIM118
    halved = {name: one[:1] if "lora_A" in name else one[:, :1].contiguous() for name, one in weights.items()}
    save_file(halved, tmp_path / "rank.safetensors", metadata=metadata)
    with pytest.raises(InputError, match="says of itself was edited"):
        load_model(tmp_path / "rank.safetensors", "cpu")
    doubled = {name: 2 * one for name, one in weights.items()}
    save_file(doubled, tmp_path / "values.safetensors", metadata=metadata)
    with pytest.raises(InputError, match=r"values\.safetensors cannot be read \(it is damaged"):
        load_model(tmp_path / "values.safetensors", "cpu")


def test_ranks_and_places_that_are_none_are_refused(base: Sam2) -> None:
    with pytest.raises(InputError, match=r"lora = 100000: the layers of small.* have a rank of \d+ at most"):
        add_adapters(base, 100_000, "trunk,decoder")
    for settings, sentence in (
        ({"lora_blocks": "decoder"}, "lora_blocks = 'decoder' says where adapters go, and there are none"),
        ({"steps": 10**10}, "steps = 10000000000: it must be 1,000,000,000 or less"),
        ({"seed": -1}, "seed = -1: it must be from 0 to 4,294,967,295"),
        ({"seed": 2**40}, "seed = 1099511627776: it must be from 0 to 4,294,967,295"),
    ):
        with pytest.raises(InputError, match=sentence):
            TrainingConfig.from_dict(settings)


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ("trunks", r"blocks of the trunk by number \(8-11\), with commas between them, not to 'trunks'"),
        ("3-9", "has the blocks 0 to 4, not 3-9"),
        ("3-1", "has the blocks 0 to 4, not 3-1"),
        ("", "not to ''"),
    ],
)
def test_blocks_that_are_not(base: Sam2, blocks: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        adapted_layers(base, blocks)


def test_settings_that_exclude_each_other() -> None:
    with pytest.raises(InputError, match="leave out lora or train_image_encoder"):
        TrainingConfig(lora=4, train_image_encoder=True)
    with pytest.raises(InputError, match="lora = -1"):
        TrainingConfig(lora=-1)
    assert TrainingConfig(lora=4).changes_encoder
    assert not TrainingConfig(lora=4, lora_blocks="decoder").changes_encoder
    assert not TrainingConfig().changes_encoder
