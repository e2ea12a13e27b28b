"""Weights drawn by chance, with which signals neither vanish nor explode."""

import torch

from sam2_engine.modeling.sam2 import Sam2

__all__ = ["draw_weights"]


def draw_weights(model: Sam2, seed: int = 0, presence_bias: float = 6.0) -> Sam2:
    """Redraw every weight so that signals neither vanish nor explode, and objects are present."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim == 1 and name.endswith("weight"):
            noise = 1 + 0.1 * noise
        elif name.endswith("running_var"):
            noise = 1 + 0.1 * noise.abs()
        elif tensor.ndim >= 2 and "embed" not in name and "token" not in name:
            noise = noise / noise[0].numel() ** 0.5
        else:
            noise = 0.1 * noise
        tensor.copy_(noise)
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(presence_bias)
    return model.eval().requires_grad_(False)
