"""Model folders: what training writes loads and is added with its card, and a card that lies is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_folders import plain

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.interactive_training import PromptConfig
from sam2_engine.training.fine_tuning.run import Outcome, fine_tune
from sam2_engine.weights.downloads import add
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.locations import find, list_models, name_of
from sam2_engine.weights.model_folder import CARD_FILE, ModelCard, allows_commercial_use, read_card


def _train(model: str, folder: Path, output: Path | None = None, **settings: Any) -> Outcome:
    config = TrainingConfig(
        model, steps=1, batch_size=1, clip_length=2, prompts=PromptConfig(corrections=0), **settings
    )
    with find_dataset(plain(folder / "data", frames=4)) as data:
        return fine_tune(config, data, folder / "run", output, license="CC-BY-4.0")


@pytest.fixture(scope="module")
def trained(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run, and a copy of its model without the run's files."""
    folder = tmp_path_factory.mktemp("trained")
    _train(str(small_checkpoint), folder, folder / "cells")
    return folder / "cells"


@pytest.fixture
def cells(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained, tmp_path / "cells")
    return tmp_path / "cells"


def test_a_folder_says_what_it_is(cells: Path) -> None:
    assert {path.name for path in cells.iterdir()} == {"model.safetensors", "card.json", "README.md"}
    card = read_card(cells)
    assert isinstance(card, ModelCard)
    assert (card.name, card.architecture, card.steps, card.license) == ("cells", "small", 1, "CC-BY-4.0")
    assert card.base == "small.safetensors"
    assert card.data["frames"] == 3
    assert card.data["objects"] > 0
    assert card.gain.startswith("Gain on 1 held-out frame: IoU after one click")
    assert card.preprocessing.input_size == 128
    readme = (cells / "README.md").read_text()
    assert readme.startswith("---\nlibrary_name: sam2-plugins\n")
    assert "license: cc-by-4.0\n" in readme
    assert card.gain in readme


def test_a_readme_of_one_s_own_stays(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "README.md").write_text("my notes")
    _train(str(small_checkpoint), tmp_path)
    assert (tmp_path / "run" / "README.md").read_text() == "my notes"
    assert read_card(tmp_path / "run") is not None


def test_it_loads_from_the_folder_and_by_a_name_with_its_card(cells: Path) -> None:
    weights = load_model(cells, "cpu").state_dict()
    path = add(cells, "mine")
    assert (name_of(path), find("mine")) == ("mine", path)
    loaded = load_model("mine", "cpu")
    assert loaded.loaded_as == ("mine", None)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())
    status = next(one for one in list_models() if one.name == "mine")
    assert status.card == replace(read_card(cells), name="mine")
    with pytest.raises(InputError, match="There is a model mine already"):
        add(cells / "model.safetensors", "mine")
    assert add(cells / "model.safetensors", "mine", overwrite=True) == find("mine")
    assert next(one for one in list_models() if one.name == "mine").card is None
    assert add(cells, "mine", overwrite=True) == find("mine") == path
    with pytest.raises(InputError, match="nano is the name of another model"):
        add(cells, "nano")


def test_adapters_over_a_named_model_are_small_folders(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    add(small_checkpoint, "base")
    outcome = _train("base", tmp_path, lora=2)
    assert outcome.weights == tmp_path / "run" / "adapter.safetensors"
    card = read_card(tmp_path / "run")
    assert card is not None
    assert (card.base, card.trained) == ("base", "low-rank adapters of rank 2 on trunk,decoder")
    assert outcome.weights.stat().st_size < small_checkpoint.stat().st_size / 5
    assert load_model(tmp_path / "run", "cpu").config.name == "small"
    add(tmp_path / "run", "adapted")
    assert load_model("adapted", "cpu").config.name == "small"
    assert not (tmp_path / "cache" / "checkpoints" / "adapted" / "checkpoint.pt").exists()
    _lie(tmp_path / "run", trained="low-rank adapters of rank 16 on trunk,decoder")
    with pytest.raises(InputError, match="says adapters of rank 16, and these are of rank 2; get the folder"):
        load_model(tmp_path / "run", "cpu")
    _lie(tmp_path / "run", trained=card.trained)
    _lie(tmp_path / "run", base_digest="0" * 64)
    with pytest.raises(InputError, match="says another base model than the adapter does"):
        load_model(tmp_path / "run", "cpu")


_TAUGHT = {
    "channels": "gray",
    "pixels": "uint8",
    "window": "8 bits as they are",
    "input_size": 128,
    "axes": "YX",
}


def _lie(folder: Path, **values: Any) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, **values}))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"sha256": "0" * 64},
            r"The card of .*cells is not that of its model\.safetensors: it says another ",
        ),
        ({"architecture": "nano"}, "says nano, and the weights are of small; get the folder again"),
        ({"base": "sam2.1_hiera_tiny"}, r"made from sam2\.1_hiera_tiny, which is a sam2\.1_hiera_tiny, and "),
        ({"steps": "many"}, r"The card .*card\.json cannot be read"),
        ({"preprocessing": {}}, r"The card .*card\.json cannot be read"),
        (
            {"preprocessing": {**_TAUGHT, "window": ["dark", "bright"]}},
            r"The card .*card\.json cannot be read",
        ),
        ({"preprocessing": {**_TAUGHT, "axes": 3}}, r"The card .*card\.json cannot be read"),
        ({"citation": "\x1b[31mred"}, r"The card .*card\.json cannot be read"),
        ({"license": 5}, r"The card .*card\.json cannot be read"),
        ({"format": 99}, "or of another version of this software"),
    ],
)
def test_a_card_that_lies_is_refused(cells: Path, values: dict[str, Any], sentence: str) -> None:
    _lie(cells, **values)
    for use in (lambda: load_model(cells, "cpu"), lambda: add(cells, "mine")):
        with pytest.raises(InputError, match=sentence):
            use()
    assert find("mine") is None


def test_a_size_that_does_not_fit_is_refused(cells: Path) -> None:
    taught = json.loads((cells / CARD_FILE).read_text())["preprocessing"]
    _lie(cells, preprocessing={**taught, "input_size": 512})
    with pytest.raises(InputError, match="says an input of 512 pixels, and the weights say 128"):
        load_model(cells, "cpu")
    (cells / CARD_FILE).unlink()
    assert load_model(cells, "cpu").image_size == 128
    (cells / "model.safetensors").unlink()
    with pytest.raises(InputError, match="There is no model in the folder"):
        load_model(cells, "cpu")


def test_licenses_that_are_asked_for(cells: Path) -> None:
    card = read_card(cells)
    assert card is not None
    assert not card.needs_consent
    assert allows_commercial_use("MIT")
    _lie(cells, license=None)
    unlicensed = read_card(cells)
    assert unlicensed is not None
    assert unlicensed.needs_consent
