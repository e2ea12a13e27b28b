"""Cells in phase contrast: gray on gray, with a thin bright halo and a dark rim.

Spread cells are polygons and spindles with long, bending processes, granular inside, and touch each other.
Rounded cells (dividing, dying, or loosely attached) are small, with a bright ring and a dark center; so are
spindles that bulge. Around these, annotators often count the halo as the cell: then it belongs to the label.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine.synthetic.camera import bright_field
from sam2_engine.synthetic.painting import Field, Grain, Patch, field_noise, patch_around
from sam2_engine.synthetic.population import Cell, Population
from sam2_engine.synthetic.scene import Drawing

__all__ = ["draw_phase_contrast"]

_FAR = -1e3


def draw_phase_contrast(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw a culture; a pixel belongs to the cell that it lies deepest in, so neighbors touch."""
    culture = Culture.of(rng)
    side = min(height, width)
    radius = float(max(4.0, side * np.exp(rng.uniform(*np.log(culture.radii)))))
    count = int(np.clip(culture.density * height * width / (np.pi * radius**2), 2, 60))
    population = Population(
        rng, num_frames, height, width, radius, count, culture.spacing, dividing=0.15, pace=0.06
    )
    camera = bright_field(rng, num_frames, height, width)
    optics = _Optics.of(rng, radius)
    grain, folds = Grain(rng, rng.uniform(2.5, 4.5)), Grain(rng, 0.6 * radius)
    debris = _debris(rng, height, width)
    appearances: dict[int, _Appearance] = {}
    frames = np.empty((num_frames, height, width), np.float32)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        if t:
            population.step(t)
        light, deepest = debris.copy(), np.full((height, width), _FAR, np.float32)
        halo = np.zeros((height, width), np.float32)
        for cell in population.cells:
            if cell.id not in appearances:
                appearances[cell.id] = _Appearance.of(rng, culture)
            appearance = appearances[cell.id]
            appearance.step(rng)
            x, y = cell.x + camera.drift[t, 0], cell.y + camera.drift[t, 1]
            patch = patch_around(height, width, x, y, appearance.reach(cell) + 4 * optics.halo_width)
            if patch is None:
                continue
            inwards = appearance.inwards(patch, cell, folds)
            around = appearance.halo(cell) * np.exp(-((np.clip(inwards, None, 0) / optics.halo_width) ** 2))
            np.maximum(halo[patch.window], np.where(inwards < 0, around, 0), out=halo[patch.window])
            outline = -culture.counted_halo * appearance.height(cell) * optics.halo_width
            mine = (inwards > 0) & (inwards > deepest[patch.window])
            deepest[patch.window][mine] = inwards[mine]
            inside = Patch(patch.window, patch.dx[mine], patch.dy[mine])
            light[patch.window][mine] = optics.interior(inside, cell, appearance, inwards[mine], grain, folds)
            edge = (inwards > outline) & (inwards <= 0) & (labels[t][patch.window] == 0)
            labels[t][patch.window][mine | edge] = cell.id
        # A neighbor's halo shows faintly through a flat cell: the border between two that touch.
        covered = deepest > _FAR
        light += halo * np.where(covered, optics.shine_through, 1.0)
        shading = gaussian_filter(covered.astype(np.float32), 0.25 * radius, truncate=2.5)
        frames[t] = camera.expose(rng, light - optics.shading * shading, t)
    return Drawing(frames, labels, population.parents)


@dataclass(frozen=True)
class Culture:
    """What kind of cells a scene shows.

    Shares of rounded ones, and of spread ones that bulge; size of a body, its processes; and how much of the
    halo of those that are not flat counts as the cell.
    """

    radii: tuple[float, float]
    density: float
    spacing: float
    rounded: float
    body: float
    processes: tuple[int, int]
    length: tuple[float, float]
    bulging: float = 0.0
    counted_halo: float = 0.0

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Culture":
        # Spread cells; spindles; crowded polygons; small, mostly rounded cells; spindles that bulge.
        kinds = (
            cls((0.04, 0.09), rng.uniform(0.2, 0.5), 0.95, 0.1, 0.75, (2, 5), (1.3, 3.0)),
            cls((0.03, 0.07), rng.uniform(0.2, 0.5), 0.9, 0.08, 0.65, (2, 2), (2.0, 4.2)),
            cls((0.04, 0.09), rng.uniform(0.7, 0.95), 0.8, 0.04, 1.0, (3, 5), (1.1, 1.8)),
            cls((0.015, 0.05), rng.uniform(0.01, 0.12), 1.2, 0.75, 0.75, (1, 4), (1.0, 1.8)),
            cls((0.025, 0.07), rng.uniform(0.03, 0.2), 1.1, 0.3, 0.6, (2, 3), (1.0, 3.2), 0.85, rng.random()),
        )
        return kinds[int(rng.choice(len(kinds), p=(0.15, 0.15, 0.2, 0.15, 0.35)))]


@dataclass
class _Appearance:
    """Outline and surface of one cell: a body with processes that bend, stretch and shrink."""

    rounded: bool
    bulge: float
    tone: float
    granules: float
    edge: float
    tips: NDArray[np.float64]
    body: float
    thickness: float
    ring: float
    origin: tuple[float, float]

    @classmethod
    def of(cls, rng: np.random.Generator, culture: Culture) -> "_Appearance":
        count = int(rng.integers(culture.processes[0], culture.processes[1] + 1))
        directions = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
        lengths = rng.uniform(*culture.length, count)
        return cls(
            rounded=rng.random() < culture.rounded,
            bulge=rng.uniform(0.6, 1.0) if rng.random() < culture.bulging else 0.0,
            tone=rng.normal(0.005, 0.035),
            granules=rng.uniform(0.015, 0.06),
            edge=rng.uniform(0.02, 0.16),
            tips=np.stack([directions, lengths], axis=1),
            body=culture.body * rng.uniform(0.85, 1.15),
            thickness=rng.uniform(0.04, 0.3),
            ring=rng.uniform(0.15, 0.45),
            origin=(rng.random(), rng.random()),
        )

    def step(self, rng: np.random.Generator) -> None:
        """Go on to the next frame: the processes bend and stretch."""
        self.tips[:, 0] += rng.normal(0, 0.04, len(self.tips))
        self.tips[:, 1] = np.clip(self.tips[:, 1] * np.exp(rng.normal(0, 0.04, len(self.tips))), 0.9, 4.5)

    def roundness(self, cell: Cell) -> float:
        """0 for a spread cell, 1 for a ball."""
        return 1.0 if self.rounded else cell.mitosis

    def height(self, cell: Cell) -> float:
        """0 for a flat cell, 1 for one that is as tall as it is wide."""
        return max(self.roundness(cell), self.bulge)

    def halo(self, cell: Cell) -> float:
        """Brightness of the halo: thin at a flat cell's edge, strong around a ball."""
        return self.edge + (0.35 - self.edge) * self.height(cell) ** 2

    def reach(self, cell: Cell) -> float:
        """Distance of the farthest tip in pixels."""
        return float(cell.size * max(1.0, 1.15 * self.tips[:, 1].max()))

    def inwards(self, patch: Patch, cell: Cell, folds: Grain) -> Field:
        """Return the distance from the outline in pixels, positive inside."""
        ball = self.roundness(cell)
        u, v = patch.rotated(cell.angle)
        radius = cell.size * (self.body * (1 - ball) + 0.65 * ball)
        if ball == 1.0:
            wavy = 0.06 * radius * folds.at(u, v, self.origin)
            return np.asarray(radius - np.hypot(u, 1.1 * v) + wavy, np.float32)
        softness = np.float32(0.2 * radius)
        total = np.zeros_like(u)
        for direction, length in self.tips:
            end = cell.size * (length * (1 - ball) + 0.05)
            tip = max(1.0, radius * (self.thickness + (0.9 - self.thickness) * ball))
            along = u * np.float32(np.cos(direction)) + v * np.float32(np.sin(direction))
            across = v * np.float32(np.cos(direction)) - u * np.float32(np.sin(direction))
            share = np.clip(along / np.float32(end), 0, 1)
            taper = radius * 0.8 + (tip - radius * 0.8) * np.sqrt(share)
            cone = np.hypot(along - share * np.float32(end), across) - taper
            total += np.exp(np.clip(-cone / softness, -40, 40))
        outline = softness * np.log(np.maximum(total, 1e-12))
        ragged = 0.04 * cell.size * (1 - ball) * folds.at(u, v, self.origin)
        return np.asarray(outline + ragged, np.float32)


@dataclass(frozen=True)
class _Optics:
    """What the phase ring makes of thickness: widths in pixels, strengths in units of light."""

    halo_width: float
    rim: float
    rim_width: float
    ring_width: float
    shading: float
    shine_through: float

    @classmethod
    def of(cls, rng: np.random.Generator, radius: float) -> "_Optics":
        return cls(
            halo_width=min(max(0.12 * radius, 1.0), 3.5) * rng.uniform(0.8, 1.4),
            rim=rng.uniform(0.02, 0.12),
            rim_width=min(max(0.12 * radius, 1.2), 3.0) * rng.uniform(0.7, 1.3),
            ring_width=min(max(0.18 * radius, 1.0), 5.0),
            shading=rng.uniform(0.0, 0.06),
            shine_through=rng.uniform(0.4, 0.9),
        )

    def interior(
        self, patch: Patch, cell: Cell, appearance: _Appearance, inwards: Field, grain: Grain, folds: Grain
    ) -> Field:
        """Return the light inside of a cell, relative to the background; ``patch`` holds its pixels alone."""
        ball = appearance.height(cell) ** 2
        u, v = patch.rotated(cell.angle)
        rim = np.exp(-((inwards / self.rim_width) ** 2))
        # The nucleus: smooth, with a thin dark envelope and a dark nucleolus or two.
        away = np.hypot(u / 0.42, v / 0.3) / cell.size
        envelope = np.exp(-(((away - 1) * 4) ** 2))
        nucleolus = np.exp(-((u - 0.12 * cell.size) ** 2 + v**2) / (0.09 * cell.size) ** 2)
        granular = appearance.granules * np.where(away < 1, 0.35, 1.0)
        flat = (
            appearance.tone
            + granular * grain.at(u, v, appearance.origin)
            + 0.02 * folds.at(v, u, appearance.origin)
        )
        flat = flat - self.rim * rim - 0.04 * envelope - 0.12 * nucleolus
        if ball == 0.0:
            return np.asarray(flat, np.float32)
        depth = inwards / cell.size
        ring = 0.4 * np.exp(-(((depth - 0.5 * appearance.ring) * cell.size / self.ring_width) ** 2))
        center = -0.3 * np.clip((depth - 0.6 * appearance.ring) / 0.25, 0, 1)
        sphere = ring + center + 0.5 * appearance.granules * grain.at(u, v, appearance.origin)
        return np.asarray((1 - ball) * flat + ball * sphere, np.float32)


def _debris(rng: np.random.Generator, height: int, width: int) -> Field:
    """Draw debris: dark spots and threads, faint rings out of focus."""
    layer = np.zeros((height, width), np.float32)
    threads = field_noise(rng, height, width, 24)
    sparse = field_noise(rng, height, width, 6)
    layer -= rng.uniform(0, 0.12) * (np.abs(threads) < 0.1) * (sparse > rng.uniform(1.2, 2.5))
    for _ in range(int(rng.integers(0, 12))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.8, 2.0)
        patch = patch_around(height, width, x, y, 4 * radius)
        if patch is not None:
            spot = np.exp(-(patch.dx**2 + patch.dy**2) / np.float32(2 * radius**2))
            layer[patch.window] += np.float32(rng.choice([-0.25, -0.25, 0.25])) * spot
    for _ in range(int(rng.integers(0, 4))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), 0.06 * min(height, width)
        patch = patch_around(height, width, x, y, 1.6 * radius)
        if patch is not None:
            distance = np.hypot(patch.dx, patch.dy) - radius
            layer[patch.window] += np.float32(rng.normal(0, 0.05)) * np.exp(
                -((distance / (0.2 * radius)) ** 2)
            )
    return layer
