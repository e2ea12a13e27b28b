"""Rod-shaped bacteria that grow, divide and push each other aside."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.camera import bright_field, fluorescence
from sam2_engine.synthetic.painting import Field, Patch, patch_around
from sam2_engine.synthetic.population import scatter
from sam2_engine.synthetic.scene import Division, Drawing

__all__ = ["draw_bacteria"]

_BEADS = np.linspace(-1.0, 1.0, 5)
"""A rod pushes others as a row of beads; their positions along its half axis."""
_MAX_RODS = 120
"""Rods at which growth stops. Before that, long time-lapses lose rods across the border."""


def draw_bacteria(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw colonies, dark with a bright halo (phase contrast) or bright on dark (fluorescence)."""
    fluorescent = rng.random() < 0.4
    camera = (fluorescence if fluorescent else bright_field)(rng, num_frames, height, width)
    contrast = rng.uniform(0.35, 0.85) if fluorescent else -rng.uniform(0.15, 0.3)
    halo = 0.0 if fluorescent else rng.uniform(0.05, 0.2)
    colony = _Colony(rng, height, width)
    frames = np.empty((num_frames, height, width), np.float32)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        if t:
            colony.step(t)
        light, depth = np.zeros((2, height, width), np.float32)
        for rod in colony.rods:
            x, y = rod.x + camera.drift[t, 0], rod.y + camera.drift[t, 1]
            patch = patch_around(height, width, x, y, rod.half_length + 3 * rod.radius)
            if patch is not None:
                _draw(patch, rod, contrast, halo, light, depth, labels[t])
        frames[t] = camera.expose(rng, light, t)
    return Drawing(frames, labels, colony.parents)


@dataclass
class _Rod:
    """A capsule: its half axis (without the caps) points along ``angle``; it divides at ``longest``."""

    id: int
    x: float
    y: float
    angle: float
    half_length: float
    radius: float
    longest: float
    growth: float
    brightness: float


class _Colony:
    """Rods that grow and push; ``parents`` has their divisions."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        side = min(height, width)
        radius = float(max(2.2, np.exp(rng.uniform(np.log(0.01), np.log(0.025))) * side))
        growth = rng.uniform(0.02, 0.08)
        centers = scatter(rng, int(rng.integers(3, 32)), height, width, 5 * radius, margin=0.0)
        if rng.random() < 0.5:
            # One dense colony: all rods near the center, then pushed apart.
            center = np.array([width, height]) / 2
            centers = center + 0.3 * (centers - center)
        self.rng = rng
        self.field = np.array([width, height])
        self.parents: dict[int, Division] = {}
        self.rods = []
        for number, (x, y) in enumerate(centers, start=1):
            longest = radius * rng.uniform(3.0, 4.8)
            self.rods.append(
                _Rod(
                    number,
                    float(x),
                    float(y),
                    rng.uniform(0, np.pi),
                    longest * rng.uniform(0.45, 1.0),
                    radius * rng.uniform(0.93, 1.07),
                    longest,
                    growth * rng.uniform(0.7, 1.3),
                    rng.uniform(0.75, 1.1),
                )
            )
        self._next = len(self.rods) + 1
        self._push_apart(80)

    def step(self, frame: int) -> None:
        """Go on to ``frame``: grow, divide, push apart."""
        after: list[_Rod] = []
        growing = len(self.rods) < _MAX_RODS
        for rod in self.rods:
            rod.half_length *= 1 + rod.growth * growing
            rod.angle += self.rng.normal(0, 0.02)
            after += self._divide(rod, frame) if rod.half_length > rod.longest else [rod]
        self.rods = [rod for rod in after if self._near(rod)]
        if self.rods:
            self._push_apart(8)

    def _near(self, rod: _Rod) -> bool:
        """Whether a rod is in the field or so near that it may come back."""
        beyond = np.abs(np.array([rod.x, rod.y]) - self.field / 2) - self.field / 2
        return bool(beyond.max() < rod.longest)

    def _divide(self, rod: _Rod, frame: int) -> list[_Rod]:
        half = (rod.half_length - rod.radius) / 2
        children = []
        for side in (-1, 1):
            distance = side * (half + rod.radius)
            child = replace(
                rod,
                id=self._next,
                x=rod.x + distance * np.cos(rod.angle),
                y=rod.y + distance * np.sin(rod.angle),
                angle=rod.angle + self.rng.normal(0, 0.06),
                half_length=half,
                brightness=rod.brightness * float(np.exp(self.rng.normal(0, 0.04))),
            )
            self.parents[child.id] = Division(rod.id, frame)
            self._next += 1
            children.append(child)
        return children

    def _push_apart(self, rounds: int) -> None:
        """Push overlapping rods apart; a push off the center also turns a rod."""
        rods = self.rods
        positions = np.array([(rod.x, rod.y) for rod in rods])
        angles = np.array([rod.angle for rod in rods])
        halves = np.array([rod.half_length for rod in rods])
        thick = np.repeat([rod.radius for rod in rods], len(_BEADS))
        owner = np.repeat(np.arange(len(rods)), len(_BEADS))
        wanted = (thick[:, None] + thick[None]) * (owner[:, None] != owner[None])
        for _ in range(rounds):
            axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            arms = (halves[:, None, None] * _BEADS[None, :, None] * axes[:, None]).reshape(-1, 2)
            beads = positions[owner] + arms
            between = beads[:, None] - beads[None]
            distance = np.maximum(np.hypot(between[..., 0], between[..., 1]), 1e-3)
            force = (between * (np.clip(wanted - distance, 0, None) / distance)[..., None]).sum(1)
            torque = arms[:, 0] * force[:, 1] - arms[:, 1] * force[:, 0]
            positions += 0.2 * force.reshape(len(rods), -1, 2).sum(1)
            inertia = len(_BEADS) * halves**2 / 2
            angles += np.clip(0.2 * torque.reshape(len(rods), -1).sum(1) / inertia, -0.2, 0.2)
        for rod, (x, y), angle in zip(rods, positions, angles):
            rod.x, rod.y, rod.angle = float(x), float(y), float(angle)


def _draw(
    patch: Patch,
    rod: _Rod,
    contrast: float,
    halo: float,
    light: Field,
    depth: Field,
    labels: NDArray[np.uint16],
) -> None:
    """Draw a rod where it is deeper than the rods before it; its halo lies around it."""
    along, across = patch.rotated(rod.angle)
    beyond = np.clip(np.abs(along) - rod.half_length, 0, None)
    # The waist of a rod that is about to divide.
    waist = np.clip((rod.half_length / rod.longest - 0.85) / 0.15, 0, 1) * 0.35
    radius = rod.radius * (1 - waist * np.exp(-((along / rod.radius) ** 2)))
    inwards = (radius - np.hypot(beyond, across)).astype(np.float32)
    mine = inwards > depth[patch.window]
    body = np.sqrt(np.clip(1 - (1 - inwards / rod.radius) ** 2, 0, 1)) * rod.brightness
    pixels = light[patch.window]
    if halo:
        ring = halo * np.exp(-((np.clip(inwards, None, 0) / (0.7 * rod.radius)) ** 2))
        np.copyto(pixels, np.maximum(pixels, ring), where=labels[patch.window] == 0)
    np.copyto(pixels, contrast * body, where=mine)
    depth[patch.window][mine] = inwards[mine]
    labels[patch.window][mine] = rod.id
