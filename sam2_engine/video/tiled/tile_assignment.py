"""The tiles in which one object of a large plane is tracked: those of its prompts, and handovers since."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sam2_engine.preprocessing import Region
from sam2_engine.prompts import Prompt
from sam2_engine.tiles import Extent

__all__ = ["Tile", "TileHandover", "TiledObject", "extent_of"]

Tile = Region | None
"""A part of the plane, or None for the whole of it."""


@dataclass(frozen=True, eq=False)
class TileHandover:
    """The mask with which an object was handed over to a tile, as a prompt."""

    tile: Tile
    prompt: Prompt


@dataclass
class TiledObject:
    """One object: its prompts, and in which tile it is from which frame on.

    Attributes
    ----------
    prompts
        By frame, in the order in which they were given.
    tile_by_frame
        The tile of each prompted frame.
    handovers
        By frame.
    """

    prompts: dict[int, list[Prompt]] = field(default_factory=dict)
    tile_by_frame: dict[int, Tile] = field(default_factory=dict)
    handovers: dict[int, TileHandover] = field(default_factory=dict)

    def started(self, frame: int, reverse: bool) -> bool:
        """Whether the object was prompted before ``frame`` (after it, if reverse)."""
        return any(f >= frame if reverse else f <= frame for f in self.tile_by_frame)

    def anchor(self, frame: int, reverse: bool | None = None) -> tuple[int, Tile]:
        """Return the nearest frame on which it is known where the object is, and the tile.

        Given a direction, that frame is ``frame`` or comes before it.
        """
        anchors = {**{f: handover.tile for f, handover in self.handovers.items()}, **self.tile_by_frame}
        if reverse is not None:
            anchors = {f: tile for f, tile in anchors.items() if (f >= frame if reverse else f <= frame)}
        nearest = min(anchors, key=lambda f: abs(f - frame))
        return nearest, anchors[nearest]


def extent_of(prompts: Sequence[Prompt]) -> Extent:
    """Return the box around several prompts."""
    x0, y0, x1, y1 = zip(*(prompt.extent for prompt in prompts))
    return min(x0), min(y0), max(x1), max(y1)
