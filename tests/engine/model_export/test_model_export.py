"""Parts of a model computed by ONNX Runtime and by PyTorch, and what cannot be exported."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import write_model_folder

from sam2_engine import InputError, load_model
from sam2_engine.model_export.card import describe
from sam2_engine.model_export.parts import Part, parts_of
from sam2_engine.model_export.precision import convert
from sam2_engine.model_export.writing import check_can_export, export_model, is_exported_model
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.loading import save_model

PARTS = ["image_encoder", "mask_decoder", "memory_encoder", "memory_attention"]


def drawn_inputs(part: Part, counts: dict[str, int]) -> dict[str, torch.Tensor]:
    """Return inputs of a part for so many objects, points, memories and pointers."""
    generator = torch.Generator().manual_seed(0)
    inputs = {}
    for name, example in part.inputs.items():
        shape = [
            counts[part.free[name][a]] if a in part.free[name] else n for a, n in enumerate(example.shape)
        ]
        if example.is_floating_point():
            inputs[name] = torch.randn(shape, generator=generator)
        else:
            inputs[name] = torch.randint(0, 3, shape, generator=generator)
    return inputs


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("count", [1, 3])
def test_onnx_runtime_computes_what_pytorch_does(
    small_model: Sam2, exported: Path, name: str, count: int
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    (part,) = (one for one in parts_of(small_model) if one.name == name)
    counts = {"objects": count, "points": 2 * count - 1, "memories": count + 1, "pointers": 4 * count}
    inputs = drawn_inputs(part, counts | ({"memories": 1, "pointers": 1} if count == 1 else {}))
    with torch.inference_mode():
        expected = part.module(**inputs)
    session = onnxruntime.InferenceSession(exported / f"{name}.onnx")
    computed = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    for ours, theirs in zip(computed, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert ours.shape == tuple(theirs.shape)
        assert np.abs(ours - theirs.numpy()).max() < 1e-4 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("name", PARTS)
def test_what_several_layers_read_is_stored_once(exported: Path, name: str) -> None:
    onnx = pytest.importorskip("onnx")
    stored = Counter(
        (one.data_type, tuple(one.dims), one.raw_data)
        for one in onnx.load(exported / f"{name}.onnx").graph.initializer
        if len(one.raw_data) >= 1024  # biases of seeded weights are all zeros
    )
    assert [(kind, shape) for (kind, shape, _), times in stored.items() if times > 1] == []


@pytest.mark.parametrize(("precision", "least"), [("float16", 1.5), ("int8", 1.2)])
def test_smaller_files_compute_nearly_the_same(
    small_model: Sam2, exported: Path, tmp_path: Path, precision: str, least: float
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    part = next(one for one in parts_of(small_model) if one.name == "image_encoder")
    inputs = {name: value.numpy() for name, value in drawn_inputs(part, {}).items()}
    whole, small = exported / "image_encoder.onnx", tmp_path / "image_encoder.onnx"
    shutil.copy(whole, small)
    assert convert(small, part.name, precision) == precision
    assert whole.stat().st_size > least * small.stat().st_size
    expected, *_ = onnxruntime.InferenceSession(whole).run(None, inputs)
    session = onnxruntime.InferenceSession(small)
    computed, *_ = session.run(None, inputs)
    assert computed.dtype == np.float32
    assert np.abs(computed - expected).mean() < 0.1 * np.abs(expected).mean()
    marks = session.get_modelmeta().custom_metadata_map
    assert marks["sam2_part"] == "image_encoder"  # what a file says of itself is kept
    assert convert(tmp_path / "unread.onnx", "mask_decoder", "int8") == "float32"


def test_the_card_says_what_is_in_the_files(small_model: Sam2, exported: Path) -> None:
    card = json.loads((exported / "card.json").read_text())
    assert list(card["parts"]) == PARTS
    assert card["model"] == "small-test"
    assert card["license"] == "CC0-1.0"
    assert card["image_size"] == 128
    assert card["memory"] == {"tokens": 64, "channels": 32, "recent": 6, "pointers": 16, "type": "bfloat16"}
    assert card["parts"]["mask_decoder"]["inputs"]["points"]["shape"] == ["objects", "points", 2]
    assert {entry["file"] for entry in card["parts"].values()} | {"card.json"} == {
        path.name for path in exported.iterdir()
    }
    assert is_exported_model(exported)
    for path in exported.iterdir():
        assert b"sam2_engine/" not in path.read_bytes(), "whoever exports does not tell where"


@pytest.mark.parametrize(
    ("license", "base", "stated", "commercial"),
    [
        ("CC-BY-4.0", "nano", "CC-BY-4.0", True),
        ("CC-BY-NC-4.0", "nano", "CC-BY-NC-4.0", False),
        (None, "nano", "not stated", None),
        ("CC-BY-4.0", "medsam2_latest", "CC-BY-4.0", False),
        ("CC-BY-4.0", "my own", "CC-BY-4.0", None),
    ],
)
def test_the_license_of_a_model_folder_goes_along(
    small_model: Sam2, tmp_path: Path, license: str | None, base: str, stated: str, commercial: bool | None
) -> None:
    save_model(small_model, tmp_path / "small.safetensors")
    folder = write_model_folder(tmp_path / "cells", tmp_path / "small.safetensors", license)
    models = [load_model(name, "cpu") for name in (folder, folder / "model.safetensors")]
    card = folder / "card.json"
    said = json.loads(card.read_text()) | {"base": base, "base_license": "that of the base"}
    card.write_text(json.dumps(said))
    for model in models:
        described = describe(model, parts_of(small_model, video=False), None)
        assert (described["license"], described["commercial_use"]) == (stated, commercial)
        assert described["made_from"] == {"model": base, "license": "that of the base"}


@pytest.mark.slow
def test_torch_programs_compute_the_same(small_model: Sam2, tmp_path: Path) -> None:
    export_model(small_model, tmp_path / "small", format="torch")
    for part in parts_of(small_model):
        program = torch.export.load(tmp_path / "small" / f"{part.name}.pt2").module()
        inputs = drawn_inputs(part, {"objects": 3, "points": 4, "memories": 5, "pointers": 6})
        with torch.inference_mode():
            computed, expected = program(**inputs), part.module(**inputs)
        torch.testing.assert_close(computed, expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_exported_is_refused(small_model: Sam2, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^Models are exported as onnx or torch, not as 'coreml'\.$"):
        export_model(small_model, tmp_path / "a", format="coreml")
    rough = load_model("nano", device="cpu", image_size=128, approximations="fast")
    with pytest.raises(InputError, match=r"^nano with .* cannot be exported, as windows change"):
        export_model(rough, tmp_path / "a")
    with pytest.raises(InputError, match="weights were converted"):
        export_model(load_model("nano", device="cpu", image_size=128).half(), tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an empty folder; choose another name"):
        export_model(small_model, tmp_path / "full")
    assert not is_exported_model(tmp_path / "full")
    assert not (tmp_path / "a").exists()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam2_engine.model_export.writing.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'^Export to ONNX needs onnx and onnxscript: pip install "sam2-pl'):
        check_can_export(None)
    check_can_export(None, "torch")


@pytest.mark.large
@pytest.mark.timeout(600)
def test_an_official_size_computes_the_same_at_1024_pixels(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Sam2(VARIANTS["sam2.1_hiera_tiny"]).eval().requires_grad_(False)
    export_model(model, tmp_path / "tiny")
    counts = {"objects": 2, "points": 3, "memories": 3, "pointers": 4}
    for part in parts_of(model):
        inputs = drawn_inputs(part, counts)
        with torch.inference_mode():
            expected = part.module(**inputs)
        session = onnxruntime.InferenceSession(tmp_path / "tiny" / f"{part.name}.onnx")
        computed = session.run(None, {key: value.numpy() for key, value in inputs.items()})
        several = expected if isinstance(expected, tuple) else (expected,)
        for ours, theirs in zip(computed, several, strict=True):
            assert np.abs(ours - theirs.numpy()).max() < 1e-5 * max(1.0, float(theirs.abs().max()))
