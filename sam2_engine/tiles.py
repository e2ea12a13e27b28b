"""Grid of overlapping tiles over a large plane, each predicted at full resolution."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.preprocessing import Region

__all__ = ["CUT_MARGIN", "Extent", "TileGrid", "is_large", "is_narrow", "reaches_inner_edge", "tile_side"]

LARGE = 2
"""A plane is large if its longer side is at least this many times the model's input."""

MIN_SIDE = 64
"""Of a tile of a narrow plane, in pixels."""

CUT_MARGIN = 1
"""A mask that ends within so many pixels of its tile's edge goes on beyond it."""

Extent = tuple[float, float, float, float]
"""``x0, y0, x1, y1`` in pixels, all inclusive."""


def is_large(shape: tuple[int, int], image_size: int) -> bool:
    """Whether a plane of ``shape`` (H, W) is split into tiles for a model of this input side."""
    return max(shape) >= LARGE * image_size


def is_narrow(shape: tuple[int, ...], config: ModelConfig) -> bool:
    """Whether a plane of ``shape`` (H, W) is squeezed beyond what a model was taught."""
    return config.max_aspect_ratio is not None and max(shape) > config.max_aspect_ratio * min(shape)


def tile_side(shape: tuple[int, int], config: ModelConfig) -> int:
    """Return the side of the tiles in which a model sees a plane; the longer side where it needs none.

    A long and narrow plane is squeezed into the model's square, and what is round there is not round any
    more: beyond ``config.max_aspect_ratio`` tiles are at most twice as long as wide.

    Examples
    --------
    >>> from sam2_engine.modeling.config import VARIANTS
    >>> [tile_side(shape, VARIANTS["nano"]) for shape in ((400, 600), (3000, 4000), (90, 600), (90, 4000))]
    [600, 512, 180, 180]
    """
    side = config.image_size if is_large(shape, config.image_size) else max(shape)
    return min(side, max(2 * min(shape), MIN_SIDE)) if is_narrow(shape, config) else side


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

    @cached_property
    def cores(self) -> list[Region]:
        """Of each tile the part that lies deepest in it: together they are the plane, without any overlap."""
        rows, columns = (self._inner(length) for length in self.shape)
        return [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]

    def _inner(self, length: int) -> list[tuple[int, int]]:
        """Return where tiles begin and end on an axis if each meets its neighbors halfway."""
        starts = self._starts(length)
        halfway = [(one + other + self.side) // 2 for one, other in pairwise(starts)]
        return list(zip([0, *halfway], [*halfway, length]))

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
