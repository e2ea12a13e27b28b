"""A stack of labels behaves as the array that it stands for, in a fraction of its memory."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers._layer_actions import _duplicate_layer
from numpy.testing import assert_array_equal

from napari_plugin.layers.label_stack import LabelStack

SHAPE = (3, 4, 5, 6)


def filled(plain_bytes: int) -> tuple[LabelStack, np.ndarray]:
    stack, array = LabelStack(SHAPE, np.uint16, (2, 3), plain_bytes=plain_bytes), np.zeros(SHAPE, np.uint16)
    for number, place in enumerate([(0, 1), (2, 3), (1, 0)], start=1):
        stack[place][...] = 9  # a copy: nothing comes of it
        for one in (stack, array):
            one[(*place, slice(1, 4), slice(2, None))] = number
    return stack, array


KEYS = [
    (1, 0),
    2,
    (slice(None), 3),
    (slice(0, 3, 2), slice(None), 2),
    (..., 3, 4),
    (-1, -1, slice(None, None, -1)),
    (0, 1, 2, 3),
    (slice(2, 1),),
    ([0, 2], [1, 3], [2, 2], [3, 5]),
    (np.array([[0, 2], [1, -2]]), 1, np.array([1, 2]), 3),
    [0, 2],
]


@pytest.mark.parametrize("plain_bytes", [0, 10**6])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reads_as_the_array(key: object, plain_bytes: int) -> None:
    stack, array = filled(plain_bytes)
    found = stack[key]
    assert_array_equal(found, array[key])
    assert np.shape(found) == array[key].shape


@pytest.mark.parametrize("plain_bytes", [0, 10**6])
@pytest.mark.parametrize("key", KEYS[:-1], ids=str)
def test_is_written_as_the_array(key: object, plain_bytes: int) -> None:
    stack, array = filled(plain_bytes)
    values = np.random.default_rng(0).integers(0, 9, array[key].shape).astype(np.uint16)
    for one in (stack, array):
        one[key] = values
    assert_array_equal(stack, array)


def test_by_a_mask_of_all_pixels() -> None:
    stack, array = filled(0)
    chosen = array == 2
    assert_array_equal(stack == 2, chosen)
    for one in (stack, array):
        one[chosen] = 7
    assert_array_equal(stack, array)
    assert_array_equal(stack + 1, array + 1)
    assert_array_equal(stack.astype(int), array)


@pytest.mark.parametrize("key", [3, (0, 4), (0, 0, 0, 0, 0), ([3], [0], [0], [0])], ids=str)
def test_nothing_is_outside(key: object) -> None:
    stack, _ = filled(0)
    with pytest.raises(IndexError):
        stack[key]


@given(st.permutations(range(4)))
def test_axes_in_any_order_with_channels_that_share_their_pixels(order: list[int]) -> None:
    shape, axes = [(2, 3, 4, 5)[axis] for axis in order], {axis: order.index(axis) for axis in range(4)}
    plane = (min(axes[2], axes[3]), max(axes[2], axes[3]))
    stack = LabelStack(shape, np.uint8, plane, shared=[axes[0]])
    key: list[object] = [slice(None)] * 4
    key[axes[0]], key[axes[1]] = 1, 2
    stack[tuple(key)] = 5
    expected = np.zeros((2, 3, 4, 5), np.uint8)
    expected[:, 2] = 5  # whichever channel was written
    assert_array_equal(np.asarray(stack).transpose(np.argsort(order)), expected)


def test_labels_may_become_wider() -> None:
    stack, array = filled(0)
    stack.widen(np.uint32)
    assert stack.dtype == np.uint32
    stack[0, 0] = 70_000
    assert stack[0, 0, 0, 0] == 70_000
    assert_array_equal(stack[1:], array[1:])


@pytest.mark.parametrize("plain_bytes", [0, 10**6])
def test_a_copy_is_one_of_its_own(plain_bytes: int) -> None:
    stack, array = filled(plain_bytes)
    copied = deepcopy(stack)
    copied[:] = 8
    assert_array_equal(stack, array)
    assert (copied == 8).all()


def test_napari_paints_fills_and_copies_it() -> None:
    stack = LabelStack((4, 20, 30), np.uint16, (1, 2), plain_bytes=0)
    stack[1, 2:5, 3:6] = 7
    viewer = ViewerModel()
    layer = viewer.add_labels(stack)
    assert layer.data is stack
    viewer.dims.set_point(0, 1)
    layer.paint((1, 10, 10), 3)
    assert stack[1, 10, 10] == layer._slice.image.raw[10, 10] == 3
    layer.fill((1, 2, 3), 5)
    assert (stack[1, 2:5, 3:6] == 5).all()
    assert not stack[[0, 2, 3]].any()
    viewer.layers.selection = {layer}
    _duplicate_layer(viewer.layers)
    assert_array_equal(viewer.layers[1].data, stack)
    viewer.dims.ndisplay = 3
    assert_array_equal(layer._slice.image.raw, stack)


def test_memory_is_bounded_however_much_is_looked_at() -> None:
    plane = 200 * 200 * 2
    stack = LabelStack((50, 200, 200), np.uint16, (1, 2), plain_bytes=3 * plane)
    for frame in range(50):
        stack[frame, 10:60, 10:60] = frame + 1
    for _ in range(2):
        assert [stack[frame, 20, 20] for frame in range(50)] == list(range(1, 51))
        assert stack.held_bytes < 4 * plane
    stack[:] = 0
    assert stack.held_bytes <= 3 * plane
