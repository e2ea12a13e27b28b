"""Calls of the official helpers of automatic mask generation and of videos; official names only."""

from typing import Any

import numpy as np
import torch

MASKS = np.zeros((4, 12, 15), bool)
MASKS[0, 2:9, 3:11] = True
MASKS[0, 4, 5] = MASKS[0, 6:8, 6:9] = False
MASKS[0, 11, 14] = True
MASKS[1, 0, 0] = MASKS[1, 2:4, 7] = True
MASKS[2, 3:9, 2:14] = True
MASKS[2, 3:9, 13] = False
BOXES = torch.tensor([[0.0, 3, 40, 60], [5, 1, 79, 40], [25, 30, 50, 55]])


def helpers(amg: Any, misc: Any) -> dict[str, Any]:
    """Return the answers as lists."""
    masks = torch.from_numpy(MASKS)
    logits = torch.from_numpy(np.random.default_rng(2).normal(0.5, 1.5, MASKS.shape).astype(np.float32))
    logits[3] = -9
    runs = amg.mask_to_rle_pytorch(masks)
    answers: dict[str, Any] = {
        "mask_to_rle_pytorch": runs,
        "rle_to_mask": [amg.rle_to_mask(one) for one in runs],
        "area_from_rle": [amg.area_from_rle(one) for one in runs],
        "coco_encode_rle": [amg.coco_encode_rle(one) for one in runs],
        "calculate_stability_score": amg.calculate_stability_score(logits, 0.5, 1.0),
        "of one": amg.calculate_stability_score(logits[0], 0.0, 0.3),
        "build_point_grid": [amg.build_point_grid(side) for side in (1, 3, 4)],
        "build_all_layer_point_grids": amg.build_all_layer_point_grids(9, 2, 2),
        "generate_crop_boxes": [
            amg.generate_crop_boxes(size, layers, overlap)
            for size in ((90, 121), (50, 31))
            for layers in (0, 1, 2)
            for overlap in (0.0, 512 / 1500)
        ],
        "uncrop_boxes_xyxy": [amg.uncrop_boxes_xyxy(one, [7, 9, 87, 69]) for one in (BOXES, BOXES[:, None])],
        "uncrop_points": [
            amg.uncrop_points(one, [7, 9, 87, 69]) for one in (BOXES[:, :2], BOXES[:, None, 2:])
        ],
        "uncrop_masks": [amg.uncrop_masks(masks, box, 14, 18) for box in ([2, 1, 17, 13], [0, 0, 15, 12])],
        "all of it": amg.uncrop_masks(masks, [0, 0, 15, 12], 12, 15),
        "is_box_near_crop_edge": [
            amg.is_box_near_crop_edge(BOXES, [0, 9, 80, 69], [0, 0, 100, 100], atol) for atol in (20.0, 1.0)
        ],
        "box_xyxy_to_xywh": [amg.box_xyxy_to_xywh(BOXES[0]), amg.box_xyxy_to_xywh([3, 4, 8, 10])],
        "batched_mask_to_box": [
            amg.batched_mask_to_box(one)
            for one in (
                masks,
                masks[0],
                masks[:, None],
                masks[None],
                masks[:0],
                masks[:, None].repeat(1, 2, 1, 1),
            )
        ],
        "batch_iterator": list(amg.batch_iterator(2, [1, 2, 3], np.arange(3))),
        "remove_small_regions": [
            amg.remove_small_regions(mask, area, mode)
            for mask in MASKS[:3]
            for area in (0, 2, 5, 50)
            for mode in ("holes", "islands")
        ],
        "mask_to_box": misc.mask_to_box(masks[:, None]),
        "concat_points": [
            misc.concat_points(old, BOXES[None, :, :2], torch.ones(1, 3))
            for old in (None, {"point_coords": BOXES[None, :1, 2:], "point_labels": torch.zeros(1, 1)})
        ],
    }
    return {name: listed(answer) for name, answer in (answers | collections(amg)).items()}


def collections(amg: Any) -> dict[str, Any]:
    """Return what MaskData holds after each of its methods."""

    def make() -> Any:
        return amg.MaskData(boxes=BOXES.clone(), names=["a", "b", "c"], areas=np.array([5, 6, 7]))

    data, other = make(), make()
    data.filter(torch.tensor([True, False, True]))
    other.filter(torch.tensor([2, 0]))
    answers = {"filter": dict(data.items()), "by number": dict(other.items())}
    data.cat(other)
    data["more"] = [1, 2, 3, 4]
    answers["cat"] = dict(data.items())
    del data["more"]
    data.to_numpy()
    answers["to_numpy"] = {name: str(getattr(one, "dtype", "")) for name, one in data.items()}
    return answers


def listed(answer: Any) -> Any:
    """Return lists and their type of numbers; shapes with nothing in them, and None for what is no number."""
    if isinstance(answer, dict):
        return {name: listed(one) for name, one in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [listed(one) for one in answer]
    if isinstance(answer, torch.Tensor):
        answer = answer.numpy()
    if isinstance(answer, np.ndarray):
        values = np.nan_to_num(answer.astype(float), nan=-1.0).round(6)
        return [
            str(answer.dtype),
            list(answer.shape),
            values.tolist() if values.size < 130 else summed(values),
        ]
    return answer.item() if isinstance(answer, np.generic) else answer


def summed(values: Any) -> list[float]:
    """Return what a larger array is told by."""
    weights = np.arange(values.size).reshape(values.shape) % 101
    return [float(values.sum()), float((values * weights).sum())]
