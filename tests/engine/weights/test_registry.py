"""The registry of models: what it says is so, licenses are asked for, and files load as what they are."""

from pathlib import Path

import pytest
import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.downloads import add, download
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.locations import find
from sam2_engine.weights.registry import REGISTRY, RegisteredModel

BY_HAND = [model for model in REGISTRY.values() if model.page is not None and model.path is None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the server is one that nobody answers at."""
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", "http://127.0.0.1:9")
    return tmp_path / "cache" / "checkpoints"


def test_every_variant_is_registered_and_every_model_has_a_variant() -> None:
    assert {name for name, model in REGISTRY.items() if model.is_variant} == set(VARIANTS)
    sums = [model.sha256 for model in REGISTRY.values() if model.sha256 is not None]
    assert len(set(sums)) == len(sums)
    assert all(len(bytes.fromhex(one)) == 32 for one in sums)


@pytest.mark.parametrize("model", REGISTRY.values(), ids=REGISTRY)
def test_every_model_says_all_that_a_user_needs(model: RegisteredModel) -> None:
    assert model.config.image_size % model.config.size_step == 0
    assert all((model.license, model.purpose, model.pixels, model.citation))
    assert (model.server is None) == (model.path is None)
    assert model.page is None or model.page.startswith("https://")
    assert (model.page is None) == (model.name == "nano")


def test_a_license_that_forbids_something_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"has a license to accept first.*research.*accept_license=True"):
        download("medsam2_latest")
    with pytest.raises(InputError, match="Whether it allows commercial use is not known"):
        download("medical_sam2")
    for name in ("medsam2_latest", "medical_sam2"):
        with pytest.raises(InputError, match="No connection to"):
            download(name, accept_license=True)
    with pytest.raises(InputError, match="No connection to"):
        download("edgetam")


@pytest.mark.parametrize("model", BY_HAND, ids=[model.name for model in BY_HAND])
def test_what_no_program_can_fetch_says_where_it_is(model: RegisteredModel) -> None:
    with pytest.raises(InputError, match=rf"by hand only: .* from {model.page}.*--name {model.name}"):
        download(model.name, accept_license=True)
    with pytest.raises(InputError, match=rf"not on this machine: `sam2 models add FILE --name {model.name}"):
        load_model(model.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file", "entry"),
    [
        ("medsam2_ct_lesion", "MedSAM2_CTLesion.pt", "model"),
        ("surgical_sam2_endo18", "sam2_hiera_s_endo18.pth", "model"),
        ("efficient_medsam2_flare25_recist", "eff_medsam2_small_FLARE25_RECIST_baseline.pt", "model"),
    ],
)
def test_a_field_s_file_loads_by_name_and_by_its_authors_name(
    name: str, file: str, entry: str, tmp_path: Path, cache: Path
) -> None:
    model = REGISTRY[name]
    torch.manual_seed(0)
    weights = {key: tensor.bfloat16() for key, tensor in Sam2(VARIANTS[model.variant]).state_dict().items()}
    torch.save({entry: weights, "model_type": "hvit_t"}, tmp_path / file)
    if model.file_name is not None:
        assert load_model(tmp_path / file, device="cpu").image_size == 512
    path = add(tmp_path / file, None if model.file_name else name)
    assert path == cache / f"{name}{Path(file).suffix}" == find(name)
    loaded = load_model(name, device="cpu")
    assert (loaded.config.name, loaded.image_size) == (model.variant, model.image_size)
    assert loaded.loaded_as == (name, None)


def test_a_file_of_another_architecture_does_not_get_a_registered_name(tmp_path: Path, cache: Path) -> None:
    with torch.device("meta"):
        names = Sam2(VARIANTS["sam2_hiera_tiny"]).state_dict()
    weights = {name: torch.zeros(tensor.shape, dtype=torch.uint8) for name, tensor in names.items()}
    file = tmp_path / "mine.pt"
    torch.save({"model": weights}, file)
    with pytest.raises(InputError, match=r"looks like sam2\.1_hiera_tiny, but its weights do not match"):
        add(file, "medsam2_ct_lesion")
    with pytest.raises(InputError, match="bears the name of a model that it is not, medsam2_latest"):
        add(file, "medsam2_latest")
    assert not cache.exists()
