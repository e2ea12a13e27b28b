"""Where one object of a large plane is seen: its prompts, and the tiles that it has come into since."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sam2_engine.masks import PackedMask
from sam2_engine.preprocessing import Region
from sam2_engine.prompts import Box, Points
from sam2_engine.tiles import Extent

__all__ = ["Given", "Tile", "TileHandover", "TiledObject", "extent_of"]

Tile = Region | None
"""A part of the plane, or None for the whole of it."""


@dataclass(frozen=True, eq=False)
class Given:
    """One prompt as it was given: clicks and a box, one of them, or a mask; and if others went for it."""

    points: Points | None = None
    box: Box | None = None
    mask: PackedMask | None = None
    replace: bool = False

    @property
    def extent(self) -> Extent:
        """The box around all of it, inclusive; an empty mask is nowhere."""
        if self.mask is not None:
            rows, columns = self.mask.box
            return columns.start, rows.start, columns.stop - 1, rows.stop - 1
        corners = [] if self.box is None else [self.box.corners]
        if self.points is not None:
            corners.append(self.points.coordinates)
        places = np.concatenate(corners)
        (x0, y0), (x1, y1) = places.min(0).tolist(), places.max(0).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True, eq=False)
class TileHandover:
    """An object's mask on a frame, with which it came into a tile."""

    tile: Tile
    mask: PackedMask


@dataclass
class TiledObject:
    """One object.

    Attributes
    ----------
    prompts
        By frame, in the order in which they were given.
    places
        The tile of each prompted frame.
    handovers
        By frame.
    """

    prompts: dict[int, list[Given]] = field(default_factory=dict)
    tile_by_frame: dict[int, Tile] = field(default_factory=dict)
    handovers: dict[int, TileHandover] = field(default_factory=dict)

    def started(self, frame: int, reverse: bool) -> bool:
        """Whether the object was prompted before ``frame`` (after it, if reverse)."""
        return any(f >= frame if reverse else f <= frame for f in self.tile_by_frame)

    def anchor(self, frame: int, reverse: bool | None = None) -> tuple[int, Tile]:
        """Return the nearest frame on which it is known where the object is, and the tile.

        Given a direction, that frame lies before ``frame`` on the way, or is it.
        """
        anchors = {**{f: one.tile for f, one in self.handovers.items()}, **self.tile_by_frame}
        if reverse is not None:
            anchors = {f: tile for f, tile in anchors.items() if (f >= frame if reverse else f <= frame)}
        nearest = min(anchors, key=lambda f: abs(f - frame))
        return nearest, anchors[nearest]


def extent_of(given: Sequence[Given]) -> Extent:
    """Return the box around several prompts."""
    x0, y0, x1, y1 = zip(*(one.extent for one in given))
    return min(x0), min(y0), max(x1), max(y1)
