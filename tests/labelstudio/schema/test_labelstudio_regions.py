import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelstudio_backend.schema.contours import mask_bounds
from labelstudio_backend.schema.regions import (
    box_from_ellipse,
    box_from_rectangle,
    object_bounds,
    point_from_keypoint,
    rectangle_from_box,
    value_of,
)
from sam2_engine.errors import InputError
from sam2_engine.prompts import Box


@st.composite
def boxed_masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    y0, x0 = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    y1, x1 = draw(st.integers(y0, height - 1)), draw(st.integers(x0, width - 1))
    mask = np.zeros((height, width), dtype=bool)
    mask[y0, x0] = mask[y1, x1] = True
    return mask


@given(boxed_masks())
def test_mask_to_rectangle_to_box_is_the_identity(mask: np.ndarray) -> None:
    box = mask_bounds(mask)
    assert box is not None
    rectangle = {**rectangle_from_box(box, mask.shape), "rotation": 0}
    converted = box_from_rectangle(rectangle, mask.shape)
    assert converted == pytest.approx(box, abs=1e-9)
    if box != (0, 0, 1, 1):  # which would be the whole frame in fractions, and is refused in a sentence
        Box.of(converted, mask.shape)  # also of one row or column


def test_a_rectangle_over_the_whole_image_holds_its_first_and_last_pixel() -> None:
    whole = {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}
    assert box_from_rectangle(whole, (480, 640)) == (0, 0, 639, 479)


def test_a_keypoint_in_the_middle_of_a_pixel() -> None:
    assert point_from_keypoint({"x": 50, "y": 75}, (2, 1)) == (0, 1)


def test_a_turned_rectangle_gives_its_bounds() -> None:
    # A quarter turn clockwise about the corner (100, 50): 40 wide and 20 high becomes 20 wide, 40 high.
    value = {"x": 50, "y": 50, "width": 20, "height": 20, "rotation": 90}
    assert box_from_rectangle(value, (100, 200)) == pytest.approx((80, 50, 99, 89))


def test_an_empty_mask_has_no_bounds() -> None:
    assert mask_bounds(np.zeros((3, 4), dtype=bool)) is None
    assert object_bounds(np.zeros((3, 4), dtype=bool)) is None


def test_small_components_do_not_widen_an_objects_box() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 10:30] = True
    mask[2:5, 70:75] = True
    assert mask_bounds(mask) == (10, 2, 74, 39)
    assert object_bounds(mask) == (10, 20, 29, 39)


def test_both_halves_of_an_object_are_in_its_box() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 10:30] = mask[20:40, 33:40] = True
    assert object_bounds(mask) == (10, 20, 39, 39)


def test_a_turned_ellipse_gives_its_bounds() -> None:
    # A quarter turn: 30 across and 10 down become 10 across and 30 down, about (100, 50).
    value = {"x": 50, "y": 50, "radiusX": 15, "radiusY": 10, "rotation": 90}
    assert box_from_ellipse(value, (100, 200)) == pytest.approx((90, 20, 109, 79))


@pytest.mark.parametrize("wrong", [{}, {"x": "1", "y": 2}, {"x": True, "y": 2}, {"x": float("nan"), "y": 2}])
def test_a_keypoint_without_numbers_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="not a number"):
        point_from_keypoint(wrong, (10, 10))


@pytest.mark.parametrize("wrong", [None, [], {}, {"value": 3}])
def test_a_region_without_value_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="no value"):
        value_of(wrong)
