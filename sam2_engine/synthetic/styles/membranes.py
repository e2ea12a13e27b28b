"""Epithelial sheet with fluorescent membranes: neighbors share their borders, and cells divide."""

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.camera import fluorescence
from sam2_engine.synthetic.painting import Field, field_noise, patch_around
from sam2_engine.synthetic.population import Cell, Population
from sam2_engine.synthetic.scene import Drawing

__all__ = ["draw_membranes"]


def draw_membranes(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw an epithelial sheet: every pixel belongs to the nearest cell, light is where two are as near."""
    side = min(height, width)
    radius = max(6.0, np.exp(rng.uniform(np.log(0.04), np.log(0.1))) * side)
    count = int(min(1.3 * height * width / (np.pi * radius**2) + 4, 120))
    population = Population(
        rng, num_frames, height, width, radius, count, spacing=0.88, dividing=0.25, pace=0.03
    )
    camera = fluorescence(rng, num_frames, height, width)
    warp = [rng.uniform(0.05, 0.2) * radius * field_noise(rng, height, width, 10) for _ in range(2)]
    uneven = np.clip(1 + 0.25 * field_noise(rng, height, width, 12), 0.3, None)
    brightness, inner = rng.uniform(0.45, 0.95), rng.uniform(0.0, 0.15)
    thickness = max(0.9, rng.uniform(0.03, 0.07) * radius)
    reach = rng.uniform(1.6, 2.0) * radius
    frames = np.empty((num_frames, height, width), np.float32)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        if t:
            population.step(t)
        # Outside of the sheet the background is as near as ``reach``; so its free border glows, too.
        nearest, second = (np.full((height, width), reach, np.float32) for _ in range(2))
        for cell in population.cells:
            _assign_pixels(cell, camera.drift[t], warp, reach, nearest, second, labels[t])
        border = np.exp(-(((second - nearest) / (2 * thickness)) ** 2))
        light = brightness * uneven * np.where(nearest < reach, border + inner, 0)
        frames[t] = camera.expose(rng, light.astype(np.float32), t)
    return Drawing(frames, labels, population.parents)


def _assign_pixels(
    cell: Cell,
    drift: NDArray[np.float64],
    warp: list[Field],
    reach: float,
    nearest: Field,
    second: Field,
    labels: NDArray[np.uint16],
) -> None:
    """Assign to a cell the pixels that are nearer to it than to the cells before."""
    patch = patch_around(len(nearest), len(nearest[0]), cell.x + drift[0], cell.y + drift[1], 1.35 * reach)
    if patch is None:
        return
    angle, (rows, columns) = cell.angle, patch.window
    dx, dy = patch.dx + warp[0][patch.window], patch.dy + warp[1][patch.window]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    # A cell about to divide is long; each of its halves is then a cell of its own.
    stretch = 1.0 + 0.15 * cell.mitosis * (cell.age > cell.remaining)
    distance = np.hypot(along / np.float32(stretch), across * np.float32(stretch))
    best, other = nearest[rows, columns], second[rows, columns]
    closer = distance < best
    np.copyto(other, np.where(closer, best, np.minimum(other, distance)))
    best[closer] = distance[closer]
    labels[rows, columns][closer] = cell.id
