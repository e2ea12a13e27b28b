"""Small holes and components of masks, found where the official package can find them."""

import warnings

import torch
from torch import Tensor

from sam2_engine.errors import InputWarning

__all__ = ["small_components", "warn_without_effect"]


def small_components(masks: Tensor, max_area: float) -> Tensor:
    """Return where (N, 1, H, W) masks have components (of eight neighbors) of at most ``max_area`` pixels.

    On other devices than CUDA there are none: what the official package does with them needs its CUDA
    extension, and without it leaves them as they are.
    """
    if max_area <= 0 or masks.device.type != "cuda":
        return torch.zeros_like(masks)
    return _small_components(masks, max_area)


def _small_components(masks: Tensor, max_area: float) -> Tensor:
    from skimage.measure import label  # slow to import, and seldom wanted

    small = torch.zeros_like(masks)
    for mask, result in zip(masks[:, 0].cpu().numpy(), small[:, 0]):
        labels = torch.from_numpy(label(mask, connectivity=2))
        is_small = labels.flatten().bincount() <= max_area
        is_small[0] = False
        result.copy_(is_small[labels])
    return small


def warn_without_effect(device: torch.device, instead: str, **areas: float) -> None:
    """Warn of areas that were asked for and have no effect on a device."""
    asked = [name for name, area in areas.items() if area > 0]
    if asked and device.type != "cuda":
        warnings.warn(
            f"{' and '.join(asked)} {'have' if len(asked) > 1 else 'has'} an effect on CUDA devices only, "
            f"as in the official package: on {device.type} masks stay as they are. {instead}",
            InputWarning,
            stacklevel=3,
        )
