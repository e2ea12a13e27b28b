"""Training on crops of the input: the same pixels per object at a fraction of the cost."""

import torch
from torch import Tensor

from sam2_engine.modeling.prompt_encoder import PromptEncoder
from sam2_engine.modeling.sam2 import Sam2

__all__ = ["random_input_crop"]

_STRIDE = 16


def random_input_crop(model: Sam2, size: int, full_size: int, generator: torch.Generator) -> Tensor:
    """Make a model take inputs of ``size`` pixels as a crop, drawn at random, of its full input.

    Prompts are encoded relative to the input's side, so a model trained on small inputs alone would
    read a click on a full one at the wrong scale. Here the encodings are those of the full input.

    Parameters
    ----------
    model
        The model; no weight depends on its input size.
    size
        Side of the crop in pixels.
    full_size
        Side of the full input in pixels.
    generator
        Source of randomness.

    Returns
    -------
    Tensor
        (2,) x and y of the crop's corner, to be added to the prompts' points.
    """
    model.config = model.config.with_image_size(size)
    grid, full_grid = size // _STRIDE, full_size // _STRIDE
    x, y = torch.randint(0, full_grid - grid + 1, (2,), generator=generator).tolist()

    def dense_position(_: int, dtype: torch.dtype) -> Tensor:
        full = PromptEncoder.dense_position(encoder, full_grid, dtype)
        return full[:, :, y : y + grid, x : x + grid]

    encoder = model.sam_prompt_encoder
    encoder.image_size = full_size
    encoder.dense_position = dense_position  # type: ignore[method-assign,assignment]
    return torch.tensor([x, y], dtype=torch.float32) * _STRIDE
