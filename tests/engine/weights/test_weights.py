"""Every layout of weights loads strictly, is recognized, and bad files end in one sentence."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.modeling.config import VARIANTS, config_to_dict
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.huggingface import to_huggingface
from sam2_engine.weights.loading import load_model, read_weights, recognize, save_model

KEY_LISTS = Path(__file__).parents[2] / "data" / "checkpoint_keys"
REAL_CHECKPOINTS = {
    "sam2.1_hiera_tiny": "sam2.1_hiera_tiny",
    "sam2.1_hiera_small": "sam2.1_hiera_small",
    "sam2.1_hiera_base_plus": "sam2.1_hiera_base_plus",
    "sam2.1_hiera_large": "sam2.1_hiera_large",
    "sam2_hiera_tiny_layout_medsam2": "sam2_hiera_tiny",
    "efficienttam_ti": "efficienttam_ti",
    "efficienttam_s": "efficienttam_s",
    "edgetam": "edgetam",
}


def key_list(stem: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes, read from lines of ``name <tab> (shape) <tab> type``."""
    rows = (line.split("\t") for line in (KEY_LISTS / f"{stem}.tsv").read_text().splitlines())
    return {name: tuple(int(n) for n in shape.strip("()").split(",") if n.strip()) for name, shape, _ in rows}


def meta_model(name: str) -> Sam2:
    with torch.device("meta"):
        return Sam2(VARIANTS[name])


@pytest.fixture(scope="module")
def nano() -> Sam2:
    torch.manual_seed(0)
    return Sam2(VARIANTS["nano"]).eval()


@pytest.fixture(scope="module")
def tiny_weights() -> dict[str, torch.Tensor]:
    """Weights in the official names, one byte each to be quick, of values that bfloat16 holds exactly."""
    generator = torch.Generator().manual_seed(1)
    shapes = {name: t.shape for name, t in meta_model("sam2.1_hiera_tiny").state_dict().items()}
    return {
        name: torch.randint(-64, 64, shape, generator=generator, dtype=torch.int8)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize(("stem", "variant"), REAL_CHECKPOINTS.items())
def test_model_matches_the_real_checkpoint_name_for_name(stem: str, variant: str) -> None:
    model = {name: tuple(tensor.shape) for name, tensor in meta_model(variant).state_dict().items()}
    assert model == key_list(stem)


@pytest.mark.parametrize(("stem", "variant"), REAL_CHECKPOINTS.items())
def test_variant_is_recognized_from_the_real_key_list(stem: str, variant: str) -> None:
    assert recognize(key_list(stem)) is VARIANTS[variant]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "hiera" in name or name == "edgetam"])
def test_variant_is_recognized_in_the_transformers_layout(variant: str) -> None:
    weights = to_huggingface(meta_model(variant).state_dict())
    assert recognize({name: tensor.shape for name, tensor in weights.items()}) is VARIANTS[variant]


@pytest.mark.parametrize("stem", ["efficienttam_ti_512x512", "efficienttam_s_1", "efficienttam_s_2"])
def test_relatives_of_equal_weights_are_told_by_the_name_of_the_file(stem: str) -> None:
    assert recognize(key_list(stem.rpartition("_")[0]), f"{stem}.pt") is VARIANTS[stem]


@pytest.fixture(scope="module")
def efficient_weights() -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros(shape, dtype=torch.uint8) for name, shape in key_list("efficienttam_ti").items()
    }


def test_what_is_assumed_of_a_relative_is_said(
    efficient_weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "mine.pt"
    torch.save({"model": efficient_weights}, path)
    with pytest.warns(InputWarning, match=r"mine.pt is taken for efficienttam_ti: efficienttam_ti_512x512"):
        assert read_weights(path)[0] is VARIANTS["efficienttam_ti"]
    assert load_model(path, "cpu", variant="efficienttam_ti_2").config.name == "efficienttam_ti_2"


def test_relatives_are_refused_in_a_sentence(
    efficient_weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "efficienttam_ti.pt"
    torch.save({"model": efficient_weights}, path)
    with pytest.raises(InputError, match=r"looks like sam2.1_hiera_tiny, but its weights do not match"):
        load_model(path, "cpu", variant="sam2.1_hiera_tiny")
    with pytest.raises(InputError, match=r"looks like efficienttam_s, but .* of another shape"):
        load_model(path, "cpu", variant="efficienttam_s")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="is damaged or incomplete"):
        load_model(path, "cpu")
    torch.save({"model": {k: t for k, t in efficient_weights.items() if "neck" not in k}}, path)
    with pytest.raises(InputError, match=r"looks like efficienttam_ti, .* 6 missing \(image_encoder.neck"):
        load_model(path, "cpu")
    torch.save({"model": efficient_weights}, tmp_path / "efficienttam_ti_1.pt")
    with pytest.raises(InputError, match=r"efficienttam_ti_1 cannot look in windows"):
        load_model(tmp_path / "efficienttam_ti_1.pt", "cpu", approximations="fast")


def test_own_file_restores_model_configuration_and_image_size(nano: Sam2, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_model(nano, path)
    loaded = load_model(path, device="cpu")
    assert loaded.config == nano.config
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in nano.state_dict().items())
    assert load_model(path, device="cpu", image_size=256).image_size == 256
    assert [p.name for p in tmp_path.iterdir()] == ["mine.safetensors"]


def test_half_precision_storage_halves_the_file_and_is_read_as_float32(nano: Sam2, tmp_path: Path) -> None:
    save_model(nano, tmp_path / "full.safetensors")
    save_model(nano, tmp_path / "half.safetensors", dtype=torch.float16)
    ratio = (tmp_path / "half.safetensors").stat().st_size / (tmp_path / "full.safetensors").stat().st_size
    assert 0.49 < ratio < 0.52
    loaded = load_model(tmp_path / "half.safetensors", device="cpu")
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    assert nano.dtype == torch.float32


def test_loaded_model_computes_like_the_saved_one(nano: Sam2, tmp_path: Path) -> None:
    save_model(nano, tmp_path / "nano.safetensors")
    loaded = load_model(tmp_path / "nano.safetensors", device="cpu", image_size=64)
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded.encode_image(pixels).embedding, nano.encode_image(pixels).embedding)


@pytest.mark.parametrize("wrapped", [True, False], ids=["official", "bare"])
def test_official_file_loads(wrapped: bool, tiny_weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    stored = {name: tensor.bfloat16() for name, tensor in tiny_weights.items()}
    torch.save({"model": stored, "epoch": 3} if wrapped else stored, path)
    config, weights = read_weights(path)
    assert config is VARIANTS["sam2.1_hiera_tiny"]
    assert weights.keys() == tiny_weights.keys()
    assert all(torch.equal(weights[name], tensor.float()) for name, tensor in tiny_weights.items())


def test_transformers_file_loads_with_and_without_the_copied_matrix(
    tiny_weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    whole = {name: tensor.contiguous() for name, tensor in to_huggingface(tiny_weights).items()}
    matrices = (
        "shared_image_embedding.positional_embedding",
        "prompt_encoder.shared_embedding.positional_embedding",
    )
    for left_out in (None, *matrices):
        stored = {name: tensor.clone() for name, tensor in whole.items() if name != left_out}
        save_file(stored, path, metadata={"format": "pt"})
        config, weights = read_weights(path)
        assert config is VARIANTS["sam2.1_hiera_tiny"]
        assert all(torch.equal(weights[name], tensor.float()) for name, tensor in tiny_weights.items())


def test_edgetam_loads_in_the_layout_of_transformers_too(tmp_path: Path) -> None:
    weights = {name: torch.randint(0, 9, shape) for name, shape in key_list("edgetam").items()}
    converted = {name: tensor.contiguous() for name, tensor in to_huggingface(weights).items()}
    assert len(converted) == 984
    save_file({name: tensor.clone() for name, tensor in converted.items()}, tmp_path / "model.safetensors")
    config, loaded = read_weights(tmp_path / "model.safetensors")
    assert config is VARIANTS["edgetam"]
    assert all(torch.equal(loaded[name], tensor.to(loaded[name].dtype)) for name, tensor in weights.items())
    image = {name: t.clone() for name, t in converted.items() if not name.startswith("memory_")}
    save_file(image, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="holds the image part of a model alone"):
        read_weights(tmp_path / "model.safetensors")


def test_metadata_is_plain_json(nano: Sam2, tmp_path: Path) -> None:
    save_model(nano, tmp_path / "nano.safetensors")
    with safe_open(tmp_path / "nano.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["sam2_config"]) == config_to_dict(nano.config)


def test_devices_and_types(nano: Sam2, tmp_path: Path) -> None:
    path = tmp_path / "nano.safetensors"
    save_model(nano, path)
    assert load_model(path, device="cpu").compute_dtype == torch.float32
    assert load_model(path, device="cpu", dtype="bfloat16").compute_dtype == torch.bfloat16
    assert load_model(path, device=torch.device("cpu"), dtype=torch.float32).dtype == torch.float32
    with pytest.raises(InputError, match="no device 'gpu'"):
        load_model(path, device="gpu")
    with pytest.raises(InputError, match="float8: give auto, float32"):
        load_model(path, device="cpu", dtype="float8")
    with pytest.raises(InputError, match="multiple of 32"):
        load_model(path, device="cpu", image_size=100)


class RunsCode:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.trace,)


def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    for name, write in {
        "zip.pt": torch.save,
        "plain.pt": lambda o, p: p.write_bytes(pickle.dumps(o)),
    }.items():
        write({"model": RunsCode(trace)}, tmp_path / name)
        with pytest.raises(InputError, match="code in it, which is never run"):
            load_model(tmp_path / name, device="cpu")
    assert not trace.exists()


def test_truncated_and_foreign_files_are_named(nano: Sam2, tmp_path: Path) -> None:
    torch.save({"model": nano.state_dict()}, tmp_path / "whole.pt")
    save_model(nano, tmp_path / "whole.safetensors")
    for suffix in ("pt", "safetensors"):
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        for length in (len(whole) // 2, 3, 0):
            cut = tmp_path / f"cut.{suffix}"
            cut.write_bytes(whole[:length])
            with pytest.raises(InputError, match="damaged"):
                load_model(cut, device="cpu")
    for content in ([1, 2], {"model": {"a": 1}}, {"model": {"fc.weight": torch.zeros(3)}}, {}):
        torch.save(content, tmp_path / "foreign.pt")
        with pytest.raises(InputError, match="does not hold a SAM 2 model"):
            load_model(tmp_path / "foreign.pt", device="cpu")


def test_what_does_not_match_is_named(tiny_weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    broken = dict(tiny_weights)
    del broken["no_obj_ptr"], broken["no_mem_embed"]
    broken["maskmem_tpos_enc"] = torch.zeros(9, 1, 1, 64)
    broken["extra.weight"] = torch.zeros(1)
    torch.save({"model": broken}, tmp_path / "broken.pt")
    with pytest.raises(InputError) as caught:
        read_weights(tmp_path / "broken.pt")
    message = str(caught.value)
    assert "2 missing (no_mem_embed, ...)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "1 of another shape (maskmem_tpos_enc)" in message


def test_image_part_alone_is_refused(tiny_weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    image_part = {
        name: tensor.clone()
        for name, tensor in to_huggingface(tiny_weights).items()
        if name.startswith(("vision_encoder", "mask_decoder", "prompt_encoder", "no_memory_embedding"))
    }
    save_file(image_part, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="image part of a model alone"):
        read_weights(tmp_path / "model.safetensors")


def test_unreadable_configuration_is_told(nano: Sam2, tmp_path: Path) -> None:
    for config in ("{", "[]", '{"name": "nano", "wings": 2}'):
        save_file(dict(nano.state_dict()), tmp_path / "n.safetensors", metadata={"sam2_config": config})
        with pytest.raises(InputError, match=r"configuration in .* cannot be read"):
            load_model(tmp_path / "n.safetensors", device="cpu")


def test_names_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"`sam2 download sam2.1_hiera_tiny` fetches it"):
        load_model("sam2.1_hiera_tiny", device="cpu")
    with pytest.raises(InputError, match=r"There is no model 'sam3_huge'.*nano"):
        load_model("sam3_huge", device="cpu")
    with pytest.raises(InputError, match=r"There is no checkpoint .*missing\.pt"):
        load_model(tmp_path / "missing.pt", device="cpu")


def test_another_model_under_an_official_name_is_refused(
    nano: Sam2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save_model(nano, folder / "sam2_hiera_tiny.safetensors")
    with pytest.raises(InputError, match="holds nano, not sam2_hiera_tiny"):
        load_model("sam2_hiera_tiny", device="cpu")


def test_failed_save_leaves_the_old_file(nano: Sam2, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be written"):
        save_model(nano, tmp_path / "no-such-folder" / "nano.safetensors")
    occupied = tmp_path / "nano.safetensors"
    (occupied / "kept").mkdir(parents=True)
    with pytest.raises(InputError, match="could not be written"):
        save_model(nano, occupied)
    assert [path.name for path in tmp_path.iterdir()] == ["nano.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    value: float, small_checkpoint: Path, tmp_path: Path
) -> None:
    """Every mask would be empty, as if the model saw nothing there."""
    with safe_open(small_checkpoint, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    weights["sam_mask_decoder.iou_token.weight"][0, 3] = value
    save_file(weights, tmp_path / "diverged.safetensors", metadata)
    with pytest.raises(InputError, match=r"diverged\.safetensors has weights that are no numbers .*iou_t"):
        load_model(tmp_path / "diverged.safetensors", device="cpu")


@pytest.mark.parametrize(
    "edited",
    [
        {"image_size": 256},
        {"intensities": "soft tissue"},
        {"keeps_aspect_ratio": True},
        {"num_recent_memories": 3},
        {"dynamic_multimask_via_stability": False},
    ],
)
def test_a_configuration_that_was_edited_is_refused(
    edited: dict[str, object], small_checkpoint: Path, tmp_path: Path
) -> None:
    with safe_open(small_checkpoint, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    config = json.loads(metadata["sam2_config"])
    assert edited.keys() <= config.keys()
    assert config != {**config, **edited}
    path = tmp_path / "edited.safetensors"
    save_file(weights, path, {**metadata, "sam2_config": json.dumps({**config, **edited})})
    with pytest.raises(InputError, match=r"What .*edited\.safetensors says of itself was edited"):
        load_model(path, device="cpu")
    save_file(weights, path, {**metadata, "written_by": "another program"})
    assert load_model(path, device="cpu").config.name == config["name"]


@pytest.mark.parametrize(
    "odd",
    [
        {"memory_attention_layers": 2**40},
        {"stages": [1, 1, 60_000, 1]},
        {"embed_dim": 2**40},
        {"embed_dim": 7},
        {"stages": [1, 2]},
        {"stages": "many"},
        {"image_size": None},
        {"image_size": 100},
        {"image_size": 0},
        {"intensities": 5},
        {"keeps_aspect_ratio": "yes"},
        {"num_heads": True},
        {"drop_path": float("nan")},
    ],
)
def test_a_configuration_beyond_any_model_is_refused(
    odd: dict[str, object], small_checkpoint: Path, tmp_path: Path
) -> None:
    with safe_open(small_checkpoint, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    config = {**json.loads(metadata["sam2_config"]), **odd}
    save_file(weights, tmp_path / "odd.safetensors", {"sam2_config": json.dumps(config)})
    with pytest.raises(InputError, match=r"odd\.safetensors"):
        load_model(tmp_path / "odd.safetensors", device="cpu")


def test_a_device_that_is_not_here_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="no device 'gpu' here: give auto or cpu"):
        load_model("nano", device="gpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(InputError, match="give auto, cpu or mps"):
        load_model("nano", device="gpu")


@pytest.mark.parametrize("name", ["nano+fast", "nano@320", "nano@320+fast"])
def test_a_name_for_commands_says_what_to_give_instead(name: str) -> None:
    with pytest.raises(InputError, match="give load_model 'nano', and image_size= or approximations= beside"):
        load_model(name, device="cpu")


@pytest.mark.parametrize("name", ["nano+slow", "nanoo+fast", "nano@big"])
def test_any_other_name_is_no_model(name: str) -> None:
    with pytest.raises(InputError, match="There is no model"):
        load_model(name, device="cpu")
