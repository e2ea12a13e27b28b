"""What prompts share is computed once, and gives each the masks that it would get alone."""

import pytest
import torch
from torch.nn import functional as F

from sam2_engine.modeling import sam2
from sam2_engine.modeling.mask_decoder import _deconvolved
from sam2_engine.modeling.sam2 import Sam2


@torch.inference_mode()
def test_prompts_on_a_shared_image_answer_as_on_images_of_their_own(small_model: Sam2) -> None:
    side = small_model.image_size
    features = small_model.encode_image(torch.rand(1, 3, side, side))
    points = torch.rand(3, 2, 2) * side
    labels = torch.ones(3, 2, dtype=torch.int32)
    shared = small_model.decode(features.embedding, features.high_res, points=points, labels=labels)
    repeated = small_model.decode(
        features.embedding.expand(3, -1, -1, -1), features.high_res, points=points, labels=labels
    )
    alone = small_model.decode(features.embedding, features.high_res, points=points[1:2], labels=labels[1:2])
    for name in ("low_res_logits", "iou", "presence_logit", "tokens"):
        one = getattr(shared, name)
        torch.testing.assert_close(one, getattr(repeated, name), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one[1:2], getattr(alone, name), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
@torch.inference_mode()
def test_a_few_prompts_at_a_time_answer_as_all_at_once(
    small_model: Sam2, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    side = small_model.image_size
    features = small_model.encode_image(torch.rand(5, 3, side, side))
    if shared:
        features = features[0]
    points = torch.rand(5, 1, 2) * side
    prompt = {"points": points, "labels": torch.ones(5, 1, dtype=torch.int32)}
    masks = torch.randn(5, 1, small_model.low_res_size, small_model.low_res_size)
    for given in (prompt, {**prompt, "mask_logits": masks}, {"mask_logits": masks, "pad_empty": True}):
        expected = small_model.decode(features.embedding, features.high_res, **given)
        with monkeypatch.context() as changed:
            changed.setattr(sam2, "_CELLS_AT_ONCE", 2 * small_model.grid**2)
            parts = small_model.decode(features.embedding, features.high_res, **given)
        for name in ("low_res_logits", "iou", "presence_logit", "tokens"):
            torch.testing.assert_close(getattr(parts, name), getattr(expected, name), atol=1e-4, rtol=1e-4)


def test_a_deconvolution_of_stride_two_is_a_linear_layer() -> None:
    layer = torch.nn.ConvTranspose2d(6, 4, kernel_size=2, stride=2)
    x = torch.rand(2, 3, 5, 6)
    expected = F.conv_transpose2d(x.permute(0, 3, 1, 2), layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(_deconvolved(x, layer).permute(0, 3, 1, 2), expected)
