"""A model is an ordinary module of PyTorch: called, trained, converted, exported, replicated."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from sam2_engine import InputError, load_model
from sam2_engine.modeling.sam2 import Sam2

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(batch: int = 1, objects: int = 2, points: int = 3) -> Inputs:
    """Pixels, points and labels for a model of 128 pixels."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, 3, 128, 128, generator=generator),
        128 * torch.rand(batch, objects, points, 2, generator=generator),
        torch.randint(0, 2, (batch, objects, points), generator=generator),
    )


# ---------------------------------------------------------------------- the call


def test_a_model_is_called_with_tensors(small_model: Sam2) -> None:
    with torch.no_grad():
        pixels, points, labels = inputs(batch=2)
        logits, iou, presence = small_model(pixels, points, labels)
        features = small_model.encode_image(pixels[1:])
        alone = small_model.predict_masks(
            small_model.without_memory(features.embedding),
            features.high_res,
            points=points[1],
            labels=labels[1],
        )
    assert logits.shape == (2, 2, 3, 32, 32)
    torch.testing.assert_close(logits[1], alone.low_res_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(iou[1], alone.iou, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(presence[1], alone.presence_logit[:, 0], atol=1e-4, rtol=1e-4)


def test_a_mask_goes_back_in(small_model: Sam2) -> None:
    with torch.no_grad():
        logits, _, _ = small_model(*inputs(), multimask=False)
        refined, iou, _ = small_model(*inputs(), mask_logits=logits[:, :, 0], multimask=False)
    assert refined.shape == logits.shape == (1, 2, 1, 32, 32)
    assert iou.shape == (1, 2, 1)
    assert not torch.equal(refined, logits)


def test_the_image_encoder_is_called_alone(small_model: Sam2) -> None:
    decoder = small_model.sam_mask_decoder
    with torch.no_grad():
        stride4, stride8, stride16 = small_model.image_encoder(inputs()[0])
        features = small_model.encode_image(inputs()[0])
        torch.testing.assert_close(stride16, features.embedding)
        torch.testing.assert_close(decoder.conv_s0(stride4), features.high_res[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(decoder.conv_s1(stride8), features.high_res[1], atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------- types


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 0.05), (torch.bfloat16, 0.2), (torch.float64, 1e-4)]
)
def test_converted_weights_compute_in_their_type(
    dtype: torch.dtype, tolerance: float, gradients: bool, small_model: Sam2
) -> None:
    with torch.set_grad_enabled(gradients):
        expected = small_model(*inputs())[0]
        logits = deepcopy(small_model).to(dtype)(*inputs())[0]
    assert logits.dtype == dtype
    assert (logits.double() - expected.double()).abs().mean() < tolerance * expected.std()


def test_a_call_computes_in_the_type_that_was_asked_for(small_checkpoint: Path) -> None:
    model = load_model(small_checkpoint, "cpu", "bfloat16")
    with torch.no_grad():
        chosen = model(*inputs())[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model.compute_dtype = torch.float32
            around = model(*inputs())[0]
    torch.testing.assert_close(chosen, around)


@pytest.mark.filterwarnings("ignore:.*quantization.*:DeprecationWarning")
@pytest.mark.parametrize("part", [None, "image_encoder", "memory_attention"])
def test_dynamic_int8_is_refused_and_never_nothing(part: str | None, small_model: Sam2) -> None:
    module = small_model if part is None else small_model.get_submodule(part)
    with pytest.raises(InputError, match="would leave them as they are: load_model"):
        torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)


# ---------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        (False, set()),
        (True, None),
        ("sam_mask_decoder", {"sam_mask_decoder"}),
        (["image_encoder.neck", "no_mem_embed"], {"image_encoder", "no_mem_embed"}),
    ],
)
def test_gradients_reach_what_is_trainable(
    trainable: Any, expected: set[str] | None, small_checkpoint: Path
) -> None:
    model = load_model(small_checkpoint, "cpu", "float32", trainable=trainable)
    assert not model.training
    chosen = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if expected is None:
        assert chosen == {name for name, _ in model.named_parameters()}
    else:
        assert {name.split(".")[0] for name in chosen} == expected
    logits = model(*inputs())[0]
    assert logits.requires_grad == bool(chosen)
    if chosen:
        logits.square().mean().backward()
        reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert reached
        assert reached <= chosen


def test_a_step_of_an_optimizer_changes_what_is_predicted(small_checkpoint: Path) -> None:
    model = load_model(small_checkpoint, "cpu", "float32", trainable="sam_mask_decoder").train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with torch.no_grad():
        before = model(*inputs())[0]
    model(*inputs())[0].square().mean().backward()
    optimizer.step()
    with torch.no_grad():
        assert not torch.equal(model(*inputs())[0], before)


def test_an_unknown_part_is_refused_with_the_nearest(small_checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"begins with 'mask_decoder' \(did you mean 'sam_mask_decoder'\?\)"):
        load_model(small_checkpoint, trainable="mask_decoder")


# ---------------------------------------------------------------------- other hands


@pytest.mark.parametrize("gradients", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_exported_program_takes_any_number_of_objects_and_points(
    gradients: bool, small_model: Sam2, tmp_path: Path
) -> None:
    sizes = {1: Dim("objects"), 2: Dim("points")}
    with torch.set_grad_enabled(gradients):
        program = torch.export.export(
            small_model, inputs(), dynamic_shapes={"pixels": None, "points": sizes, "labels": sizes}
        )
    torch.export.save(program, tmp_path / "model.pt2")
    exported = torch.export.load(tmp_path / "model.pt2").module()
    for objects, points in ((1, 1), (2, 3), (5, 1), (200, 2)):
        given = inputs(objects=objects, points=points)
        with torch.no_grad():
            for ours, theirs in zip(small_model(*given), exported(*given), strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("gradients", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_model_and_its_encoder_compile_as_one_graph_each(gradients: bool, small_model: Sam2) -> None:
    torch.compiler.reset()
    pixels, points, labels = inputs()
    with torch.set_grad_enabled(gradients):
        encoder = torch.compile(small_model.image_encoder, fullgraph=True, backend="eager")
        torch.testing.assert_close(encoder(pixels), small_model.image_encoder(pixels))
        model = torch.compile(small_model, fullgraph=True, backend="eager")
        expected = small_model(pixels, points, labels)
        torch.testing.assert_close(model(pixels, points, labels), expected, atol=1e-4, rtol=1e-4)


def replica_of(model: nn.Module) -> nn.Module:
    """Return what DataParallel makes for a device: plain tensors in the places of parameters."""
    modules = list(model.modules())
    replicas = {module: module._replicate_for_data_parallel() for module in modules}
    for module, replica in replicas.items():
        for name, child in module._modules.items():
            replica._modules[name] = None if child is None else replicas[child]
        for name, parameter in module._parameters.items():
            setattr(replica, name, None if parameter is None else parameter * 1)
        for name, buffer in module._buffers.items():
            replica._buffers[name] = None if buffer is None else buffer.clone()
    return replicas[model]


@pytest.mark.parametrize("gradients", [False, True])
def test_replicas_of_data_parallel_answer_alike(gradients: bool, small_checkpoint: Path) -> None:
    model = load_model(small_checkpoint, "cpu", "float32", trainable=True)
    with torch.set_grad_enabled(gradients):
        expected = model(*inputs(batch=2))
        for answer in (replica_of(model)(*inputs(batch=2)), nn.DataParallel(model)(*inputs(batch=2))):
            torch.testing.assert_close(answer, expected)
    if gradients:
        answer[0].sum().backward()
        assert model.image_encoder.trunk.patch_embed.proj.weight.grad is not None


# ---------------------------------------------------------------------- files of plain weights


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("table", [None, "model", "state_dict"])
def test_plain_weights_load_when_the_variant_is_given(
    table: str | None, wrapper: str, small_model: Sam2, tmp_path: Path
) -> None:
    weights = {f"{wrapper}{name}": tensor for name, tensor in small_model.state_dict().items()}
    torch.save(weights if table is None else {table: weights, "epoch": 3}, tmp_path / "weights.pt")
    loaded = load_model(tmp_path / "weights.pt", "cpu", variant=small_model.config)
    assert loaded.config == small_model.config
    assert all(torch.equal(t, small_model.state_dict()[name]) for name, t in loaded.state_dict().items())


def test_plain_weights_without_a_variant_say_how_to_give_it(tmp_path: Path) -> None:
    nano = load_model("nano", "cpu")
    torch.save(nano.state_dict(), tmp_path / "nano.pt")
    assert load_model(tmp_path / "nano.pt", variant="nano").config == nano.config
    with pytest.raises(InputError, match=r"plain weights of another model load_model\(..., variant='nano'\)"):
        load_model(tmp_path / "nano.pt")
    with pytest.raises(InputError, match=r"no variant 'nanoo' \(did you mean 'nano'\?\)"):
        load_model(tmp_path / "nano.pt", variant="nanoo")
