"""Organs in a volume: closed shapes that change smoothly from slice to slice, in the gray values of CT."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine.synthetic.painting import Field, Patch, field_noise, patch_around
from sam2_engine.synthetic.scene import Drawing

__all__ = ["draw_organs"]

_WINDOW = (-160.0, 240.0)
"""Hounsfield units shown as black and white in 8 bit: the usual window for soft tissue."""
_AIR, _FAT, _MUSCLE = -1000.0, -100.0, 55.0


def draw_organs(rng: np.random.Generator, num_slices: int, height: int, width: int) -> Drawing:
    """Draw a trunk with organs, vessels, a spine and lesions; each has an id, body wall and fat have none."""
    body = _body(rng, num_slices, height, width)
    organs = _anatomy(rng, num_slices, min(height, width), (width / 2, 0.52 * height))
    texture = rng.uniform(3, 10) * field_noise(rng, height, width, 40)
    noise, blur, grain = rng.uniform(8, 28), rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.9)
    light = np.empty((num_slices, height, width), np.float32)
    labels = np.zeros((num_slices, height, width), np.uint16)
    for z in range(num_slices):
        body_wall, density = _trunk(body, z, height, width)
        density += texture
        for number, organ in enumerate(organs, start=1):
            x, y, radius = organ.at(z)
            patch = patch_around(height, width, x, y, 1.6 * radius) if radius > 0 else None
            if patch is not None:
                inside = organ.inside(patch, z, radius) & (body_wall[patch.window] < 0)
                density[patch.window][inside] = organ.density + texture[patch.window][inside]
                labels[z][patch.window][inside] = number
        speckle = gaussian_filter(rng.standard_normal((height, width), dtype=np.float32), grain, truncate=3.0)
        density = gaussian_filter(density, blur, truncate=3.0) + noise * speckle / speckle.std()
        light[z] = (density - _WINDOW[0]) / (_WINDOW[1] - _WINDOW[0])
    counts = (_WINDOW[0] + 1024, _WINDOW[1] + 1024)
    return Drawing(light, labels, axes="ZYX", counts=counts)


@dataclass(frozen=True)
class _Organ:
    """A closed shape around a curved axis through the slices.

    ``bends`` are amplitude, phase and twist of the outline's waves of order 2, 3 and 4.
    """

    center: tuple[float, float, float]
    radius: float
    half_depth: float
    lean: tuple[float, float]
    curve: tuple[float, float]
    angle: float
    elongation: float
    bends: NDArray[np.float64]
    density: float

    def at(self, z: int) -> tuple[float, float, float]:
        """Return the center (x, y) and the radius on a slice; no radius where the organ is not."""
        depth = (z - self.center[2]) / self.half_depth
        x = self.center[0] + self.radius * (self.lean[0] * depth + self.curve[0] * depth**2)
        y = self.center[1] + self.radius * (self.lean[1] * depth + self.curve[1] * depth**2)
        return x, y, self.radius * float(np.sqrt(max(0.0, 1 - depth**2)))

    def inside(self, patch: Patch, z: int, radius: float) -> NDArray[np.bool_]:
        """Return which pixels of a slice are inside."""
        depth = (z - self.center[2]) / self.half_depth
        u, v = patch.rotated(self.angle + 0.2 * depth)
        u, v = u / np.float32(self.elongation**0.5), v * np.float32(self.elongation**0.5)
        direction = np.arctan2(v, u)
        outline = np.ones_like(u)
        for order, (size, phase, twist) in enumerate(self.bends, start=2):
            outline += np.float32(size) * np.cos(order * direction + np.float32(phase + twist * depth))
        result: NDArray[np.bool_] = np.hypot(u, v) < radius * outline
        return result


def _organ(
    rng: np.random.Generator,
    center: tuple[float, float, float],
    radius: float,
    half_depth: float,
    density: float,
    roughness: float = 0.1,
) -> _Organ:
    bends = np.stack(
        [rng.normal(0, roughness, 3), rng.uniform(0, 2 * np.pi, 3), rng.normal(0, 0.8, 3)], axis=1
    )
    lean, curve = rng.normal(0, 0.25, 2), rng.normal(0, 0.15, 2)
    elongation = 1 + 8 * roughness * rng.random()
    return _Organ(
        center,
        radius,
        half_depth,
        (float(lean[0]), float(lean[1])),
        (float(curve[0]), float(curve[1])),
        rng.uniform(0, np.pi),
        elongation,
        bends,
        density,
    )


def _anatomy(
    rng: np.random.Generator, num_slices: int, side: int, center: tuple[float, float]
) -> list[_Organ]:
    """Place large organs, each with room of its own, then what lies on top: lesions, vessels and spine."""
    organs: list[_Organ] = []
    for _ in range(80):
        radius = side * rng.uniform(0.06, 0.17)
        turn, distance = rng.uniform(0, 2 * np.pi), side * 0.3 * rng.uniform(0.2, 1.0) ** 0.5
        x = center[0] + 1.2 * distance * np.cos(turn)
        y = center[1] - 0.04 * side + 0.75 * distance * np.sin(turn)
        near = (np.hypot(x - o.center[0], y - o.center[1]) < 0.95 * (radius + o.radius) for o in organs)
        if any(near):
            continue
        half_depth = max(2.0, num_slices * rng.uniform(0.4, 1.0))
        z = rng.uniform(0, num_slices - 1)
        organs.append(_organ(rng, (x, y, z), radius, half_depth, rng.uniform(0, 190)))
        if len(organs) == 10:
            break
    for host in list(organs):
        if rng.random() < 0.35:
            x, y = (host.center[axis] + host.radius * rng.uniform(-0.45, 0.45) for axis in (0, 1))
            z = float(np.clip(host.center[2] + rng.normal(0, 0.2) * host.half_depth, 0, num_slices - 1))
            density = host.density + rng.choice([-1, 1]) * rng.uniform(25, 70)
            radius = host.radius * rng.uniform(0.15, 0.4)
            depth = max(1.5, 0.3 * host.half_depth * rng.uniform(0.4, 1))
            organs.append(_organ(rng, (x, y, z), radius, depth, density))
    long = 3.0 * num_slices + 3
    spine = (center[0], center[1] + 0.22 * side, num_slices / 2)
    organs.append(_organ(rng, spine, 0.07 * side, long, rng.uniform(250, 500), 0.03))
    aorta = (center[0] + 0.05 * side, center[1] + 0.115 * side, num_slices / 2)
    organs.append(_organ(rng, aorta, 0.03 * side, long, rng.uniform(120, 230), 0.01))
    return organs


def _body(rng: np.random.Generator, num_slices: int, height: int, width: int) -> NDArray[np.float64]:
    """Return for each slice the trunk's half width and half height, and the thickness of its fat."""
    depth = np.linspace(-0.5, 0.5, num_slices)
    side = min(height, width)
    half_width = side * (0.46 + 0.03 * rng.normal() * depth)
    half_height = side * (rng.uniform(0.34, 0.38) + 0.03 * rng.normal() * depth)
    fat = np.full(num_slices, side * rng.uniform(0.015, 0.05))
    return np.stack([half_width, half_height, fat], axis=1)


def _trunk(body: NDArray[np.float64], z: int, height: int, width: int) -> tuple[Field, Field]:
    """Return the pixels' distance outwards from the cavity, and the densities of a trunk without organs."""
    half_width, half_height, fat = body[z]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    # Distance to the skin, in pixels, of a rounded box.
    shape = (np.abs(x - width / 2) / half_width) ** 2.4 + (np.abs(y - 0.52 * height) / half_height) ** 2.4
    inwards = (1 - shape ** (1 / 2.4)) * half_height
    density = np.full((height, width), _AIR, np.float32)
    density[inwards > 0] = _FAT
    density[inwards > fat] = _MUSCLE
    cavity = 2.2 * fat + 2
    density[inwards > cavity] = _FAT + 10
    return (cavity - inwards).astype(np.float32), density
