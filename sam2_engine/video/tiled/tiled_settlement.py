"""Settlement between objects of several tiles of a plane, on the grid of the plane that they share.

What objects of one tile claim is settled on the tile's own grid before. Here those of different tiles are
looked at whose masks lie on each other: on a canvas around them, by the same rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.modeling.sam2 import NO_OBJECT_LOGIT
from sam2_engine.preprocessing import Region
from sam2_engine.video.choosing import ABSENT, Chosen, choose_again
from sam2_engine.video.crossings import Sighting
from sam2_engine.video.identities import sightings_of
from sam2_engine.video.memory_policies.policy import Candidates, MemoryPolicy
from sam2_engine.video.settlement import TAKEN, Claim, Overlapping, give_pixels, settle
from sam2_engine.video.tracker import Offer

__all__ = ["TileOffer", "settle_tiles", "sightings_on_plane"]

_LARGEST = 1024
"""Side of a canvas in cells: around a larger crowd they are coarser."""


@dataclass
class TileOffer:
    """What a tile offers on a frame, and what its objects get.

    Attributes
    ----------
    seen
        The part of the plane that the tile's grid shows, in pixels.
    side
        Cells on a side of that grid.
    given
        (4 G, 4 G) logits of the objects that are prompted on the frame, by id.
    offer, chosen
        What is offered the others, and what was chosen of it, settled within the tile; None without others.
    """

    seen: Region
    side: int
    given: Mapping[int, Tensor]
    offer: Offer | None = None
    chosen: Chosen | None = None

    @property
    def ids(self) -> list[int]:
        """Of the objects that are tracked, row by row."""
        return [] if self.offer is None else [*self.offer.pasts]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the plane in a cell of the grid, along x and y."""
        x0, y0, x1, y1 = self.seen
        return (x1 - x0) / self.side, (y1 - y0) / self.side


@dataclass(frozen=True)
class _Member:
    """An object on a canvas: its tile and its row there; None: it is prompted on the frame."""

    object_id: int
    tile: TileOffer
    row: int | None

    @property
    def logits(self) -> Tensor:
        """(4 G, 4 G) logits of what it gets."""
        if self.row is None:
            return self.tile.given[self.object_id]
        assert self.tile.chosen is not None
        return self.tile.chosen.prediction.low_res_logits[self.row, 0]

    @property
    def offered(self) -> Tensor:
        """(1 + M, 4 G, 4 G) logits: what it has now, then all that it is offered; M = 0 if it is prompted."""
        if self.row is None:
            return self.logits[None]
        assert self.tile.offer is not None
        return torch.cat([self.logits[None], self.tile.offer.prediction.low_res_logits[self.row].float()])


def settle_tiles(tiles: Sequence[TileOffer], policy: MemoryPolicy, overlapping: Overlapping) -> None:
    """Let objects of different tiles settle what they claim; what is chosen in the tiles is changed."""
    for members in _crowds(tiles, overlapping):
        cells, corner = _canvas_of(members)
        _divide(members, corner, cells, policy, overlapping)
        logits = torch.stack(
            [_on_canvas(one.logits[None], one.tile.seen, corner, cells)[0] for one in members]
        )
        ids, are_fixed = [one.object_id for one in members], [one.row is None for one in members]
        given = give_pixels(logits, ids, are_fixed, overlapping)
        for one, taken in zip(members, (logits > 0) & (given <= 0), strict=True):
            if one.row is not None and taken.any():
                own = one.logits
                lost = _from_canvas(taken, own.shape[0], one.tile.seen, corner, cells[0])
                own[lost] = own[lost].clamp(max=TAKEN)


def sightings_on_plane(tile: TileOffer, position: int) -> list[Sighting | None]:
    """Return where the tracked objects of a tile are on the plane, in its pixels."""
    if tile.chosen is None:
        return []
    (scale_x, scale_y), (x0, y0, *_) = tile.scale, tile.seen
    return [
        one
        if one is None
        else Sighting(
            one.time,
            x0 + (one.x + 0.5) * scale_x - 0.5,
            y0 + (one.y + 0.5) * scale_y - 0.5,
            one.area * scale_x * scale_y,
        )
        for one in sightings_of(tile.chosen.prediction.low_res_logits[:, 0], position)
    ]


def _crowds(tiles: Sequence[TileOffer], overlapping: Overlapping) -> Iterator[list[_Member]]:
    """Yield objects whose masks may lie on those of other tiles, together with these."""
    members = [
        _Member(object_id, tile, row)
        for tile in tiles
        for row, object_id in [*enumerate(tile.ids), *((None, i) for i in tile.given)]
    ]
    boxes = [_box(one.logits[None], one.tile) for one in members]
    joined = list(range(len(members)))

    def root(index: int) -> int:
        while joined[index] != index:
            index = joined[index]
        return index

    for one, other in combinations(range(len(members)), 2):
        mine, theirs = members[one], members[other]
        touch = mine.tile is not theirs.tile and _touch(boxes[one], boxes[other])
        if touch and not overlapping.allows(mine.object_id, theirs.object_id):
            joined[root(one)] = root(other)
    crowds: dict[int, list[_Member]] = {}
    for index, member in enumerate(members):
        crowds.setdefault(root(index), []).append(member)
    yield from (crowd for crowd in crowds.values() if len(crowd) > 1)


def _box(logits: Tensor, tile: TileOffer) -> tuple[float, float, float, float] | None:
    """Return the box around some masks on the plane; None around empty ones."""
    inside = (logits > 0).any(0)
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    (scale_x, scale_y), (x0, y0, *_) = tile.scale, tile.seen
    return (
        x0 + int(columns[0]) * scale_x,
        y0 + int(rows[0]) * scale_y,
        x0 + (int(columns[-1]) + 1) * scale_x,
        y0 + (int(rows[-1]) + 1) * scale_y,
    )


def _touch(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return False
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _canvas_of(members: Sequence[_Member]) -> tuple[tuple[float, int, int], tuple[float, float]]:
    """Return the side of a canvas's cells in pixels, its rows and columns, and its first corner."""
    boxes = [box for one in members if (box := _box(one.offered, one.tile)) is not None]
    lows, highs = np.array(boxes)[:, :2].min(0), np.array(boxes)[:, 2:].max(0)
    (x0, y0), (x1, y1) = lows.tolist(), highs.tolist()
    finest = min(min(one.tile.scale) for one in members) / 2  # as grids of tiles are parts of a cell apart
    side = max(finest, (x1 - x0) / _LARGEST, (y1 - y0) / _LARGEST)
    return (side, int(np.ceil((y1 - y0) / side)), int(np.ceil((x1 - x0) / side))), (x0, y0)


def _on_canvas(
    logits: Tensor, seen: Region, corner: tuple[float, float], cells: tuple[float, int, int]
) -> Tensor:
    """Return (M, 4 G, 4 G) logits of a tile on a canvas, (M, h, w); far below 0 where it does not see."""
    side, height, width = cells
    x0, y0, x1, y1 = seen
    x = (corner[0] + (torch.arange(width, device=logits.device) + 0.5) * side - x0) / (x1 - x0) * 2 - 1
    y = (corner[1] + (torch.arange(height, device=logits.device) + 0.5) * side - y0) / (y1 - y0) * 2 - 1
    grid = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=-1)[None]
    found = F.grid_sample(logits[None].float(), grid.float(), padding_mode="border", align_corners=False)[0]
    return found.masked_fill((grid[0].abs() > 1).any(-1), NO_OBJECT_LOGIT)


def _from_canvas(taken: Tensor, size: int, seen: Region, corner: tuple[float, float], side: float) -> Tensor:
    """Return (h, w) cells of a canvas on the (4 G, 4 G) grid of a tile."""
    x0, y0, x1, y1 = seen
    steps = (torch.arange(size, device=taken.device) + 0.5) / size
    columns = ((x0 + steps * (x1 - x0) - corner[0]) / side).floor().long()
    rows = ((y0 + steps * (y1 - y0) - corner[1]) / side).floor().long()
    there = ((rows >= 0) & (rows < taken.shape[0]))[:, None] & ((columns >= 0) & (columns < taken.shape[1]))
    rows, columns = rows.clamp(0, taken.shape[0] - 1), columns.clamp(0, taken.shape[1] - 1)
    return taken[rows[:, None], columns] & there


def _divide(
    members: Sequence[_Member],
    corner: tuple[float, float],
    cells: tuple[float, int, int],
    policy: MemoryPolicy,
    overlapping: Overlapping,
) -> None:
    """Give what objects claim mostly to the surer ones; the others take other candidates, or are absent."""
    count = max(len(one.offered) for one in members)
    masks = torch.stack(
        [_on_canvas(one.offered, one.tile.seen, corner, cells).expand(count, -1, -1) > 0 for one in members]
    )
    claims = [_claim(one, count) for one in members]
    for one, got in zip(members, settle(claims, masks, overlapping), strict=True):
        offer, chosen = one.tile.offer, one.tile.chosen
        if one.row is not None and got.rivals and offer is not None and chosen is not None:
            outcome = ABSENT if got.candidate is None else got.candidate - 1
            one.tile.chosen = choose_again(
                policy, offer.prediction, offer.pasts, chosen, one.row, outcome, got.rivals
            )


def _claim(member: _Member, count: int) -> Claim:
    """Return what an object claims: first what it has, then all that it is offered."""
    boxes, areas = np.zeros((count, 4), np.float32), np.ones(count, np.int64)
    offer, chosen = member.tile.offer, member.tile.chosen
    if member.row is None or offer is None or chosen is None:
        candidates = Candidates(np.ones(count, np.float32), 10.0, boxes, areas, _no_masks)
        return Claim(member.object_id, candidates, 0, is_fixed=True)
    note = chosen.notes[member.row]
    iou = [note.predicted_iou, *offer.prediction.iou[member.row].float().cpu().tolist()]
    candidates = Candidates(np.asarray(iou, np.float32), note.presence_logit, boxes, areas, _no_masks)
    return Claim(member.object_id, candidates, 0 if note.area else None)


def _no_masks() -> NDArray[np.bool_]:
    return np.zeros((0, 1, 1), np.bool_)
