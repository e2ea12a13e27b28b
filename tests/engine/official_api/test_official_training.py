"""A training loop written for the official package: its calls, what they give, and where gradients go."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sam2_engine import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api.build_sam import build_sam2
from sam2_engine.official_api.modeling.sam2_base import SAM2Base
from sam2_engine.official_api.sam2_image_predictor import SAM2ImagePredictor


@pytest.fixture
def predictor(small_model: Sam2) -> SAM2ImagePredictor:
    """An image is set, in a model whose weights can be trained."""
    model = SAM2Base(small_model)
    made = SAM2ImagePredictor(model)
    made.set_image(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    return made


def decode(
    predictor: SAM2ImagePredictor, multimask_output: bool = True, **prompts: Any
) -> tuple[Tensor, ...]:
    """What such loops do with a model's parts."""
    model, features = predictor.model, predictor._features
    assert features is not None
    asked = {"points": None, "boxes": None, "masks": None, **prompts}
    sparse, dense = model.sam_prompt_encoder(**asked)
    decoded: tuple[Tensor, ...] = model.sam_mask_decoder(
        image_embeddings=features["image_embed"][-1].unsqueeze(0),
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask_output,
        repeat_image=len(sparse) > 1,
        high_res_features=[level[-1].unsqueeze(0) for level in features["high_res_feats"]],
    )
    return decoded


CLICKS = torch.tensor([[[60.0, 60.0]], [[100.0, 90.0]]]), torch.ones(2, 1, dtype=torch.int32)


@pytest.mark.parametrize("multimask_output", [True, False])
def test_parts_of_a_model_give_what_the_predictor_gives(
    multimask_output: bool, predictor: SAM2ImagePredictor
) -> None:
    with torch.no_grad():
        masks, iou, tokens, presence = decode(predictor, multimask_output, points=CLICKS)
    count = 3 if multimask_output else 1
    assert (tokens.shape[:2], presence.shape) == ((2, count), (2, 1))
    _, expected_iou, expected = predictor._predict(*CLICKS, multimask_output=multimask_output)
    torch.testing.assert_close(masks.clamp(-32, 32), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(iou, expected_iou, atol=1e-5, rtol=1e-4)


def test_boxes_and_masks_are_encoded_as_officially(predictor: SAM2ImagePredictor) -> None:
    encoder, grid = predictor.model.sam_prompt_encoder, predictor.model.grid
    boxes, logits = torch.tensor([[20.0, 20, 60, 60]]), torch.randn(1, 1, 4 * grid, 4 * grid)
    channels = predictor.model.hidden_dim
    points = CLICKS[0][:1], CLICKS[1][:1]
    for prompts, tokens in (
        ({"points": points, "boxes": None, "masks": None}, 2),  # the last one is padding
        ({"points": None, "boxes": boxes, "masks": None}, 2),
        ({"points": points, "boxes": boxes, "masks": logits}, 3),
        ({"points": None, "boxes": None, "masks": logits}, 0),
        ({"points": None, "boxes": None, "masks": None}, 0),
    ):
        sparse, dense = encoder(**prompts)
        assert sparse.shape == (1, tokens, channels)
        assert dense.shape == (1, channels, grid, grid)


def test_a_step_reaches_the_parts_and_changes_what_is_predicted() -> None:
    model = build_sam2("nano", device="cpu", mode="train", hydra_overrides_extra=["++model.image_size=64"])
    assert model.training
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    clicks = CLICKS[0] / 2, CLICKS[1]
    masks, iou, _, _ = decode(predictor, points=clicks)
    predictor._transforms.postprocess_masks(masks, (48, 64)).square().mean().backward()
    reached = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"sam_prompt_encoder", "sam_mask_decoder"}
    optimizer.step()
    assert not torch.equal(decode(predictor, points=clicks)[1], iou)
    assert set(model.state_dict()) == set(build_sam2("nano", device="cpu").state_dict())


def test_what_cannot_be_decoded_is_refused(predictor: SAM2ImagePredictor) -> None:
    sparse, dense = predictor.model.sam_prompt_encoder(points=CLICKS, boxes=None, masks=None)
    given = {
        "image_embeddings": dense[:1],
        "image_pe": predictor.model.sam_prompt_encoder.get_dense_pe(),
        "sparse_prompt_embeddings": sparse,
        "dense_prompt_embeddings": dense,
        "multimask_output": True,
        "repeat_image": False,
    }
    with pytest.raises(InputError, match="all SAM 2 models use them"):
        predictor.model.sam_mask_decoder(**given)
    with pytest.raises(InputError, match="1 images for 2 prompts: with repeat_image=True"):
        predictor.model.sam_mask_decoder(**given, high_res_features=[dense, dense])
