"""Polygons of masks: along the edges of their pixels, so that nothing is lost."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from sam2_engine.masks import CompressedMask

__all__ = ["Polygon", "polygons_of", "ring_area"]

Ring = NDArray[np.int64]
"""(N, 2) corners x, y in order, the first one not repeated; 0, 0 is the outer corner of the first pixel."""

_TURNS = {"E": "SN", "S": "WE", "W": "NS", "N": "EW"}
"""Where an edge goes on: to the right first, which keeps pixels apart that touch in a corner alone."""


@dataclass(frozen=True)
class Polygon:
    """One part of a mask whose pixels share edges.

    Attributes
    ----------
    exterior
        Its outer ring, clockwise on the screen.
    holes
        Rings of what is left out, counterclockwise. Rings may touch in corners and never cross.
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()


def ring_area(ring: NDArray[Any]) -> float:
    """Return the area within a ring, below 0 if it is counterclockwise on the screen."""
    x, y = ring.T.astype(np.float64)
    return float((x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def polygons_of(mask: CompressedMask) -> list[Polygon]:
    """Return a mask's parts as polygons in the pixels of its frame, the largest first; none if it is empty.

    Examples
    --------
    >>> inside = np.zeros((8, 8), bool)
    >>> inside[1:6, 2:7] = True
    >>> inside[3, 4] = False
    >>> (one,) = polygons_of(CompressedMask.from_array(inside))
    >>> one.exterior.tolist(), one.holes[0].tolist()
    ([[2, 1], [7, 1], [7, 6], [2, 6]], [[4, 4], [5, 4], [5, 3], [4, 3]])
    """
    if mask.is_empty:
        return []
    rows, columns = mask.box
    parts, _ = label(mask.crop())
    found = []
    for number, place in enumerate(find_objects(parts), start=1):
        corner = (columns.start + place[1].start, rows.start + place[0].start)
        rings = [ring + corner for ring in _rings(parts[place] == number)]
        exterior = max(rings, key=ring_area)
        found.append(Polygon(exterior, tuple(ring for ring in rings if ring is not exterior)))
    return sorted(found, key=lambda one: -ring_area(one.exterior))


def _rings(inside: NDArray[np.bool_]) -> list[Ring]:
    """Return all rings around a part, its pixels to the right of every edge."""
    edges = _edges(inside)
    rings: list[Ring] = []
    while start := next(((way, corner) for way in "EW" for corner in edges[way]), None):
        way, corner = start
        corners = []
        while corner in edges[way]:
            corners.append(corner)
            corner = edges[way].pop(corner)
            way = next((turn for turn in _TURNS[way] if corner in edges[turn]), way)
        rings += [np.array(one, np.int64) for one in _simple(corners)]
    return rings


def _edges(inside: NDArray[np.bool_]) -> dict[str, dict[tuple[int, int], tuple[int, int]]]:
    """Return straight edges by direction, from corner to corner (x, y)."""
    steps = np.diff(np.pad(inside, 1).astype(np.int8), axis=0)[:, 1:-1]
    across = np.diff(np.pad(inside, 1).astype(np.int8), axis=1)[1:-1].T
    edges: dict[str, dict[tuple[int, int], tuple[int, int]]] = {}
    edges["E"] = {(x0, y): (x1, y) for y, x0, x1 in _runs(steps == 1)}
    edges["W"] = {(x1, y): (x0, y) for y, x0, x1 in _runs(steps == -1)}
    edges["N"] = {(x, y1): (x, y0) for x, y0, y1 in _runs(across == 1)}
    edges["S"] = {(x, y0): (x, y1) for x, y0, y1 in _runs(across == -1)}
    return edges


def _runs(there: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Yield row, first and end column of every run of True."""
    ends = np.diff(np.pad(there, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, begins = np.nonzero(ends == 1)
    _, stops = np.nonzero(ends == -1)
    return zip(rows.tolist(), begins.tolist(), stops.tolist())


def _simple(corners: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Divide a ring where it comes to a corner once more, so that each touches itself nowhere."""
    way: list[tuple[int, int]] = []
    places: dict[tuple[int, int], int] = {}
    for corner in corners:
        if corner in places:
            begin = places[corner]
            yield way[begin:]
            for left in way[begin + 1 :]:
                del places[left]
            del way[begin + 1 :]
        else:
            places[corner] = len(way)
            way.append(corner)
    yield way
