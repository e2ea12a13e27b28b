"""Boxes, suppression, tidying and compact forms of masks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sam2_engine.masks import (
    PackedMask,
    decode_rle,
    encode_rle,
    mask_boxes,
    mask_stability,
    non_maximum_suppression,
    remove_small_regions,
    rle_area,
)

masks = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape))


@given(masks)
def test_run_lengths_and_packed_bits_give_the_mask_back(mask: NDArray[np.bool_]) -> None:
    rle = encode_rle(mask)
    assert sum(rle["counts"]) == mask.size
    np.testing.assert_array_equal(decode_rle(rle), mask)
    np.testing.assert_array_equal(PackedMask.from_array(mask, mask.shape).to_array(), mask)


def test_compressed_run_lengths() -> None:
    rle = {"size": [9, 10], "counts": "61X13mN000`0"}  # the example in COCO's own sources
    plain = {"size": [9, 10], "counts": [6, 1, 40, 4, 5, 4, 5, 4, 21]}
    np.testing.assert_array_equal(decode_rle(rle), decode_rle(plain))
    assert rle_area(rle) == decode_rle(rle).sum() == 13
    with pytest.raises(ValueError, match="do not fill 9 x 11"):
        rle_area({**rle, "size": [9, 11]})


@given(masks)
def test_boxes_are_the_extreme_pixels(mask: NDArray[np.bool_]) -> None:
    rows, columns = np.nonzero(mask)
    expected = [columns.min(), rows.min(), columns.max(), rows.max()] if mask.any() else [0, 0, 0, 0]
    assert mask_boxes(torch.from_numpy(mask)[None])[0].tolist() == expected


def test_a_packed_mask_lies_where_its_crop_lay() -> None:
    plane = np.zeros((9, 11), dtype=bool)
    plane[4:7, 5:10] = True
    packed = PackedMask.from_array(plane[3:8, 2:], plane.shape, origin=(3, 2))
    np.testing.assert_array_equal(packed.to_array(), plane)
    assert packed.box == (slice(4, 7), slice(5, 10))


def test_run_lengths_run_down_the_columns_and_begin_with_zeros() -> None:
    assert encode_rle(np.array([[True, False], [True, True]])) == {"size": [2, 2], "counts": [0, 2, 1, 1]}


def test_of_overlapping_boxes_the_best_stays() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 6]])
    scores = torch.tensor([0.8, 0.9, 0.1, 0.7])
    assert non_maximum_suppression(boxes, scores, 0.55).tolist() == [1, 3, 2]
    assert non_maximum_suppression(boxes, scores, 0.5).tolist() == [1, 2]
    assert non_maximum_suppression(boxes[:0], scores[:0], 0.5).tolist() == []


def test_boxes_without_area_suppress_nothing() -> None:
    boxes = torch.tensor([[3, 3, 3, 3], [3, 3, 3, 3]])
    assert non_maximum_suppression(boxes, torch.tensor([0.5, 0.6]), 0.5).tolist() == [1, 0]


def test_stability_is_the_iou_of_a_stricter_and_a_laxer_mask() -> None:
    logits = torch.tensor([[[-2.0, -0.5, 0.5, 2.0]], [[2.0, 2.0, 2.0, 2.0]], [[-9.0, -9.0, -9.0, -9.0]]])
    assert mask_stability(logits, 1.0).tolist() == pytest.approx([1 / 3, 1.0, 1.0])


def test_small_holes_and_components_go_and_the_largest_component_stays() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:12, 2:12] = True
    mask[5:7, 5:7] = False
    mask[15:17, 15:17] = True
    clean = np.zeros_like(mask)
    clean[2:12, 2:12] = True
    np.testing.assert_array_equal(remove_small_regions(mask, 5), clean)
    assert remove_small_regions(mask, 4) is mask
    np.testing.assert_array_equal(remove_small_regions(mask, 300)[2:12, 2:12], True)
