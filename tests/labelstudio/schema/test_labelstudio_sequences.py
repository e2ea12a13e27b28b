"""As few keyframes as a tolerance allows, and stretches that end where the object is gone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track
from labelstudio_backend.schema.regions import PixelBox, rectangle_from_box
from labelstudio_backend.schema.sequences import rectangle_at, sequence_of

SHAPE = (100, 200)
Boxes = dict[int, PixelBox | None]


def clock_of(length: int) -> FrameClock:
    return FrameClock(10.0, [index / 10 for index in range(length)], length / 10)


def drawn(*items: dict[str, Any]) -> Track:
    sequence = [
        {"enabled": True, "rotation": 0, "x": 5, "y": 10, "width": 5, "height": 10} | i for i in items
    ]
    return Track.of({"id": "a", "value": {"labels": ["a"], "sequence": sequence}})


def moving(length: int, step: float = 2.0) -> Boxes:
    return {i: (10 + step * i, 10.0, 19 + step * i, 19.0) for i in range(length)}


def frames_of(items: list[dict[str, Any]]) -> list[int]:
    return [item["frame"] for item in items]


def visible(items: list[dict[str, Any]], length: int) -> list[int]:
    return [frame for frame in range(1, length + 3) if rectangle_at(items, frame) is not None]


sides = st.tuples(st.floats(0, 80), st.floats(0, 40), st.floats(90, 180), st.floats(50, 90))


@given(st.lists(st.none() | sides, min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 2.0, 10.0]))
def test_nothing_is_off_by_more_than_the_tolerance(found: list[PixelBox | None], tolerance: float) -> None:
    boxes = dict(enumerate(found))
    items = sequence_of(drawn({"frame": 1}), boxes, clock_of(len(found)), SHAPE, tolerance)
    assert items[-1]["enabled"] is False
    for frame in range(2, len(found) + 2):
        box, shown = boxes.get(frame - 1), rectangle_at(items, frame)
        assert (box is None) == (shown is None)
        if box is not None and shown is not None:
            true = rectangle_from_box(box, SHAPE)
            for near, size in (("x", "width"), ("y", "height")):
                assert abs(shown[near] - true[near]) <= tolerance + 1e-9
                assert abs(shown[near] + shown[size] - true[near] - true[size]) <= tolerance + 1e-9


def test_even_motion_needs_its_ends_only() -> None:
    items = sequence_of(drawn({"frame": 1}), moving(30), clock_of(30), SHAPE, 0.1)
    assert frames_of(items) == [1, 30]
    assert [item["enabled"] for item in items] == [True, False]


def test_an_object_that_leaves_and_returns() -> None:
    boxes = moving(30) | dict.fromkeys(range(10, 20), None)
    items = sequence_of(drawn({"frame": 1}), boxes, clock_of(30), SHAPE, 0.1)
    assert frames_of(items) == [1, 10, 21, 30]
    assert [item["enabled"] for item in items] == [True, False, True, False]
    assert visible(items, 30) == [*range(1, 11), *range(21, 31)]


def test_an_object_that_is_seen_on_a_single_frame() -> None:
    boxes: Boxes = dict.fromkeys(range(30), None)
    boxes[4] = boxes[0] = (10.0, 10.0, 19.0, 19.0)
    items = sequence_of(drawn({"frame": 1}), boxes, clock_of(30), SHAPE, 0.1)
    assert visible(items, 30) == [1, 5]


def test_a_persons_rectangle_stays_where_the_model_sees_nothing() -> None:
    boxes: Boxes = dict.fromkeys(range(10), None)
    items = sequence_of(drawn({"frame": 1}, {"frame": 6}), boxes, clock_of(10), SHAPE, 0.1)
    assert visible(items, 10) == [1, 6]


def test_a_turned_rectangle_does_not_turn_its_neighbors() -> None:
    items = sequence_of(drawn({"frame": 1, "rotation": 30}), moving(30), clock_of(30), SHAPE, 5.0)
    assert frames_of(items) == [1, 2, 30]
    assert [item["rotation"] for item in items] == [30, 0, 0]


def test_where_the_model_has_not_been_a_persons_keyframes_count() -> None:
    track = drawn({"frame": 1}, {"frame": 20, "x": 50})
    items = sequence_of(track, moving(5), clock_of(30), SHAPE, 0.1)
    assert frames_of(items)[-1] == 20
    assert visible(items, 30) == list(range(1, 21))


@pytest.mark.parametrize(
    ("frame", "x"), [(0, None), (1, 0.0), (2, 5.0), (3, 10.0), (4, None), (6, 8.0), (9, 8.0)]
)
def test_what_the_page_shows(frame: int, x: float | None) -> None:
    size = {"y": 0, "width": 1, "height": 1}
    sequence = [
        {"frame": 1, "x": 0, "enabled": True, **size},
        {"frame": 3, "x": 10, "enabled": False, **size},
        {"frame": 6, "x": 8, "enabled": True, **size},
    ]
    shown = rectangle_at(sequence, frame)
    assert (None if shown is None else shown["x"]) == x
