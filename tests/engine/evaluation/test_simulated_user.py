"""Clicks lie where the error is deepest."""

import numpy as np
import pytest

from sam2_engine.evaluation.simulated_user import error_click, tight_box
from sam2_engine.masks import mask_center


@pytest.fixture
def ground_truth():
    mask = np.zeros((40, 60), bool)
    mask[5:26, 10:31] = True
    return mask


def test_the_first_click_is_the_objects_center(ground_truth):
    assert mask_center(ground_truth)[0] == (20, 15)
    assert error_click(np.zeros_like(ground_truth), ground_truth) == ((20, 15), 1)


def test_the_image_border_is_a_border():
    assert mask_center(np.ones((21, 41), bool))[0][1] == 10


def test_a_ring_is_clicked_on_itself_not_in_its_hole():
    y, x = np.mgrid[:41, :41]
    distance = (x - 20) ** 2 + (y - 20) ** 2
    ring = (distance <= 18**2) & (distance >= 9**2)
    (u, v), _ = mask_center(ring)
    assert ring[v, u]


def test_the_deeper_error_is_clicked_and_its_kind_is_said(ground_truth):
    missed = ground_truth.copy()
    missed[5:26, 10:17] = False  # 7 wide
    extra = missed.copy()
    extra[10:21, 40:51] = True  # 11 wide
    (x, y), label = error_click(missed, ground_truth)
    assert (x, label) == (13, 1)
    assert 5 <= y < 26
    assert error_click(extra, ground_truth) == ((45, 15), 0)


def test_no_click_without_an_error(ground_truth):
    assert error_click(ground_truth, ground_truth) is None


def test_the_box_is_inclusive(ground_truth):
    assert tight_box(ground_truth) == (10, 5, 30, 25)
