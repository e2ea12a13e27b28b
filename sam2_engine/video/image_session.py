"""The session on a single image: small objects are predicted again, magnified, without small components."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from sam2_engine.prompts import Prompt
from sam2_engine.tiles import Extent, TileGrid, is_large
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.small_components import remove_small_components
from sam2_engine.video.tile_assignment import Tile, TiledObject, extent_of
from sam2_engine.video.tiled_session import TiledVideoSession, mask_box

__all__ = ["ImageSession"]

SMALL_OBJECT = 24
"""Root of the area of a small object, in pixels of the model's input: one and a half of its grid's cells."""
MIN_SIDE = 32
"""Of a tile."""


class ImageSession(TiledVideoSession):
    """What ``TiledVideoSession`` is, for one image of any size.

    A small object that was prompted by clicks or a box is predicted again in a tile of half the side,
    magnified twice as much, until it is no longer small or a tile would cut it. In a video that would cost an
    encoding per tile and frame, so there it is not done. Components far smaller than what was clicked are
    removed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not is_large(self.frames.shape, self.model.image_size):
            self.grid = TileGrid(self.frames.shape, max(self.frames.shape), 0)

    @override
    def _predict(
        self,
        frame: int,
        object_id: int,
        tiled: TiledObject,
        tile: Tile,
        prompts: list[Prompt],
        replace: bool = False,
    ) -> FrameResult:
        """Return the mask without small components, so that none of them decides on the tile."""
        result = super()._predict(frame, object_id, tiled, tile, prompts, replace)
        return _without_small_components(result, 0, prompts)

    @override
    def _track_frame(self, frame: int, ids: list[int], reverse: bool) -> FrameResult:
        result = super()._track_frame(frame, ids, reverse)
        for index, object_id in enumerate(result.object_ids):
            result = _without_small_components(result, index, self._objects[object_id].prompts[frame])
        return result

    @override
    def add_prompt(self, frame: int, object_id: int, prompt: Prompt, *, replace: bool = False) -> FrameResult:
        result = super().add_prompt(frame, object_id, prompt, replace=replace)
        if prompt.mask is not None:
            return result
        tiled = self._objects[object_id]
        prompts = tiled.prompts[frame]
        while smaller := self._smaller_tile(tiled.tile_by_frame[frame], result, extent_of(prompts)):
            before = tiled.tile_by_frame[frame]
            magnified = self._predict(frame, object_id, tiled, smaller, prompts)
            box = mask_box(magnified)
            if box is None or self._reaches_edge(smaller, box):
                return self._predict(frame, object_id, tiled, before, prompts)
            result = magnified
        return result

    def _smaller_tile(self, tile: Tile, result: FrameResult, prompted: Extent) -> Tile:
        """Return a tile of half the side that holds a small object and its prompts; None if there is none."""
        box = mask_box(result)
        height, width = self.frames.shape
        x0, y0, x1, y1 = tile or (0, 0, width, height)
        side = max(x1 - x0, y1 - y0)
        area = int((result.crop_of(0)[0] > 0).sum())
        if box is None or side < 2 * MIN_SIDE:
            return None
        if area**0.5 * self.model.image_size >= SMALL_OBJECT * side:
            return None
        grid = TileGrid(self.frames.shape, side // 2, side // 4)
        smaller = grid.nearest((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        is_cut = self._reaches_edge(smaller, box) or self._reaches_edge(smaller, prompted)
        return None if is_cut else smaller


def _without_small_components(result: FrameResult, index: int, prompts: list[Prompt]) -> FrameResult:
    """Remove small components from the mask of an object that was clicked or boxed, never painted."""
    if any(prompt.mask is not None for prompt in prompts):
        return result
    return remove_small_components(result, index, _positive_clicks(prompts))


def _positive_clicks(prompts: list[Prompt]) -> NDArray[np.float32]:
    """Return the (P, 2) clicks inside the object."""
    clicks = [prompt.points for prompt in prompts if prompt.points is not None]
    inside = [points.coordinates[points.labels == 1] for points in clicks]
    return np.concatenate([np.zeros((0, 2), np.float32), *inside])
