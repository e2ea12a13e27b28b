"""Baselines on scenes whose answer is known."""

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sam2_engine.errors import InputError
from sam2_engine.evaluation import LabeledSequence, mask_iou
from sam2_engine.evaluation.click_baselines import CLICK_BASELINES, segment_by_baseline
from sam2_engine.evaluation.labeled_sequence import MasksByObject, pack_labels
from sam2_engine.evaluation.tracking_baselines import copy_first_mask, propagate_by_flow
from sam2_engine.frames import open_frames


@pytest.fixture
def sliding():
    """A texture that slides by 2 pixels a frame, and a square that slides with it."""
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(80, 120)), 2)
    texture = (texture - texture.min()) / np.ptp(texture) * 255
    frames, ground_truth = [], MasksByObject()
    for t in range(6):
        frames.append(np.roll(texture, 2 * t, 1)[:, 10:110].astype(np.uint8))
        labels = np.zeros((80, 100), np.uint8)
        labels[25:55, 20 + 2 * t : 50 + 2 * t] = 4
        pack_labels(labels, t, ground_truth)
    return LabeledSequence(
        "sliding", open_frames(np.stack(frames), axes="TYX"), ground_truth, tuple(range(6))
    )


def test_copying_leaves_the_mask_where_it_is(sliding):
    masks = copy_first_mask(sliding, {4: 2})
    for frame in range(6):
        np.testing.assert_array_equal(masks[4][frame].to_array(), sliding.mask(4, 2))


@pytest.mark.parametrize("start", [0, 3])
def test_flow_goes_along_in_both_directions(sliding, start):
    pytest.importorskip("cv2")
    masks = propagate_by_flow(sliding, {4: start}, bidirectional=True)
    assert sorted(masks[4]) == list(range(6))
    for frame in range(6):
        assert mask_iou(masks[4][frame].to_array(), sliding.mask(4, frame)) > 0.93
    assert sorted(propagate_by_flow(sliding, {4: 3})[4]) == [3, 4, 5]


def test_flow_without_opencv_names_the_extra(sliding, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"sam2-plugins\[evaluate\]"):
        propagate_by_flow(sliding, {4: 0})


@pytest.mark.parametrize("name", CLICK_BASELINES)
def test_bright_discs_are_segmented_from_a_click(sequence, name):
    masks = segment_by_baseline(sequence, name)
    assert {object_id: sorted(by_frame) for object_id, by_frame in masks.items()} == {
        object_id: sorted(by_frame) for object_id, by_frame in sequence.ground_truth.items()
    }
    for object_id, by_frame in masks.items():
        for frame, mask in by_frame.items():
            assert mask_iou(mask.to_array(), sequence.mask(object_id, frame)) > 0.6
