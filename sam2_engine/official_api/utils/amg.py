"""Automatic mask generation's helpers: grids, crops, boxes, run lengths, small regions."""

from collections.abc import ItemsView, Iterator, Sequence, Sized
from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from sam2_engine.errors import InputError
from sam2_engine.image.mask_candidates import nested_crops
from sam2_engine.masks import compress_rle, decode_rle, encode_rle, mask_boxes, rle_area

__all__ = [
    "MaskData",
    "area_from_rle",
    "batch_iterator",
    "batched_mask_to_box",
    "box_xyxy_to_xywh",
    "build_all_layer_point_grids",
    "build_point_grid",
    "calculate_stability_score",
    "coco_encode_rle",
    "generate_crop_boxes",
    "is_box_near_crop_edge",
    "mask_to_rle_pytorch",
    "remove_small_regions",
    "rle_to_mask",
    "uncrop_boxes_xyxy",
    "uncrop_masks",
    "uncrop_points",
]


class MaskData:
    """Values of N masks under their names, each a list, an array or a tensor of length N.

    Examples
    --------
    >>> data = MaskData(scores=torch.tensor([0.9, 0.2]), names=["cell", "dirt"])
    >>> data.filter(data["scores"] > 0.5)
    >>> data["names"]
    ['cell']
    """

    def __init__(self, **kwargs: Any) -> None:
        self._stats: dict[str, Any] = {}
        for key, item in kwargs.items():
            self[key] = item

    def __setitem__(self, key: str, item: Any) -> None:
        if not isinstance(item, (list, np.ndarray, Tensor)):
            raise InputError(
                f"{key} of MaskData is a list, an array or a tensor, not a {type(item).__name__}."
            )
        self._stats[key] = item

    def __delitem__(self, key: str) -> None:
        del self._stats[key]

    def __getitem__(self, key: str) -> Any:
        return self._stats[key]

    def items(self) -> ItemsView[str, Any]:
        """Return names and values."""
        return self._stats.items()

    def filter(self, keep: Tensor) -> None:
        """Keep some masks, by (N,) bool or by their numbers."""
        numbers = keep.nonzero()[:, 0].tolist() if keep.dtype == torch.bool else keep.tolist()
        for key, item in self._stats.items():
            self._stats[key] = [item[i] for i in numbers] if isinstance(item, list) else item[numbers]

    def cat(self, new_stats: "MaskData") -> None:
        """Append the masks of another one."""
        for key, item in new_stats.items():
            mine = self._stats.get(key)
            if mine is None:
                self._stats[key] = deepcopy(item)
            elif isinstance(item, Tensor):
                self._stats[key] = torch.cat([mine, item])
            else:
                self._stats[key] = (
                    mine + deepcopy(item) if isinstance(item, list) else np.concatenate([mine, item])
                )

    def to_numpy(self) -> None:
        """Turn tensors into float32 arrays."""
        for key, item in self._stats.items():
            if isinstance(item, Tensor):
                self._stats[key] = item.float().detach().cpu().numpy()


def is_box_near_crop_edge(
    boxes: Tensor, crop_box: list[int], orig_box: list[int], atol: float = 20.0
) -> Tensor:
    """Return (N,) bool: boxes of a crop that end near an edge of it that is no edge of the image."""
    placed = uncrop_boxes_xyxy(boxes, crop_box).float()

    def near(edges: list[int]) -> Tensor:
        return (placed - torch.tensor(edges, device=placed.device)).abs() <= atol

    return (near(crop_box) & ~near(orig_box)).any(1)


def box_xyxy_to_xywh(box_xyxy: Any) -> Any:
    """Return a box, a list or (4,), as its first corner, width and height; (4, N) are N boxes."""
    box = deepcopy(box_xyxy)
    box[2], box[3] = box[2] - box[0], box[3] - box[1]
    return box


def batch_iterator(batch_size: int, *args: Any) -> Iterator[list[Any]]:
    """Yield the next ``batch_size`` items of all arguments.

    Raises
    ------
    InputError
        If they differ in length, or there are none.
    """
    if not args or len({len(cast(Sized, one)) for one in args}) > 1:
        raise InputError("batch_iterator takes one or more sequences of one length.")
    for start in range(0, len(args[0]), batch_size):
        yield [one[start : start + batch_size] for one in args]


def mask_to_rle_pytorch(tensor: Tensor) -> list[dict[str, Any]]:
    """Return COCO's run lengths of (N, H, W) masks."""
    return [encode_rle(mask) for mask in tensor.cpu().numpy()]


def rle_to_mask(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of run lengths."""
    return decode_rle(rle)


def area_from_rle(rle: dict[str, Any]) -> int:
    """Return the number of pixels of run lengths."""
    return rle_area(rle)


def coco_encode_rle(uncompressed_rle: dict[str, Any]) -> dict[str, Any]:
    """Return run lengths as a string, as COCO's own tools write them."""
    return compress_rle(uncompressed_rle)


def calculate_stability_score(masks: Tensor, mask_threshold: float, threshold_offset: float) -> Tensor:
    """Return the IoU of (..., H, W) logits above two thresholds, (...); not a number for an empty mask."""
    inner, outer = (
        (masks > mask_threshold + offset).sum((-2, -1)) for offset in (threshold_offset, -threshold_offset)
    )
    return inner / outer


def build_point_grid(n_per_side: int) -> NDArray[np.float64]:
    """Return the centers of a square grid over the unit square, (N * N, 2), row by row."""
    margin = 1 / (2 * n_per_side)
    centers = np.linspace(margin, 1 - margin, n_per_side)
    return np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)


def build_all_layer_point_grids(
    n_per_side: int, n_layers: int, scale_per_layer: int
) -> list[NDArray[np.float64]]:
    """Return the grids of the image and of ``n_layers`` layers of crops."""
    return [build_point_grid(int(n_per_side / scale_per_layer**layer)) for layer in range(n_layers + 1)]


def generate_crop_boxes(
    im_size: Sequence[int], n_layers: int, overlap_ratio: float
) -> tuple[list[list[int]], list[int]]:
    """Return the boxes of an (H, W) image and of its crops, and the layer of each."""
    crops = list(nested_crops(im_size[1], im_size[0], n_layers, overlap_ratio))
    return [list(crop[:4]) for crop in crops], [crop.layer for crop in crops]


def uncrop_boxes_xyxy(boxes: Tensor, crop_box: Sequence[int]) -> Tensor:
    """Move (N, 4) or (N, C, 4) boxes from a crop to the image."""
    return boxes + torch.tensor([*crop_box[:2], *crop_box[:2]], device=boxes.device)


def uncrop_points(points: Tensor, crop_box: Sequence[int]) -> Tensor:
    """Move (N, 2) or (N, C, 2) points from a crop to the image."""
    return points + torch.tensor(crop_box[:2], device=points.device)


def uncrop_masks(masks: Tensor, crop_box: Sequence[int], orig_h: int, orig_w: int) -> Tensor:
    """Place (..., h, w) masks of a crop in an empty image."""
    x0, y0, x1, y1 = crop_box
    if (x0, y0, x1, y1) == (0, 0, orig_w, orig_h):
        return masks
    return pad(masks, (x0, orig_w - x1, y0, orig_h - y1))


def remove_small_regions(
    mask: NDArray[np.bool_], area_thresh: float, mode: str
) -> tuple[NDArray[np.bool_], bool]:
    """Fill holes or drop components of fewer pixels than ``area_thresh``, and say whether there were any.

    Of components that are all small the largest stays. ``sam2_engine.masks.remove_small_regions`` does both.

    Raises
    ------
    InputError
        If ``mode`` is neither ``"holes"`` nor ``"islands"``.
    """
    from skimage.measure import label  # slow to import, and seldom wanted

    if mode not in ("holes", "islands"):
        raise InputError(f"mode is 'holes' or 'islands', not {mode!r}.")
    regions = label(mask != (mode == "holes"), connectivity=2)
    sizes = np.bincount(regions.ravel())
    small = sizes < area_thresh
    small[0] = False
    if not small.any():
        return mask, False
    if mode == "holes":
        return (regions == 0) | small[regions], True
    if small[1:].all():
        small[1 + sizes[1:].argmax()] = False
    return (regions > 0) & ~small[regions], True


def batched_mask_to_box(masks: Tensor) -> Tensor:
    """Return the inclusive boxes ``x0, y0, x1, y1``, (..., 4), of (..., H, W) masks; zeros if empty."""
    if not masks.numel():
        return torch.zeros(*masks.shape[:-2], 4, device=masks.device)
    return mask_boxes(masks.reshape(-1, *masks.shape[-2:])).reshape(*masks.shape[:-2], 4)
