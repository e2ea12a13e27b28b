from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_prompts import prompt
from napari.components import ViewerModel

from napari_plugin.layers import ImageStack, PromptLayers, Tool, Tools
from sam2_engine.prompts import Box, Points, Prompt
from sam2_plugins.session.annotations import AnnotatedObject


class Placed:
    """Prompt layers on a (5, 20, 30) stack, and how often they changed."""

    def __init__(self, shape: tuple[int, ...] = (5, 20, 30)) -> None:
        self.changes = 0
        viewer = ViewerModel()
        stack = ImageStack.of(viewer.add_image(np.zeros(shape, np.uint8), scale=[2.0] * len(shape)))
        self.layers = PromptLayers(viewer, stack, self._changed)
        viewer.add_layer(self.layers.boxes)
        viewer.add_layer(self.layers.points)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def placed() -> Placed:
    return Placed()


def press(placed: Placed, *modifiers: str) -> None:
    for callback in placed.layers.points.mouse_drag_callbacks[:1]:
        callback(placed.layers.points, SimpleNamespace(modifiers=modifiers))


def test_clicks_are_read_by_object_and_frame(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(1, excluding=False)
    layers.points.add([0, 4, 7])
    layers.set_next(1, excluding=True)
    layers.points.add([0, 5, 9])
    layers.set_next(2, excluding=False)
    layers.points.add([3, 6, 8])
    assert layers.read() == {
        (1, 0): prompt(((7, 4), (9, 5)), (1, 0)),
        (2, 3): prompt(((8, 6),), (1,)),
    }
    assert placed.changes >= 3


def test_moved_and_removed_clicks_are_read_as_they_stand(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(1, excluding=False)
    layers.points.add([0, 4, 7])
    layers.points.add([0, 5, 9])
    layers.points.data = np.array([[0, 4, 7], [1, 6, 6]])
    assert layers.read() == {(1, 0): prompt(((7, 4),), (1,)), (1, 1): prompt(((6, 6),), (1,))}
    layers.points.selected_data = {0}
    layers.points.remove_selected()
    assert layers.read() == {(1, 1): prompt(((6, 6),), (1,))}


def test_a_dragged_click_is_read_where_it_was_put(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(1, excluding=False)
    layers.points.add([0, 4, 7])
    before = placed.changes
    for place in ([0, 4, 7], [0, 10, 12]):  # as napari does from the press to the release
        layers.points._move({0}, place)
    assert placed.changes > before
    assert layers.read() == {(1, 0): prompt(((12, 10),), (1,))}


def test_ctrl_asks_for_the_opposite_once(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(1, excluding=False)
    for modifiers, x in (((), 5), (("Control",), 6), ((), 7)):
        press(placed, *modifiers)
        layers.points.add([0, 4, x])
    layers.set_next(1, excluding=True)
    press(placed, "Control")
    layers.points.add([0, 4, 8])
    assert layers.read()[1, 0].points.labels.tolist() == [1, 0, 1, 1]


def test_clicks_and_boxes_have_the_colors_of_their_objects(placed: Placed) -> None:
    layers, colors = placed.layers, {1: (255, 0, 0), 2: (0, 0, 255)}
    layers.color(AnnotatedObject(i, str(i), None, color) for i, color in colors.items())
    for object_id, excluding in ((1, False), (1, True), (2, False)):
        layers.set_next(object_id, excluding)
        layers.points.add([0, 4, 5 + object_id])
    layers.boxes.add_rectangles(np.array([[0, 1, 1], [0, 1, 9], [0, 9, 9], [0, 9, 1]], float))
    red, blue, green = (1, 0, 0, 1), (0, 0, 1, 1), (0, 1, 0, 1)
    assert layers.points.face_color.tolist() == [[*red], [*red], [*blue]]
    assert layers.boxes.edge_color.tolist() == [[*blue]]
    colors[2] = (0, 255, 0)
    layers.color(AnnotatedObject(i, str(i), None, color) for i, color in colors.items())
    assert layers.points.face_color.tolist() == [[*red], [*red], [*green]]
    assert layers.boxes.edge_color.tolist() == [[*green]]


def test_plus_and_minus_are_distinct_by_form_and_ring(placed: Placed) -> None:
    layers = placed.layers
    for excluding in (True, False):
        layers.set_next(1, excluding)
        layers.points.add([0, 4, 5])
    exclude, include = layers.points.symbol
    assert (str(exclude), str(include)) == ("x", "disc")
    red, white = layers.points.border_color
    assert red[0] > 0.9 > 0.3 > red[1]
    assert white.min() == 1


@pytest.mark.parametrize("side", [64, 4096])
def test_a_click_has_one_size_on_the_screen(side: int) -> None:
    points = Placed((2, side, side)).layers.points
    smallest, largest = points.canvas_size_limits
    assert smallest == largest <= 12


def test_many_prompts_are_shown_by_a_few_events(placed: Placed) -> None:
    layers, events = placed.layers, []
    layers.color(AnnotatedObject(i, str(i), None, (i, 0, 255)) for i in range(1, 25))
    layers.set_next(7, excluding=False)
    layers.points.add([0, 1, 1])
    for layer in (layers.points, layers.boxes):
        layer.events.data.connect(lambda event: events.append(event))
    wanted = {
        (i, i % 5): Prompt(Points.of([(i, 3), (i, 5)], [1, 0], (20, 30)), Box.of((i, 2, i + 4, 9), (20, 30)))
        for i in range(1, 25)
    }
    layers.replace(wanted)
    assert len(events) <= 8
    assert {key: held for key, held in layers.read().items() if key in wanted} == wanted
    assert [str(one) for one in layers.points.symbol] == ["disc"] + ["disc", "x"] * 24
    assert layers.points.border_color[2, 1] < 0.3 < layers.points.border_color[1, 1]
    np.testing.assert_allclose(
        layers.points.face_color[1:, 0] * 255, np.repeat(np.arange(1, 25), 2), atol=0.1
    )
    np.testing.assert_allclose(layers.boxes.edge_color[:, 0] * 255, np.arange(1, 25), atol=0.1)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(0, 28), st.integers(0, 18)),
    st.tuples(st.integers(0, 29), st.integers(0, 19)),
    st.integers(0, 4),
)
def test_an_outline_around_pixels_is_the_box_of_these_pixels(
    first: tuple[int, int], size: tuple[int, int], frame: int
) -> None:
    (x0, y0), (x1, y1) = first, (min(first[0] + size[0], 29), min(first[1] + size[1], 19))
    layers = Placed().layers
    layers.set_next(3, excluding=False)
    # The outer edges of the pixels x0..x1, y0..y1.
    corners = [
        [frame, y, x]
        for y, x in ((y0 - 0.5, x0 - 0.5), (y0 - 0.5, x1 + 0.5), (y1 + 0.5, x1 + 0.5), (y1 + 0.5, x0 - 0.5))
    ]
    layers.boxes.add_rectangles([np.array(corners)])
    assert layers.read() == {(3, frame): prompt(box=(x0, y0, x1, y1))}
    assert layers.drop_unusable() == []


def outline(frame: int, y0: float, x0: float, y1: float, x1: float) -> np.ndarray:
    return np.array([[frame, y0, x0], [frame, y0, x1], [frame, y1, x1], [frame, y1, x0]])


def test_what_cannot_be_used_is_left_out_and_said(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(1, excluding=False)
    layers.points.add([[0, 4, 7], [0, 25, 7], [9, 4, 7]])
    layers.boxes.add_rectangles(
        [outline(0, 3, 3, 3.2, 3.4), outline(0, 2, 2, 9, 9), outline(1, 30, 40, 50, 50)]
    )
    sentences = layers.drop_unusable()
    assert [sentence.split(" ")[1] for sentence in sentences] == ["click", "box"]
    assert layers.read() == {(1, 0): prompt(((7, 4),), (1,), (2.5, 2.5, 8.5, 8.5))}
    assert layers.drop_unusable() == []


def test_a_box_is_read_when_it_is_finished(placed: Placed) -> None:
    boxes = placed.layers.boxes
    boxes.mode = "add_rectangle"
    boxes.add(outline(0, 5, 5, 5.2, 5.2), shape_type="rectangle", gui=True)  # as napari does at the press
    boxes._moving_value = (0, 4)
    assert placed.changes == 0
    boxes._finish_drawing()
    assert placed.changes == 1


def test_a_second_box_takes_the_place_of_the_first(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(1, excluding=False)
    layers.boxes.add_rectangles([outline(0, 2, 2, 9, 9)])
    layers.boxes.add_rectangles([outline(0, 3, 3, 12, 12)])
    assert layers.drop_unusable() == []
    assert len(layers.boxes.data) == 1
    assert layers.read()[1, 0].box == Box(3.5, 3.5, 11.5, 11.5)


def test_prompts_of_nobody_are_given_to_an_object(placed: Placed) -> None:
    layers = placed.layers
    layers.set_next(0, excluding=True)
    layers.points.add([0, 4, 7])
    layers.boxes.add_rectangles([outline(0, 2, 2, 9, 9)])
    layers.adopt({5}, 5)
    assert layers.read() == {(5, 0): prompt(((7, 4),), (0,), (2.5, 2.5, 8.5, 8.5))}


def test_restored_prompts_take_the_place_of_their_object_and_frame_only(placed: Placed) -> None:
    layers = placed.layers
    for object_id in (1, 2):
        layers.set_next(object_id, excluding=False)
        layers.points.add([0, 4, 7])
        layers.boxes.add_rectangles([outline(object_id, 2, 2, 9, 9)])
    changes = placed.changes
    before = layers.read()
    restored = {(1, 0): prompt(), (2, 2): prompt(((7.5, 4), (1, 2)), (0, 1), (3, 4, 11, 12))}
    layers.replace(restored)
    assert layers.read() == {(1, 1): before[1, 1], (2, 0): before[2, 0], (2, 2): restored[2, 2]}
    assert placed.changes == changes  # on_change is not called
    layers.points.add([0, 8, 8])
    assert layers.read()[2, 0].points.labels.tolist() == [
        1,
        1,
    ]  # a click of the current object


def test_an_image_without_frames_takes_clicks_and_boxes() -> None:
    layers = Placed((20, 30)).layers
    layers.set_next(1, excluding=False)
    layers.points.add([4, 7])
    layers.boxes.add_rectangles([outline(0, 2, 2, 9, 9)[:, 1:]])
    assert layers.read() == {(1, 0): prompt(((7, 4),), (1,), (2.5, 2.5, 8.5, 8.5))}


def test_the_layer_of_boxes_is_shown_from_when_it_is_needed(placed: Placed) -> None:
    layers = placed.layers
    viewer = layers._viewer
    masks = viewer.add_labels(np.zeros((5, 20, 30), np.uint8))
    tools = Tools(viewer, layers.points, layers.boxes, masks, lambda: None)
    assert not layers.boxes.visible
    tools.use(Tool.BOX)
    assert layers.boxes.visible
    assert layers.boxes.mode == "add_rectangle"
    tools.use(Tool.CLICK)
    assert not layers.boxes.visible
    tools.use(Tool.BOX)
    layers.boxes.add_rectangles([np.array([[0, 2, 3], [0, 2, 9], [0, 8, 9], [0, 8, 3]])])
    tools.use(Tool.CLICK)
    assert layers.boxes.visible
    layers.boxes.visible = False  # as the user wants it
    viewer.layers.selection.active = layers.boxes
    assert not layers.boxes.visible
    layers.boxes.visible = True
    tools.use(Tool.CLICK)
    layers.boxes.data = []
    assert not layers.boxes.visible


def test_a_box_in_a_rolled_view_is_left_out_with_the_reason(placed: Placed) -> None:
    placed.layers.boxes.add_rectangles([np.array([[1, 3, 3], [1, 3, 9], [4, 3, 9], [4, 3, 3]])])
    (sentence,) = placed.layers.drop_unusable()
    assert "across time points" in sentence
    assert "rolled" in sentence
    assert not len(placed.layers.boxes.data)


def test_tools_say_what_the_mouse_does(placed: Placed) -> None:
    layers, changes = placed.layers, []
    viewer = layers._viewer
    masks = viewer.add_labels(np.zeros((5, 20, 30), np.uint8))
    tools = Tools(viewer, layers.points, layers.boxes, masks, lambda: changes.append(1))
    for tool in Tool:
        tools.use(tool)
        assert tools.active is tool
    layers.points.mode = "select"
    viewer.layers.selection.active = layers.points
    assert tools.active is None
    tools.use(Tool.CLICK)
    viewer.dims.ndisplay = 3
    assert tools.active is Tool.CLICK  # on surfaces of masks; napari's own mode would click into the void
    assert layers.points.mode == "pan_zoom"
    tools.use(Tool.BOX)
    assert tools.active is None
    tools.use(Tool.CLICK)
    assert layers.points.mode == "pan_zoom"
    viewer.dims.ndisplay = 2
    assert tools.active is Tool.CLICK
    assert changes
