"""Auxiliary head for dense supervision of an encoder that starts from random weights.

Prompts alone train an encoder very slowly. This head reads the pyramid and predicts at stride 4
what is object, where objects end, and which way their center lies.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.sam2 import MASK_STRIDE, ImageFeatures
from sam2_engine.training.losses import dice_loss

__all__ = ["DenseHead", "dense_loss", "dense_targets"]

_REACH = 32.0


class DenseHead(nn.Module):
    """Foreground, boundary and offset to the object's center from an image's features."""

    def __init__(self, hidden_dim: int, width: int = 48) -> None:
        super().__init__()
        channels = (hidden_dim // 8, hidden_dim // 4, hidden_dim)
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, kernel_size=1) for c in channels)
        self.mix = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.out = nn.Conv2d(width, 4, kernel_size=1)

    def forward(self, features: ImageFeatures) -> Tensor:
        """Return (B, 4, S / 4, S / 4): foreground and boundary logits, offset in units of 32 pixels."""
        levels = (*features.high_res, features.embedding)
        size = levels[0].shape[-2:]
        total = sum(
            F.interpolate(lateral(level), size=size, mode="nearest")
            for lateral, level in zip(self.lateral, levels, strict=True)
        )
        result: Tensor = self.out(F.gelu(self.mix(F.gelu(torch.as_tensor(total)))))
        return result


def dense_targets(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make targets of (B, S, S) integer labels.

    Returns
    -------
    foreground, boundary
        (B, S / 4, S / 4) float, 0 or 1.
    offset
        (B, 2, S / 4, S / 4): from each cell to the center of its object, ``(x, y)`` in units of 32 pixels.
    """
    device = labels.device
    edge = torch.zeros(labels.shape, dtype=torch.bool, device=device)
    down, right = labels[:, 1:] != labels[:, :-1], labels[:, :, 1:] != labels[:, :, :-1]
    edge[:, 1:] |= down
    edge[:, :, 1:] |= right
    boundary = F.max_pool2d(edge.float(), MASK_STRIDE)
    cells = labels[:, MASK_STRIDE // 2 :: MASK_STRIDE, MASK_STRIDE // 2 :: MASK_STRIDE].long()
    batch, height, width = cells.shape
    count = int(cells.max()) + 1
    keys = (cells + torch.arange(batch, device=device)[:, None, None] * count).flatten()
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    position = torch.stack((x, y)).float()[None].expand(batch, -1, -1, -1)
    area = torch.bincount(keys, minlength=batch * count).clamp(min=1)
    centers = torch.stack(
        [torch.bincount(keys, position[:, axis].flatten(), minlength=batch * count) / area for axis in (0, 1)]
    )
    offset = centers[:, keys].view(2, batch, height, width).transpose(0, 1) - position
    return (cells > 0).float(), boundary, (offset * MASK_STRIDE / _REACH).float()


def dense_loss(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy and dice of foreground and boundary, smooth L1 of the offset inside objects."""
    foreground, boundary, offset = dense_targets(labels)
    output = output.float()
    loss = output.new_zeros(())
    for logits, target, weight in ((output[:, 0], foreground, 1.0), (output[:, 1], boundary, 3.0)):
        balance = 1 + (weight - 1) * target
        loss = loss + F.binary_cross_entropy_with_logits(logits, target, weight=balance)
        loss = loss + 0.5 * dice_loss(logits, target).mean()
    distance = F.smooth_l1_loss(output[:, 2:], offset, beta=0.2, reduction="none").sum(1)
    return loss + (distance * foreground).sum() / foreground.sum().clamp(min=1)
