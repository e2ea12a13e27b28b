"""Stained sections and smears in bright field: nuclei darker than the cytoplasm, fibers and glass around.

Stains take light away (Beer and Lambert): their densities add up, also where nuclei overlap, and a nucleus of
faint stain looks like the cytoplasm of a strong one. Nothing moves but the stage.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.camera import bright_field
from sam2_engine.synthetic.painting import (
    Field,
    Grain,
    Patch,
    distance_within,
    field_noise,
    patch_around,
)
from sam2_engine.synthetic.population import scatter
from sam2_engine.synthetic.scene import Drawing

__all__ = ["Slide", "draw_stained_tissue"]

_MAX_NUCLEI = 90
_HEMATOXYLIN, _EOSIN = (0.62, 0.72, 0.28), (0.12, 0.85, 0.3)
_VIOLET = (0.55, 0.95, 0.22)
_GRAY = (0.6, 0.6, 0.6)


def draw_stained_tissue(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw a slide under a stage that drifts; the label is that of the nucleus on top."""
    slide = Slide.of(rng)
    side = min(height, width)
    radius = float(max(4.0, side * np.exp(rng.uniform(*np.log(slide.radii)))))
    count = int(np.clip(slide.density * height * width / (np.pi * radius**2), 2, _MAX_NUCLEI))
    positions = scatter(rng, count, height, width, 2 * slide.spacing * radius, margin=-0.3 * radius)
    camera = bright_field(rng, num_frames, height, width)
    glass = rng.uniform(0.78, 0.97) * camera.background / camera.background.mean()
    camera = replace(camera, background=np.zeros_like(glass))
    tissue = _Tissue.of(rng, slide, height, width, radius)
    nuclei = [_Nucleus.of(rng, slide, tissue, x, y, radius) for x, y in positions if tissue.covers(x, y)]
    grain = Grain(rng, max(3.0, rng.uniform(0.25, 0.7) * radius))
    frames = np.empty((num_frames, height, width, 3), np.float32)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        base, stain = tissue.shifted(camera.drift[t]), np.zeros((height, width), np.float32)
        for number, nucleus in enumerate(nuclei, start=1):
            x, y = nucleus.x + camera.drift[t, 0], nucleus.y + camera.drift[t, 1]
            patch = patch_around(height, width, x, y, nucleus.reach)
            if patch is None:
                continue
            inside, density, around = nucleus.render(patch, grain)
            base[patch.window] += around
            stain[patch.window] += density
            labels[t][patch.window][inside] = number
        for channel in range(3):
            taken = stain * slide.nuclear[channel] + base * slide.counter[channel]
            frames[t, ..., channel] = camera.expose(rng, glass * np.exp(-taken), t)
    return Drawing(frames, labels, axes="TYXS")


@dataclass(frozen=True)
class Slide:
    """How a slide was made.

    Attributes
    ----------
    nuclear, counter
        Optical density per channel (R, G, B) of the nuclei's stain and of what stains everything else.
    radii
        Range of a nucleus's radius as a part of the frame's side.
    density, spacing
        Part of the frame that nuclei cover; least distance of two as a part of the sum of their radii.
    strength
        Typical density of a nucleus, in units of its stain.
    base
        Density of what lies between the cells.
    cytoplasm
        Density, and reach in radii of the nucleus.
    elongation
        Most that a nucleus is longer than wide.
    holes
        Part of the frame without tissue.
    """

    nuclear: tuple[float, float, float]
    counter: tuple[float, float, float]
    radii: tuple[float, float]
    density: float
    spacing: float
    strength: float
    base: float
    cytoplasm: tuple[float, float]
    elongation: float
    holes: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Slide":
        """Draw a section with a counterstain, a section or a smear with one stain, or flat cells in gray."""
        kind = int(rng.choice(4, p=(0.35, 0.3, 0.2, 0.15)))
        nuclear = (_HEMATOXYLIN, _VIOLET, _VIOLET, _GRAY)[kind]
        counter = (_EOSIN, _VIOLET, _VIOLET, _GRAY)[kind]
        tint = np.exp(rng.normal(0, 0.0 if kind == 3 else 0.2, (2, 3)))
        return cls(
            _tinted(nuclear, tint[0]),
            _tinted(counter, tint[1]),
            radii=((0.02, 0.09), (0.018, 0.05), (0.02, 0.07), (0.009, 0.03))[kind],
            density=rng.uniform(*((0.1, 0.5), (0.06, 0.5), (0.05, 0.6), (0.01, 0.05))[kind]),
            spacing=rng.choice([0.7, 0.9, 1.1]),
            strength=rng.uniform(0.6, 2.0),
            base=rng.uniform(*((0.15, 0.7), (0.1, 0.5), (0.0, 0.1), (0.0, 0.08))[kind]),
            cytoplasm=(rng.uniform(0.0, 0.35), rng.uniform(1.4, 2.2)) if kind < 3 else (0.5, 7.0),
            elongation=rng.choice([1.4, 2.0, 3.2]) if kind < 2 else 1.5,
            holes=rng.choice([0.0, rng.uniform(0.1, 0.5)]) if kind < 2 else 0.0,
        )


def _tinted(stain: tuple[float, float, float], tint: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(one * factor) for one, factor in zip(stain, tint, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class _Tissue:
    """Tissue between the nuclei: density (H, W) with fibers and holes, and the fibers' directions."""

    density: Field
    solid: NDArray[np.bool_]
    directions: Field

    @classmethod
    def of(cls, rng: np.random.Generator, slide: Slide, height: int, width: int, radius: float) -> "_Tissue":
        y, x = np.mgrid[:height, :width].astype(np.float32)
        bend = field_noise(rng, height, width, 2)
        angle = rng.uniform(0, np.pi)
        across = y * np.cos(angle) - x * np.sin(angle)
        waves = across / (rng.uniform(0.3, 1.2) * radius) + rng.uniform(2, 6) * bend
        fibers = np.sin(waves) * field_noise(rng, height, width, 6)
        clouds = field_noise(rng, height, width, int(rng.integers(4, 24)))
        solid = np.ones((height, width), bool)
        if slide.holes:
            lows = field_noise(rng, height, width, 3)
            solid = lows > np.quantile(lows, slide.holes)
        uneven = 1 + rng.uniform(0.0, 0.35) * fibers + rng.uniform(0.05, 0.3) * clouds
        density = slide.base * np.clip(uneven, 0, None) * solid
        return cls(density.astype(np.float32), solid, (angle + 0.5 * bend).astype(np.float32))

    def covers(self, x: float, y: float) -> bool:
        """Whether there is tissue at a position; beyond the frame there is."""
        height, width = self.solid.shape
        return not (0 <= x < width and 0 <= y < height) or bool(self.solid[int(y), int(x)])

    def direction(self, x: float, y: float) -> float:
        """Return the direction of the fibers at a position, or at the frame's border nearest to it."""
        height, width = self.directions.shape
        return float(self.directions[int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))])

    def shifted(self, drift: NDArray[np.float64]) -> Field:
        """Return the density of a frame; what comes into view goes on as the border does."""
        height, width = self.density.shape
        rows = np.clip(np.arange(height) - round(drift[1]), 0, height - 1)
        columns = np.clip(np.arange(width) - round(drift[0]), 0, width - 1)
        return self.density[np.ix_(rows, columns)]


@dataclass(frozen=True)
class _Nucleus:
    """One nucleus and the cytoplasm around it; ``hollow`` is 1 where all stain lies in the rim."""

    x: float
    y: float
    along: float
    across: float
    angle: float
    waves: NDArray[np.float64]
    strength: float
    hollow: float
    contrast: float
    cytoplasm: tuple[float, float]
    corners: NDArray[np.float64]
    origin: tuple[float, float]

    @classmethod
    def of(
        cls, rng: np.random.Generator, slide: Slide, tissue: _Tissue, x: float, y: float, radius: float
    ) -> "_Nucleus":
        size = radius * rng.uniform(0.75, 1.3)
        stretch = np.sqrt(rng.uniform(1.0, slide.elongation))
        density, share = slide.cytoplasm
        along_fibers = rng.random() < (0.9 if stretch > 1.3 else 0.4)
        return cls(
            x=x,
            y=y,
            along=size * stretch,
            across=size / stretch,
            angle=tissue.direction(x, y) + rng.normal(0, 0.25) if along_fibers else rng.uniform(0, np.pi),
            waves=rng.normal(0, 0.07, (3, 2)) / [[1.0], [1.3], [2.0]],
            strength=slide.strength * float(np.exp(rng.normal(0, 0.3))),
            hollow=rng.choice([0.0, rng.uniform(0.2, 0.75)]),
            contrast=rng.uniform(0.05, 0.35),
            cytoplasm=(density * rng.uniform(0.4, 1.4), share * rng.uniform(0.8, 1.2)),
            corners=rng.normal(0, 0.1, (3, 2)),
            origin=(rng.random(), rng.random()),
        )

    @property
    def reach(self) -> float:
        """Pixels from the center beyond which there is nothing of it."""
        return 1.5 * max(self.along, self.cytoplasm[1] * self.across)

    def render(self, patch: Patch, grain: Grain) -> tuple[NDArray[np.bool_], Field, Field]:
        """Return where it is, the density of its stain, and that of the cytoplasm around it."""
        u, v = patch.rotated(self.angle)
        distance = distance_within(u / np.float32(self.along), v / np.float32(self.across), self.waves)
        inside = distance < 1.0
        rim = np.exp(-(((1 - distance) / 0.2) ** 2))
        body = (1 - self.hollow) + self.hollow * (0.25 + rim)
        texture = np.clip(1 + self.contrast * grain.at(u, v, self.origin), 0.2, None)
        stained = np.where(inside, self.strength * body * texture, 0).astype(np.float32)
        density, share = self.cytoplasm
        wide = np.float32(share * self.across)
        edge = distance_within(u / wide, v / wide, self.corners)
        faded = np.clip((1 - edge) * 6, 0, 1) * (1 - 0.4 * np.clip(edge, 0, 1))
        return inside, stained, (density * faded * ~inside).astype(np.float32)
