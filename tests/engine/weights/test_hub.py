"""The Hugging Face hub: a model pushed from one machine is the same on another; what is refused, and how."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_hub import TOKEN, FakeHub, fake_hub
from model_folders import write_model_folder

from sam2_engine.errors import InputError
from sam2_engine.weights import hub as hub_module
from sam2_engine.weights.downloads import download
from sam2_engine.weights.hub import fetch_from_hub, push
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.locations import find, list_models
from sam2_engine.weights.model_folder import read_card

pytest.importorskip("huggingface_hub")
# Of its client, about how it calls its own transport.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on loopback, and an empty machine whose owner may write there."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "here"))
    with fake_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


@pytest.fixture
def cells(small_checkpoint: Path, tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "cells", small_checkpoint, license="MIT")


def test_what_is_pushed_is_loaded_elsewhere_and_then_without_a_network(
    hub: FakeHub, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cells / "checkpoint.pt").write_bytes(b"of the run")
    assert push(cells, "lab/cells") == f"{hub.url}/lab/cells"
    assert {*hub.repositories["lab/cells"][-1]} == {"model.safetensors", "card.json", "README.md"}
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("HF_TOKEN")
    reports: list[tuple[int, int | None]] = []
    path = download("hf:lab/cells", lambda done, total: reports.append((done, total)))
    size = (cells / "model.safetensors").stat().st_size
    assert reports[-1] == (size, size)
    assert {one.name for one in path.parent.iterdir()} == {
        "model.safetensors",
        "card.json",
        "README.md",
        "source.json",
    }
    source = json.loads((path.parent / "source.json").read_text())
    assert (source["repository"], len(source["commit"])) == ("lab/cells", 40)
    hub.repositories["lab/cells"][-1]["model.safetensors"] = b"newer"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    loaded, pushed = load_model("hf:lab/cells", "cpu"), load_model(cells, "cpu")
    assert loaded.loaded_as == ("hf:lab/cells", None)
    assert all(torch.equal(one, pushed.state_dict()[name]) for name, one in loaded.state_dict().items())
    status = list_models()[-1]
    assert (status.name, status.path, status.origin) == ("hf:lab/cells", path, "hub")
    assert status.card == read_card(cells)


def test_load_model_fetches_by_itself_and_a_revision_stays(hub: FakeHub, cells: Path, tmp_path: Path) -> None:
    push(cells, "lab/cells")
    first = load_model("hf:lab/cells", "cpu")
    commit = json.loads((find("hf:lab/cells").parent / "source.json").read_text())["commit"]
    other = tmp_path / "other"
    shutil.copytree(cells, other)
    write_model_folder(other, cells / "model.safetensors", license="MIT", add=1.0)
    push(other, "lab/cells")
    assert _same(load_model("hf:lab/cells", "cpu"), first)
    assert _same(load_model(f"hf:lab/cells@{commit}", "cpu"), first)
    shutil.rmtree(find("hf:lab/cells").parent)
    assert not _same(load_model("hf:lab/cells", "cpu"), first)


def _same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(weight, other.state_dict()[name]) for name, weight in one.state_dict().items())


def test_a_license_that_nobody_states_is_asked_for(hub: FakeHub, cells: Path, small_checkpoint: Path) -> None:
    write_model_folder(cells, small_checkpoint, license=None)
    push(cells, "lab/cells")
    with pytest.raises(InputError, match=r"hf:lab/cells has a license to accept first. License: not stated"):
        load_model("hf:lab/cells", "cpu")
    assert not any("model.safetensors" in one for one in hub.asked if "/resolve/" in one)
    download("hf:lab/cells", accept_license=True)
    assert load_model("hf:lab/cells", "cpu").config.name == "small"


def test_a_repository_without_a_card_has_the_license_of_its_page(
    hub: FakeHub, small_checkpoint: Path
) -> None:
    weights = {"small.safetensors": small_checkpoint.read_bytes(), "README.md": b"---\nlicense: mit\n---\n"}
    hub.add("lab/free", weights)
    hub.add("lab/closed", {**weights, "README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"})
    assert load_model("hf:lab/free", "cpu").config.name == "small"
    with pytest.raises(InputError, match=r"License: cc-by-nc-4\.0"):
        load_model("hf:lab/closed", "cpu")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "hf:lab/pickled",
            r"holds pickles alone \(weights/model\.pt\), which may run code when they are read",
        ),
        ("hf:lab/empty", "holds no model: it should have one file model.safetensors"),
        ("hf:lab/nothing", "There is no model hf:lab/nothing on the hub, or it is private"),
        ("hf:lab/gated", "is open to those who asked for it"),
        ("hf:lab/empty@v7", "lab/empty has no revision v7"),
        ("hf:lab", "'hf:lab' is no name of a model on the hub: give hf:owner/name"),
        ("hf:lab/../cells", "is no name of a model on the hub"),
    ],
)
def test_what_is_refused(hub: FakeHub, name: str, sentence: str) -> None:
    hub.add("lab/pickled", {"weights/model.pt": b"code", "README.md": b""})
    hub.add("lab/empty", {"README.md": b""})
    for use in (load_model, download):
        with pytest.raises(InputError, match=sentence) as told:
            use(name)
        assert TOKEN not in str(told.value)
    assert not list(hub_module.HubName.parse("hf:lab/x").folder.parent.glob("*"))


def test_a_card_that_lies_is_refused_and_nothing_is_kept(hub: FakeHub, cells: Path) -> None:
    push(cells, "lab/cells")
    files = hub.repositories["lab/cells"][-1]
    files["card.json"] = (
        files["card.json"]
        .replace(b'"steps": 7', b'"steps": 8')
        .replace(read_card(cells).sha256.encode(), b"0" * 64)
    )
    with pytest.raises(InputError, match="it says another checksum"):
        load_model("hf:lab/cells", "cpu")
    assert find("hf:lab/cells") is None
    assert not list(hub_module.HubName.parse("lab/cells").folder.parent.iterdir())


def test_official_repositories_are_the_registered_models(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"No connection to 127\.0\.0\.1"):
        load_model("hf:facebook/sam2.1-hiera-tiny")
    assert not hub.asked


def test_pushing_needs_a_card_and_somebody_who_may(
    hub: FakeHub, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_someOtherToken")
    with pytest.raises(InputError, match=r"The hub answered HTTP 401 for hf:lab/cells: log in") as told:
        push(cells, "lab/cells")
    assert "hf_someOtherToken" not in str(told.value)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"No connection to the hub"):
        push(cells, "lab/cells")
    (cells / "card.json").unlink()
    with pytest.raises(InputError, match="has no card that says what it is"):
        push(cells, "lab/cells")


def test_without_the_extra_it_says_how_to_get_it(
    hub: FakeHub, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    for use in (lambda: fetch_from_hub("hf:lab/cells"), lambda: push(cells, "lab/cells")):
        with pytest.raises(InputError, match=r'pip install "sam2-plugins\[hub\]"'):
            use()
