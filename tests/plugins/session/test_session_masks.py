"""Masks as they are stored, and label images composed of them."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2_engine.errors import InputError
from sam2_engine.masks import CompressedMask
from sam2_engine.video.frame_result import FrameResult
from sam2_plugins.session.label_image import compose_labels
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

SHAPE = (45, 70)


def frame_result(*low_res_logits):
    logits = np.stack(low_res_logits).astype(np.float32)
    count = len(logits)
    return FrameResult(
        frame=0,
        object_ids=tuple(range(1, count + 1)),
        low_res_logits=logits,
        presence=np.full(count, 0.9, np.float32),
        predicted_iou=np.full(count, 0.8, np.float32),
        shape=SHAPE,
    )


def blob(x, y, strength=8.0, radius=9.0, side=32):
    """Logits on a coarse grid, positive within about a third of it, peaking at (x, y) in 0..1."""
    rows, columns = np.mgrid[:side, :side] / side
    return strength * (1 - ((columns - x) ** 2 + (rows - y) ** 2) * radius)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_mask_comes_back_as_it_was(mask):
    compressed = CompressedMask.from_array(mask)
    np.testing.assert_array_equal(compressed.to_array(), mask)
    assert compressed.is_empty == (not mask.any())
    np.testing.assert_array_equal(mask[compressed.box], compressed.crop())


def test_a_large_mask_takes_few_bytes():
    y, x = np.mgrid[:2000, :2000]
    compressed = CompressedMask.from_array((x - 1000) ** 2 + (y - 900) ** 2 < 600**2)
    assert len(compressed.bits) < 10_000


@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(16, 64))
def test_stored_logits_are_those_of_the_engine_on_the_mask(x, y, side):
    result = frame_result(blob(x, y, side=side))
    accepted = AcceptedMask.predicted(result, 0, MaskOrigin.TRACKED)
    rows, columns = np.nonzero(result.masks[0])
    exact = result.logits[0][rows, columns]
    assert np.abs(accepted.strength(rows, columns) - exact).max(initial=0) <= 0.125 + 1e-3


def test_the_higher_logit_wins_where_tracked_masks_overlap():
    result = frame_result(blob(0.45, 0.5), blob(0.6, 0.5))
    masks = {i + 1: AcceptedMask.predicted(result, i, MaskOrigin.TRACKED) for i in range(2)}
    labels = compose_labels(SHAPE, masks, 2)
    np.testing.assert_array_equal(labels > 0, result.masks.any(0))
    higher = np.where(result.logits[0] > result.logits[1], 1, 2)
    both = result.masks.all(0)
    assert both.sum() > 100
    clear = both & (np.abs(result.logits[0] - result.logits[1]) > 0.25)  # logits are stored in steps of 1/4
    np.testing.assert_array_equal(labels[clear], higher[clear])


def test_a_prompted_mask_wins_over_a_stronger_tracked_one_and_a_painted_one_over_both():
    result = frame_result(blob(0.5, 0.5, 3.0), blob(0.55, 0.5, 30.0), blob(0.6, 0.5, 30.0))
    painted = CompressedMask.from_array(result.masks[0])
    masks = {
        1: AcceptedMask.painted(painted),
        2: AcceptedMask.predicted(result, 1, MaskOrigin.PROMPTED),
        3: AcceptedMask.predicted(result, 2, MaskOrigin.TRACKED),
    }
    labels = compose_labels(SHAPE, masks, 3)
    np.testing.assert_array_equal(labels == 1, result.masks[0])
    np.testing.assert_array_equal(labels == 2, result.masks[1] & ~result.masks[0])
    np.testing.assert_array_equal(labels == 3, result.masks[2] & ~result.masks[1] & ~result.masks[0])


def test_among_painted_masks_the_newer_object_wins():
    mask = np.ones(SHAPE, bool)
    masks = {i: AcceptedMask.painted(CompressedMask.from_array(mask)) for i in (4, 9)}
    assert (compose_labels(SHAPE, masks, 9) == 9).all()


@given(st.permutations([1, 2, 3]), st.data())
def test_three_overlapping_objects_do_not_depend_on_the_order_of_insertion(order, data):
    places = data.draw(st.lists(st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)), min_size=3, max_size=3))
    result = frame_result(*(blob(x, y) for x, y in places))
    masks = {i: AcceptedMask.predicted(result, i - 1, MaskOrigin.TRACKED) for i in (1, 2, 3)}
    shuffled = {i: masks[i] for i in order}
    np.testing.assert_array_equal(compose_labels(SHAPE, masks, 3), compose_labels(SHAPE, shuffled, 3))


def test_an_absent_object_is_empty_and_claims_nothing():
    result = frame_result(np.full((32, 32), -1024.0))
    accepted = AcceptedMask.predicted(result, 0, MaskOrigin.TRACKED)
    assert accepted.mask.is_empty
    assert not compose_labels(SHAPE, {1: accepted}, 1).any()


def test_imported_numbers_that_are_no_mask_are_refused(session, disc_mask):
    """Was: logits covered the frame, ids of several objects became one."""
    for values in (np.where(disc_mask, 4.0, -4.0), disc_mask * 2 + np.arange(80) // 40):
        with pytest.raises(InputError, match="The mask of object 3 holds values"):
            session.import_masks(0, {3: values})
    session.import_masks(0, {3: disc_mask * np.uint8(255)})
    np.testing.assert_array_equal(session.mask(3, 0), disc_mask)
