"""The session on a single image: small objects are predicted again, magnified."""

from typing import Any

import numpy as np
from typing_extensions import override

from sam2_engine.prompts import Prompt
from sam2_engine.tiles import Extent, TileGrid, tile_side
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.tiled.tile_assignment import Tile, extent_of
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
    encoding per tile and frame, so there it is not done.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        side = tile_side(self.frames.shape, self.model.config)
        if side == max(self.frames.shape):
            self.grid = TileGrid(self.frames.shape, side, 0)

    @override
    def _add_prompt(self, frame: int, object_id: int, prompt: Prompt, replace: bool) -> FrameResult:
        result = super()._add_prompt(frame, object_id, prompt, replace)
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
        if box is None or side < 2 * MIN_SIDE:
            return None
        area = int(np.count_nonzero(result.mask_of(0).crop()))
        if area**0.5 * self.model.image_size >= SMALL_OBJECT * side:
            return None
        grid = TileGrid(self.frames.shape, side // 2, side // 4)
        smaller = grid.nearest((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        is_cut = self._reaches_edge(smaller, box) or self._reaches_edge(smaller, prompted)
        return None if is_cut else smaller
