"""Transforms of the image predictor: images and prompts to the model's input, masks to the image's size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sam2_engine.errors import InputError
from sam2_engine.official_api.utils.small_regions import small_components
from sam2_engine.preprocessing import logits_to_size, normalize

__all__ = ["SAM2Transforms"]


class SAM2Transforms(nn.Module):
    """What the image predictor does with pixels, prompts and masks.

    Parameters
    ----------
    resolution
        Side of the model's input in pixels.
    mask_threshold
        Logit above which a pixel is inside.
    max_hole_area, max_sprinkle_area
        Holes and components of at most so many pixels of the low-resolution masks are filled and removed; on
        CUDA devices only, as in the official package.

    Examples
    --------
    >>> transforms = SAM2Transforms(resolution=128, mask_threshold=0.0)
    >>> transforms(np.zeros((48, 64, 3), np.uint8)).shape
    torch.Size([3, 128, 128])
    >>> transforms.transform_coords(torch.tensor([[32.0, 24.0]]), normalize=True, orig_hw=(48, 64))
    tensor([[64., 64.]])
    """

    def __init__(
        self,
        resolution: int,
        mask_threshold: float,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self.mean = [0.485, 0.456, 0.406]
        self.std = [0.229, 0.224, 0.225]

    def forward(self, x: NDArray[Any] | Image.Image) -> Tensor:
        """Turn an image into the model's input, (3, resolution, resolution)."""
        colors = self.to_tensor(x)[None]
        size = (self.resolution, self.resolution)
        resized = interpolate(colors, size, mode="bilinear", antialias=True, align_corners=False)
        return normalize(resized)[0]

    @staticmethod
    def to_tensor(x: NDArray[Any] | Image.Image) -> Tensor:
        """Return the colors of an image, (3, H, W): 8-bit over 255, float as they are.

        Raises
        ------
        InputError
            If it is no (H, W, 3) image of 8-bit or finite float values.
        """
        hint = "stack or convert it to RGB, or use sam2_engine.ImagePredictor, which reads all kinds"
        if isinstance(x, Image.Image) and x.mode != "RGB":
            raise InputError(f"The official predictor takes RGB images, not mode {x.mode!r}: {hint}.")
        pixels = np.asarray(x)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise InputError(
                f"The official predictor takes (H, W, 3) images, not shape {pixels.shape}: {hint}."
            )
        if pixels.dtype == np.uint8:
            return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C") / 255)
        if pixels.dtype not in (np.float32, np.float64):
            raise InputError(
                f"The official predictor takes 8-bit or float pixels, not {pixels.dtype}: "
                "use sam2_engine.ImagePredictor, which reads all kinds."
            )
        if not np.isfinite(pixels).all():
            raise InputError(
                "The image has pixels that are not finite: replace them, or use sam2_engine.ImagePredictor."
            )
        if pixels.max() > 1.5 or pixels.min() < -0.5:
            raise InputError(
                f"Float pixels are colors from 0 to 1 here, but these go from {pixels.min():g} to "
                f"{pixels.max():g}: "
                "give 8-bit pixels or divide by the largest value, or use sam2_engine.ImagePredictor."
            )
        return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C"))

    def forward_batch(self, img_list: Sequence[NDArray[Any] | Image.Image]) -> Tensor:
        """Turn images of any sizes into the model's input, (B, 3, resolution, resolution)."""
        return torch.stack([self(image) for image in img_list])

    def transform_coords(
        self, coords: Tensor, normalize: bool = False, orig_hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Turn (..., 2) coordinates into those of the model's input.

        They are fractions of width and height or, with ``normalize``, pixels of an image of ``orig_hw``.
        """
        if normalize:
            if orig_hw is None:
                raise InputError("With normalize=True, give the image's size as orig_hw=(height, width).")
            return coords * (self.resolution / coords.new_tensor([orig_hw[1], orig_hw[0]]))
        return coords * self.resolution

    def transform_boxes(
        self, boxes: Tensor, normalize: bool = False, orig_hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Turn (N, 4) boxes into (N, 2, 2) corners in the model's input, as ``transform_coords``."""
        return self.transform_coords(boxes.reshape(-1, 2, 2), normalize, orig_hw)

    def postprocess_masks(self, masks: Tensor, orig_hw: tuple[int, int]) -> Tensor:
        """Resize (N, M, h, w) logits to an image of ``orig_hw``, with small regions changed before."""
        logits = masks.float()
        flat, threshold = logits.flatten(0, 1)[:, None], self.mask_threshold
        holes = small_components(flat <= threshold, self.max_hole_area)
        components = small_components(flat > threshold, self.max_sprinkle_area)
        filled = torch.where(holes, threshold + 10.0, flat)
        cleaned = torch.where(components, threshold - 10.0, filled)
        return logits_to_size(cleaned.view_as(logits), orig_hw)
