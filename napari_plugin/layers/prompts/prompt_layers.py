"""The Points and Shapes layers that prompts are placed in, read as what the session takes.

The layers are read as a whole whenever anything in them changed: clicks that are added, moved, removed
or pasted, by whatever tool of napari, are all the same thing then.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Points as PointsLayer
from napari.layers import Shapes
from napari.layers.base import ActionType
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.prompts.outlines import box_of, lies_across, outline_of
from napari_plugin.layers.prompts.unusable_prompts import find_unusable
from napari_plugin.theme import (
    CLICK_COLORS,
    CLICK_RING,
    CLICK_SIZE,
    CLICK_SYMBOLS,
    NO_OBJECT,
    box_width,
    point_size,
    rgba,
)
from sam2_engine.prompts import Box, Points, Prompt
from sam2_plugins.session.annotations import AnnotatedObject

__all__ = ["Lasso", "PromptKey", "PromptLayers", "rounded"]

INCLUDE, EXCLUDE = CLICK_COLORS
PromptKey = tuple[int, int]
"""(object id, frame)"""
_UNDER_WAY = {ActionType.ADDING, ActionType.CHANGING, ActionType.REMOVING}


def rounded(prompt: Prompt) -> Prompt:
    """Return clicks and box to a thousandth of a pixel: layers store some of them in single precision."""
    points, box = prompt.points, prompt.box
    if points is not None:
        points = Points.unchecked(points.coordinates.astype(float).round(3), points.labels)
    if box is not None:
        box = Box(*(round(float(side), 3) for side in (box.x0, box.y0, box.x1, box.y1)))
    return Prompt(points, box)


@dataclass(frozen=True, eq=False)
class Lasso:
    """An outline drawn by hand around an object.

    Attributes
    ----------
    object_id, frame
        Whose, and where.
    outline
        (N, 2) ``(x, y)`` in pixels.
    """

    object_id: int
    frame: int
    outline: NDArray[np.float64]


class PromptLayers:
    """One Points layer for clicks and one Shapes layer for boxes, both lying exactly on the image.

    Parameters
    ----------
    viewer, stack
        Where, and on what.
    on_change
        Called after anything changed in one of the layers.
    on_new
        Called before a press that is to begin another object.
    mask_at, on_pick
        Return whose mask lies at a frame, x and y, where a click is to choose it, else 0; and what is called
        with that object in place of the click.

    Attributes
    ----------
    points, boxes
        The layers; their feature ``object`` holds object ids, and ``prompt`` of a point says whether it
        includes or excludes.
    """

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        on_change: Callable[[], None],
        on_new: Callable[[], None] = lambda: None,
        mask_at: Callable[[int, float, float], int] = lambda *_: 0,
        on_pick: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._stack = stack
        self._mask_at, self._on_pick, self._picked = mask_at, on_pick, 0
        self._viewer = viewer
        self._on_change, self._on_new = on_change, on_new
        self.each_new = False
        self._object_id = 0
        self._excluding = False
        self._quiet = False
        self._colors: dict[int, tuple[float, float, float, float]] = {}
        shape, placement = stack.plan.frame_shape, stack.placement()
        ndim = len(stack.dims)
        self.boxes = Shapes(
            ndim=ndim,
            name=f"boxes on {stack.layer.name}",
            features={"object": np.zeros(0, int)},
            feature_defaults={"object": 0},
            face_color="transparent",
            edge_color=np.array([rgba(NO_OBJECT)]),
            edge_width=box_width(shape),
            **placement,
        )
        self.points = PointsLayer(
            ndim=ndim,
            name=f"clicks on {stack.layer.name}",
            features={"object": np.zeros(0, int), "prompt": np.zeros(0, str)},
            feature_defaults={"object": 0, "prompt": INCLUDE},
            face_color=np.array([rgba(NO_OBJECT)]),
            border_color="prompt",
            border_color_cycle=CLICK_COLORS,
            border_width=CLICK_RING,
            size=point_size(shape),
            canvas_size_limits=(CLICK_SIZE, CLICK_SIZE),  # whatever the zoom
            **placement,
        )
        for layer in (self.points, self.boxes):
            layer.mouse_drag_callbacks.append(self._on_press)
            layer.events.data.connect(self._changed)
        self.points.events.data.connect(self._size_clicks)
        viewer.dims.events.point.connect(self._size_clicks)
        self._boxes_needed = False
        self.boxes.visible = False
        self.boxes.events.data.connect(self._show_boxes_if_needed)
        viewer.layers.selection.events.active.connect(self._show_boxes_if_needed)

    # ------------------------------------------------------------------ what comes next

    def set_next(self, object_id: int, excluding: bool) -> None:
        """Say which object the next click or box belongs to, and whether a click takes away."""
        self._object_id, self._excluding = object_id, excluding
        self._set_defaults(excluding)

    def color(self, objects: Iterable[AnnotatedObject]) -> None:
        """Show clicks and boxes in the colors of their objects."""
        colors = {0: rgba(NO_OBJECT), **{one.id: rgba(one.color) for one in objects}}
        if colors != self._colors:
            self._colors = colors
            self._recolor()

    def _recolor(self) -> None:
        for layer, kind in ((self.points, "face_color"), (self.boxes, "edge_color")):
            if owners := list(layer.features["object"]):
                setattr(layer, kind, np.array([self._color_of(owner) for owner in owners]))

    def _show_boxes_if_needed(self) -> None:
        """Show the boxes' layer once there are any, or one is to be drawn; else as the user has it.

        Even without a shape in it, that layer takes a third of what the window does for a move of the slider.
        """
        needed = len(self.boxes.data) > 0 or self._viewer.layers.selection.active == self.boxes
        if needed != self._boxes_needed:
            self._boxes_needed = self.boxes.visible = needed

    def _size_clicks(self, event: Any = None) -> None:
        """Give clicks their size; where none is shown, napari draws one of no size in a corner."""
        flat = self._viewer.dims.ndisplay == 2 and not self._stack.is_rolled(self._viewer)
        frame = self._stack.shown_frame(self._viewer)
        shown = not flat or any(self._stack.locate(row)[0] == frame for row in self.points.data)
        limits = (CLICK_SIZE, CLICK_SIZE) if shown else (0, 0)
        if tuple(self.points.canvas_size_limits) != limits:
            self.points.canvas_size_limits = limits

    def _on_press(self, layer: PointsLayer | Shapes, event: Any) -> None:
        adds = layer is self.points and layer.mode == "add"
        place = layer.world_to_data(event.position) if adds else None
        self._prepare(event.modifiers, place, begins=str(layer.mode).startswith("add"))

    def click_at(self, place: Any, modifiers: Collection[str] = ()) -> None:
        """Do what a click at a place in the layer's data does there, however the viewer shows it."""
        self._prepare(modifiers, place, begins=True)
        if self._picked:
            picked, self._picked = self._picked, 0
            self._on_pick(picked)
        else:
            self.points.add([place])

    def _prepare(self, modifiers: Collection[str], place: Any, begins: bool) -> None:
        """Let what is added next be what is asked for; a selected point has changed the defaults to its own.

        Ctrl and Shift ask for the opposite, once.
        """
        excludes = self._excluding != ("Control" in modifiers)
        is_new = self.each_new != ("Shift" in modifiers)
        plain = place is not None and not modifiers
        self._picked = self._mask_at(*self._stack.locate(place)) if plain else 0
        if begins and is_new and not excludes and not self._picked:
            self._on_new()
        self._set_defaults(excludes)

    def _set_defaults(self, excluding: bool) -> None:
        kind = EXCLUDE if excluding else INCLUDE
        color = np.array(self._color_of(self._object_id))
        self.points.feature_defaults = {"object": self._object_id, "prompt": kind}
        with self.points.block_update_properties():
            self.points.current_face_color = color
            self.points.current_symbol = CLICK_SYMBOLS[kind]
        self.boxes.feature_defaults = {"object": self._object_id}
        with self.boxes.block_update_properties():
            self.boxes.current_edge_color = color

    def _color_of(self, object_id: int) -> tuple[float, float, float, float]:
        return self._colors.get(int(object_id), rgba(NO_OBJECT))

    @property
    def excluding(self) -> bool:
        """Whether the next click takes away."""
        return self._excluding

    # ------------------------------------------------------------------ reading and editing

    def read(self) -> dict[PromptKey, Prompt]:
        """Return all prompts by object and frame; of several boxes on one frame the newest counts."""
        points: dict[PromptKey, list[tuple[float, float]]] = {}
        labels: dict[PromptKey, list[int]] = {}
        boxes: dict[PromptKey, tuple[float, float, float, float]] = {}
        features = self.points.features
        for position, owner, kind in zip(self.points.data, features["object"], features["prompt"]):
            frame, x, y = self._stack.locate(position)
            points.setdefault((int(owner), frame), []).append((x, y))
            labels.setdefault((int(owner), frame), []).append(int(kind != EXCLUDE))
        for outline, owner in zip(self.boxes.data, self.boxes.features["object"]):
            frame, box = box_of(self._stack, outline)
            boxes[int(owner), frame] = box
        return {
            key: rounded(
                Prompt(
                    Points.unchecked(points[key], labels[key]) if key in points else None,
                    Box(*boxes[key]) if key in boxes else None,
                )
            )
            for key in {**points, **boxes}
        }

    def take_lassos(self) -> list[Lasso]:
        """Return the outlines that were drawn, in their order, and remove them: masks take their place."""
        lassos, indices = [], []
        for i, (outline, shape_type) in enumerate(zip(self.boxes.data, self.boxes.shape_type)):
            across = lies_across(self._stack, outline)
            if shape_type == "polygon" and self._stack.holds(outline[0]) and not across:
                frames, x, y = zip(*(self._stack.locate(corner) for corner in outline))
                object_id, frame = self._key(self.boxes, i, round(float(np.mean(frames))))
                lassos.append(Lasso(object_id, frame, np.column_stack([x, y])))
                indices.append(i)
        self._remove(self.boxes, indices)
        return lassos

    def drop_unusable(self) -> list[str]:
        """Remove clicks off the image, boxes without area and replaced boxes; return sentences about them."""
        owners = list(self.boxes.features["object"])
        found = find_unusable(self._stack, list(self.points.data), list(self.boxes.data), owners)
        self._remove(self.points, found.clicks)
        self._remove(self.boxes, found.outlines)
        return found.sentences

    def adopt(self, object_ids: set[int], owner: int) -> None:
        """Give prompts that belong to no known object to ``owner``."""
        for layer in (self.points, self.boxes):
            orphans = ~layer.features["object"].isin(object_ids)
            if orphans.any():
                features = layer.features.copy()
                features.loc[orphans, "object"] = owner
                with self._quietly():
                    layer.features = features
        self._recolor()

    def replace(self, prompts: Mapping[PromptKey, Prompt]) -> None:
        """Show other prompts than before of some objects and frames; ``on_change`` is not called."""
        owned = [
            [i for i, frame in enumerate(frames) if self._key(layer, i, frame) in prompts]
            for layer, frames in (
                (self.points, [self._stack.locate(row)[0] for row in self.points.data]),
                (self.boxes, [box_of(self._stack, outline)[0] for outline in self.boxes.data]),
            )
        ]
        self._remove(self.points, owned[0])
        self._remove(self.boxes, owned[1])
        with self._quietly():
            self._add_clicks(
                (object_id, frame, x, y, INCLUDE if label else EXCLUDE)
                for (object_id, frame), held in prompts.items()
                if held.points is not None
                for (x, y), label in zip(held.points.coordinates.tolist(), held.points.labels)
            )
            self._add_boxes(
                (object_id, frame, held.box)
                for (object_id, frame), held in prompts.items()
                if held.box is not None
            )
            self._set_defaults(self._excluding)

    def _add_clicks(self, clicks: Iterable[tuple[int, int, float, float, str]]) -> None:
        """Add many clicks at once: napari takes as long for one as for a thousand."""
        rows = list(clicks)
        if not rows:
            return
        before = len(self.points.data)
        self.points.add([self._stack.position(self._viewer, frame, x, y) for _, frame, x, y, _ in rows])
        features = self.points.features.copy()
        features.loc[before:, "object"] = [row[0] for row in rows]
        features.loc[before:, "prompt"] = [row[4] for row in rows]
        self.points.features = features
        self.points.symbol = [CLICK_SYMBOLS[kind] for kind in features["prompt"]]
        self.points.refresh_colors()
        self._recolor()

    def _add_boxes(self, boxes: Iterable[tuple[int, int, Box]]) -> None:
        rows = list(boxes)
        if not rows:
            return
        before, outlines = len(self.boxes.data), []
        for _, frame, box in rows:
            corners = [self._stack.position(self._viewer, frame, x, y) for x, y in outline_of(box)]
            outlines.append(np.array(corners))
        self.boxes.add_rectangles(outlines)
        features = self.boxes.features.copy()
        features.loc[before:, "object"] = [row[0] for row in rows]
        self.boxes.features = features
        self._recolor()

    @staticmethod
    def _key(layer: PointsLayer | Shapes, index: int, frame: int) -> PromptKey:
        return int(layer.features["object"].iloc[index]), frame

    def close(self) -> None:
        """Stop listening."""
        for layer in (self.points, self.boxes):
            layer.events.data.disconnect(self._changed)
            layer.mouse_drag_callbacks.remove(self._on_press)
        self.points.events.data.disconnect(self._size_clicks)
        self._viewer.dims.events.point.disconnect(self._size_clicks)
        self.boxes.events.data.disconnect(self._show_boxes_if_needed)
        self._viewer.layers.selection.events.active.disconnect(self._show_boxes_if_needed)

    def _remove(self, layer: PointsLayer | Shapes, indices: list[int]) -> None:
        if indices:
            with self._quietly():
                layer.selected_data = set(indices)
                layer.remove_selected()

    def _changed(self, event: Any) -> None:
        # A box that is still being drawn is not read: it may have no area yet, and would be removed.
        if self._quiet or event.action in _UNDER_WAY:
            return
        if self._picked and event.action == ActionType.ADDED:
            picked, self._picked = self._picked, 0
            self._remove(self.points, [len(self.points.data) - 1])
            self._on_pick(picked)
        else:
            self._on_change()

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False
