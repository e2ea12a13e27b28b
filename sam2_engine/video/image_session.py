"""A single picture: a small object is looked at once more, larger, and masks are without sprinkles."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from sam2_engine.prompts import Prompt
from sam2_engine.tiles import Extent, TileGrid, is_large
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.small_components import remove_small_components
from sam2_engine.video.tile_assignment import Tile, TiledObject, extent_of
from sam2_engine.video.tiled_session import TiledVideoSession, box_in

__all__ = ["ImageSession"]

SMALL = 24
"""Root of the area of a small object, in pixels of the model's input: one and a half of its grid's cells."""
LEAST_SIDE = 32


class ImageSession(TiledVideoSession):
    """What ``TiledVideoSession`` is, for one picture of any size.

    A small object that was found by clicks or a box is asked for again in a tile of half the side, magnified
    twice as much, until it is no longer small or a tile would cut it. In a video that would cost an encoding
    per tile and frame, so there it is not done. Islands far smaller than what was clicked are taken away.
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
        """Return the mask without small components, so that none of them tells where to look."""
        return _clean(super()._predict(frame, object_id, tiled, tile, prompts, replace), 0, prompts)

    def _visit(self, frame: int, ids: list[int], reverse: bool) -> FrameResult:
        result = super()._visit(frame, ids, reverse)
        for index, object_id in enumerate(result.object_ids):
            result = _clean(result, index, self._objects[object_id].prompts[frame])
        return result

    @override
    def add_prompt(self, frame: int, object_id: int, prompt: Prompt, *, replace: bool = False) -> FrameResult:
        result = super().add_prompt(frame, object_id, prompt, replace=replace)
        if prompt.mask is not None:
            return result
        tiled = self._objects[object_id]
        prompts = tiled.prompts[frame]
        while closer := self._closer(tiled.tile_by_frame[frame], result, extent_of(prompts)):
            before = tiled.tile_by_frame[frame]
            seen = self._predict(frame, object_id, tiled, closer, prompts)
            box = box_in(seen)
            if box is None or self._cuts(closer, box):
                return self._predict(frame, object_id, tiled, before, prompts)
            result = seen
        return result

    def _closer(self, tile: Tile, result: FrameResult, prompted: Extent) -> Tile:
        """Return a tile of half the side that holds a small object and its prompts; None if there is none."""
        box = box_in(result)
        height, width = self.frames.shape
        x0, y0, x1, y1 = tile or (0, 0, width, height)
        side = max(x1 - x0, y1 - y0)
        area = int((result.crop_of(0)[0] > 0).sum())
        if box is None or side < 2 * LEAST_SIDE or area**0.5 * self.model.image_size >= SMALL * side:
            return None
        grid = TileGrid(self.frames.shape, side // 2, side // 4)
        closer = grid.nearest((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        return None if self._cuts(closer, box) or self._cuts(closer, prompted) else closer


def _clean(result: FrameResult, index: int, prompts: list[Prompt]) -> FrameResult:
    """Take the sprinkles from the mask of an object that was clicked or boxed, never painted."""
    if any(one.mask is not None for one in prompts):
        return result
    return remove_small_components(result, index, _clicks(prompts))


def _clicks(prompts: list[Prompt]) -> NDArray[np.float32]:
    """Return the (P, 2) clicks that add to an object."""
    clicks = [one.points for one in prompts if one.points is not None]
    adding = [points.coordinates[points.labels == 1] for points in clicks]
    return np.concatenate([np.zeros((0, 2), np.float32), *adding])
