"""A Points or Shapes layer of the user's, as prompts of objects on a stack's frames."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Points as PointsLayer
from napari.layers import Shapes
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.prompts.prompt_layers import EXCLUDE
from sam2_engine import InputError
from sam2_engine.prompts import Box, Points, Prompt, covers_pixels
from sam2_plugins.importing.prompts import PlacedPrompt

__all__ = ["prompts_in_layer"]

_CORNERS_ON_AN_ELLIPSE = 64


def prompts_in_layer(
    layer: PointsLayer | Shapes, stack: ImageStack, viewer: Viewer, first_id: int, as_masks: bool = False
) -> list[PlacedPrompt]:
    """Return points as clicks, rectangles as boxes and other shapes as masks, where they lie on the image.

    Parameters
    ----------
    layer
        Of as many axes as the image, or of fewer: then of what is shown now.
    stack, viewer
        Whose frames.
    first_id
        Id of the first object. Each point or shape is one, but for those that share a whole number in a
        feature called "object"; the feature "prompt" says of a point whether it excludes.
    as_masks
        Whether rectangles are masks, too, as outlines of finished work are; points cannot be.

    Raises
    ------
    InputError
        If nothing lies on the image's frames, or the layer has more axes than the image.
    """
    if layer.ndim > len(stack.dims):
        raise InputError(
            f"Layer '{layer.name}' has {layer.ndim} axes, but the image has {len(stack.dims)}; "
            "select a layer of this image."
        )
    if as_masks and isinstance(layer, PointsLayer):
        raise InputError(f"Layer '{layer.name}' holds points, no masks; count them as “to track from”.")
    owners, placed = _owners(layer, first_id), dict[tuple[int, int], list[Prompt]]()
    found = (
        _clicks(layer, stack, viewer)
        if isinstance(layer, PointsLayer)
        else _outlines(layer, stack, viewer, as_masks)
    )
    for number, frame, prompt in found:
        placed.setdefault((owners[number], frame), []).append(prompt)
    if not placed:
        raise InputError(
            f"Layer '{layer.name}' has nothing on the image's frames; add points, boxes or outlines there."
        )
    combine = _joined if as_masks else Prompt.combined
    return [PlacedPrompt(frame, owner, combine(all_of)) for (owner, frame), all_of in placed.items()]


def _joined(prompts: Sequence[Prompt]) -> Prompt:
    """Return one mask of several."""
    masks = [one.mask.to_array() for one in prompts if one.mask is not None]
    return Prompt.of(masks[0].shape, mask=np.any(masks, axis=0))


def _owners(layer: PointsLayer | Shapes, first_id: int) -> list[int]:
    """Return the id of the object that each point or shape belongs to."""
    named = layer.features.get("object")
    if named is None or not np.issubdtype(named.dtype, np.integer):
        return [first_id + number for number in range(len(layer.data))]
    ids = {name: first_id + number for number, name in enumerate(dict.fromkeys(named))}
    return [ids[name] for name in named]


def _clicks(layer: PointsLayer, stack: ImageStack, viewer: Viewer) -> Iterator[tuple[int, int, Prompt]]:
    kinds = layer.features.get("prompt")
    for number, row in enumerate(layer.data):
        frame, x, y = _on_stack(layer, stack, viewer, row[None])
        if stack.contains(frame, x[0], y[0]):
            excludes = kinds is not None and kinds.iloc[number] == EXCLUDE
            yield (
                number,
                frame,
                Prompt(Points.of([(x[0], y[0])], [int(not excludes)], stack.plan.frame_shape)),
            )


def _outlines(
    layer: Shapes, stack: ImageStack, viewer: Viewer, as_masks: bool
) -> Iterator[tuple[int, int, Prompt]]:
    height, width = shape = stack.plan.frame_shape
    for number, (corners, kind) in enumerate(zip(layer.data, layer.shape_type)):
        frame, x, y = _on_stack(layer, stack, viewer, np.asarray(corners))
        if not stack.contains(frame, 0, 0):
            continue
        if kind == "rectangle" and not as_masks:
            # An outline runs along the pixels' outer edges.
            sides = x.min() + 0.5, y.min() + 0.5, x.max() - 0.5, y.max() - 0.5
            inside = sides[0] < width and sides[1] < height and sides[2] >= 0 and sides[3] >= 0
            if inside and covers_pixels(*sides):
                yield number, frame, Prompt(box=Box.of(sides, shape))
            continue
        outline = np.column_stack([y, x])
        mask = polygon2mask(shape, _around(outline) if kind == "ellipse" else outline)
        if mask.any():
            yield number, frame, Prompt.of(shape, mask=mask)


def _around(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on the ellipse that fits between four corners."""
    center, along, across = corners.mean(0), (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, _CORNERS_ON_AN_ELLIPSE, endpoint=False)[:, None]
    return np.asarray(center + np.cos(angles) * along + np.sin(angles) * across)


def _on_stack(
    layer: PointsLayer | Shapes, stack: ImageStack, viewer: Viewer, rows: NDArray[Any]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the frame and the x and y of positions; a frame of -1 if they lie at another place."""
    image, positions = stack.layer, []
    for row in rows:
        world = np.asarray(image.data_to_world(image.world_to_data(viewer.dims.point)), float)
        world[image.ndim - layer.ndim :] = layer.data_to_world(row)
        positions.append(image.world_to_data(world))
    places = [stack.locate(position) for position in positions]
    here = all(stack.places_of(position) == stack.fixed for position in positions)
    frame = round(float(np.mean([place[0] for place in places]))) if here else -1
    return frame, np.array([place[1] for place in places]), np.array([place[2] for place in places])
