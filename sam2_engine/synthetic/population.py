"""Positions of cells that migrate, push each other aside, grow and divide."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.scene import Division

__all__ = ["Cell", "Population", "scatter"]

_MITOSIS = 3
"""Frames before a division on which a cell rounds up and stays where it is."""
_GROWTH = 8
"""Frames that a newborn needs to reach its full size."""
_NEWBORN_SIZE = 0.74
_SHORTEST_CYCLE = 24
"""Frames in which every cell would divide once, at the fastest: few are seen in mitosis at a time."""


@dataclass
class Cell:
    """State of one cell on the current frame.

    Attributes
    ----------
    id
        Never reused.
    x, y
        Center in pixels.
    radius
        When grown, in pixels.
    angle
        Of the long axis, along which it divides.
    heading, speed
        Direction and length of a step, in radians and pixels.
    age
        Frames since its birth.
    remaining
        Frames until it divides.
    """

    id: int
    x: float
    y: float
    radius: float
    angle: float
    heading: float
    speed: float
    age: int
    remaining: int

    @property
    def size(self) -> float:
        """Radius on this frame, in pixels."""
        return self.radius * min(1.0, _NEWBORN_SIZE + (1 - _NEWBORN_SIZE) * self.age / _GROWTH)

    @property
    def mitosis(self) -> float:
        """0 in ordinary life; 1 on the last frame before a division and on the first after it."""
        before = 1.0 - (self.remaining - 1) / _MITOSIS
        return float(np.clip(max(before, 1.0 - self.age / _MITOSIS), 0.0, 1.0))


class Population:
    """A field of cells, stepped from frame to frame.

    Parameters
    ----------
    rng
        Source of everything random.
    num_frames
        Length of the scene: divisions are spread over it.
    height, width
        Field in pixels; some cells lie across its border.
    radius
        Typical radius of a cell in pixels.
    count
        Cells at the start; fewer if they do not fit.
    spacing
        Least distance of two cells as a part of the sum of their radii.
    dividing
        Part of the cells that divide within the scene.
    pace
        Typical step per frame as a part of the radius.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        num_frames: int,
        height: int,
        width: int,
        radius: float,
        count: int,
        spacing: float = 1.0,
        dividing: float = 0.3,
        pace: float = 0.08,
    ) -> None:
        self.rng = rng
        self.spacing = spacing
        self.parents: dict[int, Division] = {}
        self._cycle = max(_SHORTEST_CYCLE, round(num_frames / dividing))
        centers = scatter(rng, count, height, width, 2 * spacing * radius, margin=-0.3 * radius)
        self.cells = [
            Cell(
                id=number,
                x=float(x),
                y=float(y),
                radius=float(radius) * rng.uniform(0.8, 1.25),
                angle=rng.uniform(0, 2 * np.pi),
                heading=rng.uniform(0, 2 * np.pi),
                speed=float(radius) * pace * rng.uniform(0.3, 1.7),
                age=_GROWTH,
                remaining=int(rng.integers(1, self._cycle + 1)),
            )
            for number, (x, y) in enumerate(centers, start=1)
        ]
        self._next = len(self.cells) + 1

    def step(self, frame: int) -> None:
        """Go on to ``frame``: cells move, those that are due divide, neighbors are pushed apart."""
        after: list[Cell] = []
        for cell in self.cells:
            cell.age += 1
            cell.remaining -= 1
            if cell.remaining <= 0:
                after += self._divide(cell, frame)
                continue
            if cell.remaining > _MITOSIS:
                cell.heading += self.rng.normal(0, 0.35)
                cell.angle += self.rng.normal(0, 0.04)
                cell.x += cell.speed * np.cos(cell.heading)
                cell.y += cell.speed * np.sin(cell.heading)
            after.append(cell)
        self.cells = after
        self._push_apart()

    def _divide(self, cell: Cell, frame: int) -> list[Cell]:
        children = []
        for side in (-1.0, 1.0):
            distance = side * 0.62 * cell.size
            child = replace(
                cell,
                id=self._next,
                x=cell.x + distance * np.cos(cell.angle),
                y=cell.y + distance * np.sin(cell.angle),
                angle=cell.angle + np.pi / 2 + self.rng.normal(0, 0.2),
                heading=cell.angle + (np.pi if side < 0 else 0.0),
                age=0,
                remaining=2 * _GROWTH + int(self.rng.integers(0, self._cycle)),
            )
            self.parents[child.id] = Division(cell.id, frame)
            self._next += 1
            children.append(child)
        return children

    def _push_apart(self) -> None:
        """Push apart what lies closer than ``spacing`` allows, gently."""
        positions = np.array([(cell.x, cell.y) for cell in self.cells])
        sizes = np.array([cell.size for cell in self.cells])
        wanted = self.spacing * (sizes[:, None] + sizes[None])
        np.fill_diagonal(wanted, 0.0)
        for _ in range(3):
            between = positions[:, None] - positions[None]
            distance = np.maximum(np.hypot(between[..., 0], between[..., 1]), 1e-3)
            push = np.clip(wanted - distance, 0.0, None) / distance
            positions += 0.25 * (between * push[..., None]).sum(1)
        for cell, (x, y) in zip(self.cells, positions):
            cell.x, cell.y = float(x), float(y)


def scatter(
    rng: np.random.Generator, count: int, height: int, width: int, distance: float, margin: float
) -> NDArray[np.float64]:
    """Draw up to ``count`` centers (N, 2), ``distance`` apart and ``margin`` from the border."""
    centers = np.empty((count, 2))
    placed = 0
    for _ in range(60 * count):
        candidate = rng.uniform((margin, margin), (width - margin, height - margin))
        away = candidate - centers[:placed]
        if (np.hypot(away[:, 0], away[:, 1]) >= distance).all():
            centers[placed] = candidate
            placed += 1
            if placed == count:
                break
    return centers[:placed]
