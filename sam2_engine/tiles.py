"""Grid of overlapping tiles over a large plane, each predicted at full resolution."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from sam2_engine.preprocessing import Region

__all__ = ["CUT_MARGIN", "Extent", "TileGrid", "is_large", "reaches_inner_edge"]

LARGE = 2
"""A plane is large if its longer side is at least this many times the model's input."""

CUT_MARGIN = 1
"""A mask that ends within so many pixels of its tile's edge goes on beyond it."""

Extent = tuple[float, float, float, float]
"""``x0, y0, x1, y1`` in pixels, all inclusive."""


def is_large(shape: tuple[int, int], image_size: int) -> bool:
    """Whether a plane of ``shape`` (H, W) is split into tiles for a model of this input side."""
    return max(shape) >= LARGE * image_size


@dataclass(frozen=True)
class TileGrid:
    """Tiles of equal size over a plane, evenly spaced; they depend on nothing but these numbers.

    Attributes
    ----------
    shape
        (H, W) of the plane in pixels.
    side
        Side of a tile; a plane that is narrower than this has narrower tiles.
    overlap
        Least overlap of neighbors, in pixels; objects up to this size lie whole in at least one tile.
    """

    shape: tuple[int, int]
    side: int
    overlap: int

    @cached_property
    def tiles(self) -> list[Region]:
        """All tiles, row by row."""
        height, width = self.shape
        tile_height, tile_width = min(self.side, height), min(self.side, width)
        rows, columns = (self._starts(length) for length in self.shape)
        return [(x, y, x + tile_width, y + tile_height) for y in rows for x in columns]

    def _starts(self, length: int) -> list[int]:
        if length <= self.side:
            return [0]
        count = ceil((length - self.overlap) / (self.side - self.overlap))
        return [round(i * (length - self.side) / (count - 1)) for i in range(count)]

    def nearest(self, x: float, y: float) -> Region:
        """Return the tile whose center is nearest to a position."""
        return min(
            self.tiles, key=lambda tile: (tile[0] + tile[2] - 2 * x) ** 2 + (tile[1] + tile[3] - 2 * y) ** 2
        )


def reaches_inner_edge(box: Extent, tile: Region, shape: tuple[int, int], margin: float = 0) -> bool:
    """Whether a box ends within ``margin`` pixels of an edge of its tile that is not the plane's own."""
    height, width = shape
    x0, y0, x1, y1 = tile
    return (
        (x0 > 0 and box[0] - x0 <= margin)
        or (y0 > 0 and box[1] - y0 <= margin)
        or (x1 < width and x1 - 1 - box[2] <= margin)
        or (y1 < height and y1 - 1 - box[3] <= margin)
    )
