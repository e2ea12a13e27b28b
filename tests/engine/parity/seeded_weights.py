"""Weights drawn by seed from names and shapes alone, so that every package can be given the same ones.

Every tensor is drawn: plain initialization leaves some at zero (position embeddings, biases) or at
1e-6 (layer scales), and what they feed would go untested.
"""

import math
import re
import zlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_LEARNED_VECTORS = re.compile(
    r"(_embed|_embed_spatial|_pos_enc|_tpos_enc|_obj_ptr|pos_embed_window|_tokens?|point_embeddings\.\d)"
    r"(\.weight)?$"
)
PRESENCE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
_GAINS = {"sam_mask_decoder.pred_obj_score_head.layers.2.weight": 5.0, "obj_ptr_tpos_proj.weight": 8.0}
"""So that the scene decides over presence, and the time of a pointer over its weight, clear of rounding."""


def draw_weights(
    shapes: Mapping[str, Sequence[int]], seed: int = 9, presence_bias: float = 6.0
) -> dict[str, Tensor]:
    """Draw weights in the official layout.

    Parameters
    ----------
    shapes
        Official names and shapes of all tensors.
    seed
        A tensor depends on its name, its shape and the seed alone. The default gives masks of all sizes.
    presence_bias
        Bias of the presence head: large, and objects are always there.
    """
    weights = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        noise = torch.randn(tuple(shape), generator=generator)
        if name.endswith("gaussian_matrix"):
            weights[name] = noise
        elif name.endswith(".gamma"):
            weights[name] = 0.5 + 0.1 * noise
        elif _LEARNED_VECTORS.search(name):
            weights[name] = 0.1 * noise
        elif noise.ndim == 1:
            weights[name] = 1 + 0.1 * noise if name.endswith(".weight") else 0.05 * noise
        else:
            weights[name] = _GAINS.get(name, 1.0) * noise / math.sqrt(noise[0].numel())
    weights[PRESENCE_BIAS].fill_(presence_bias)
    return weights
