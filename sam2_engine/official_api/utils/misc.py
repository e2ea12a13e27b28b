"""Video predictor's helpers: frames of a video, boxes and holes of masks, clicks joined."""

from typing import Any

import torch
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.masks import mask_boxes
from sam2_engine.official_api.missing import refusal
from sam2_engine.official_api.utils.small_regions import small_components, warn_without_effect
from sam2_engine.official_api.utils.video_frames import VideoFrames, open_video

__all__ = ["concat_points", "fill_holes_in_mask_scores", "load_video_frames", "mask_to_box"]

_FILLED = 0.1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

__getattr__ = refusal(__name__)


def load_video_frames(
    video_path: object,
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: tuple[float, float, float] = _MEAN,
    img_std: tuple[float, float, float] = _STD,
    async_loading_frames: bool = False,
    compute_device: torch.device = torch.device("cuda"),  # noqa: B008 - the official default
) -> tuple[VideoFrames, int, int]:
    """Open a video: its frames as the model's input, (T, 3, S, S), and its height and width in pixels.

    Frames are read when they are asked for, with or without ``async_loading_frames``.

    Raises
    ------
    InputError
        If it cannot be read, or the mean and deviation of colors are not those of the model.
    """
    if (tuple(img_mean), tuple(img_std)) != (_MEAN, _STD):
        raise InputError(
            f"Frames are normalized by img_mean={_MEAN} and img_std={_STD} here, as for all models."
        )
    device = torch.device("cpu") if offload_video_to_cpu else torch.device(compute_device)
    return open_video(video_path, image_size, device)


def mask_to_box(masks: Tensor) -> Tensor:
    """Return the inclusive boxes ``x0, y0, x1, y1``, (N, 1, 4) int32, of (N, 1, H, W) masks.

    An empty mask has the box ``W, H, -1, -1``.
    """
    height, width = masks.shape[-2:]
    boxes = mask_boxes(masks[:, 0]).int()
    boxes[~masks.flatten(1).any(1)] = boxes.new_tensor([width, height, -1, -1])
    return boxes[:, None]


def fill_holes_in_mask_scores(mask: Tensor, max_area: float) -> Tensor:
    """Fill holes of at most ``max_area`` pixels in (N, 1, H, W) logits; on CUDA devices only.

    Raises
    ------
    InputError
        If ``max_area`` is not above 0.
    """
    if max_area <= 0:
        raise InputError(f"max_area is above 0, not {max_area:g}.")
    warn_without_effect(mask.device, "", max_area=max_area)
    return torch.where(small_components(mask <= 0, max_area), _FILLED, mask)


def concat_points(
    old_point_inputs: dict[str, Any] | None, new_points: Tensor, new_labels: Tensor
) -> dict[str, Tensor]:
    """Join (N, P, 2) clicks and their (N, P) labels with earlier ones, which come first."""
    points, labels = [new_points], [new_labels]
    if old_point_inputs is not None:
        points.insert(0, old_point_inputs["point_coords"])
        labels.insert(0, old_point_inputs["point_labels"])
    return {"point_coords": torch.cat(points, 1), "point_labels": torch.cat(labels, 1)}
