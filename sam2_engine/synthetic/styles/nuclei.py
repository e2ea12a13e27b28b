"""Fluorescent nuclei that drift, overlap, condense and divide."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.camera import fluorescence
from sam2_engine.synthetic.painting import Field, Grain, Patch, distance_within, patch_around
from sam2_engine.synthetic.population import Cell, Population
from sam2_engine.synthetic.scene import Drawing

__all__ = ["draw_nuclei"]


def draw_nuclei(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw nuclei: light adds up where they overlap; the label is that of the nucleus on top."""
    side = min(height, width)
    radius = max(4.0, np.exp(rng.uniform(np.log(0.025), np.log(0.08))) * side)
    count = int(np.clip(rng.uniform(0.08, 0.3) * height * width / (np.pi * radius**2), 2, 70))
    spacing = rng.choice([0.75, 1.0, 1.3])
    population = Population(rng, num_frames, height, width, radius, count, spacing, dividing=0.35)
    camera = fluorescence(rng, num_frames, height, width)
    grain = Grain(rng, max(3.0, rng.uniform(0.3, 0.9) * radius))
    contrast = rng.uniform(0.08, 0.3)
    appearances: dict[int, _Appearance] = {}
    frames = np.empty((num_frames, height, width), np.float32)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        if t:
            population.step(t)
        light = np.zeros((height, width), np.float32)
        for cell in population.cells:
            if cell.id not in appearances:
                division = population.parents.get(cell.id)
                appearances[cell.id] = _Appearance.of(rng, appearances[division.parent] if division else None)
            appearance = appearances[cell.id]
            x, y = cell.x + camera.drift[t, 0], cell.y + camera.drift[t, 1]
            patch = patch_around(height, width, x, y, 2.2 * cell.size)
            if patch is not None:
                inside, glow = _nucleus(patch, cell, appearance, grain, contrast)
                light[patch.window] += glow
                labels[t][patch.window][inside] = cell.id
        frames[t] = camera.expose(rng, light, t)
    return Drawing(frames, labels, population.parents)


@dataclass(frozen=True)
class _Appearance:
    brightness: float
    elongation: float
    waves: NDArray[np.float64]
    origin: tuple[float, float]

    @classmethod
    def of(cls, rng: np.random.Generator, parent: "_Appearance | None") -> "_Appearance":
        """Draw an appearance; a child is about as bright as its parent."""
        brightness = (
            parent.brightness * float(np.exp(rng.normal(0, 0.1))) if parent else rng.uniform(0.2, 0.75)
        )
        waves = rng.normal(0, 0.06, (3, 2)) / [[1.0], [1.5], [2.5]]
        return cls(brightness, rng.uniform(1.0, 1.6), waves, (rng.random(), rng.random()))


def _nucleus(
    patch: Patch, cell: Cell, appearance: _Appearance, grain: Grain, contrast: float
) -> tuple[NDArray[np.bool_], Field]:
    """Return where a nucleus is and its light: oval and grainy, in mitosis a bright narrow plate."""
    condensed = cell.mitosis
    u, v = patch.rotated(cell.angle)
    # The plate of chromosomes lies across the axis of the division; both halves come out of it sidewise.
    stretch = appearance.elongation ** (0.5 * (1 - condensed))
    along, across = cell.size * stretch * (1 - 0.25 * condensed), cell.size / stretch
    distance = distance_within(u / np.float32(along), v / np.float32(across), appearance.waves)
    inside = distance < 1.0
    body = 0.8 + 0.2 * np.sqrt(np.clip(1 - distance**2, 0, None))
    texture = 1 + contrast * (1 + condensed) * grain.at(u, v, appearance.origin)
    glow = appearance.brightness * (1 + 0.5 * condensed) * body * np.clip(texture, 0.15, None)
    return inside, np.where(inside, glow, 0).astype(np.float32)
