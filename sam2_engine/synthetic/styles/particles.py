"""Diffusing spots (vesicles, single molecules, beads) that cross, blur, appear and vanish."""

from dataclasses import dataclass

import numpy as np

from sam2_engine.synthetic.camera import fluorescence
from sam2_engine.synthetic.painting import patch_around
from sam2_engine.synthetic.scene import Drawing

__all__ = ["draw_particles"]

_LABEL_SHARE = 0.35
"""A spot's label is where it has at least this share of its own peak."""


def draw_particles(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw spots whose light adds up; where two overlap, the label is that of the brighter one."""
    sigma = max(1.3, np.exp(rng.uniform(np.log(0.006), np.log(0.02))) * min(height, width))
    count = int(rng.integers(5, 40))
    spots = [_Particle.of(rng, num_frames, height, width, sigma) for _ in range(count)]
    camera = fluorescence(rng, num_frames, height, width)
    frames = np.empty((num_frames, height, width), np.float32)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        light, brightest = np.zeros((2, height, width), np.float32)
        for number, spot in enumerate(spots, start=1):
            if t:
                spot.step(rng)
            patch = patch_around(
                height, width, spot.x + camera.drift[t, 0], spot.y + camera.drift[t, 1], 4 * spot.sigma
            )
            if patch is None or not spot.first <= t <= spot.last:
                continue
            shape = np.exp(-(patch.dx**2 + patch.dy**2) / np.float32(2 * spot.sigma**2))
            glow = np.float32(spot.brightness) * shape
            light[patch.window] += glow
            on_top = (shape > _LABEL_SHARE) & (glow > brightest[patch.window])
            brightest[patch.window][on_top] = glow[on_top]
            labels[t][patch.window][on_top] = number
        frames[t] = camera.expose(rng, light, t)
    return Drawing(frames, labels)


@dataclass
class _Particle:
    """One spot: its position, its motion (diffusion and a transport), and the frames on which it is there."""

    x: float
    y: float
    sigma: float
    brightness: float
    diffusion: float
    transport: tuple[float, float]
    first: int
    last: int

    @classmethod
    def of(
        cls, rng: np.random.Generator, num_frames: int, height: int, width: int, sigma: float
    ) -> "_Particle":
        """Draw a spot; one in five comes or goes during the scene."""
        first = int(rng.integers(0, num_frames)) if rng.random() < 0.1 else 0
        last = int(rng.integers(first, num_frames)) if rng.random() < 0.1 else num_frames - 1
        transport = rng.normal(0, 0.8 * sigma, 2) if rng.random() < 0.3 else (0.0, 0.0)
        return cls(
            x=rng.uniform(0, width),
            y=rng.uniform(0, height),
            sigma=sigma * rng.uniform(0.75, 1.3),
            brightness=rng.uniform(0.2, 0.9),
            diffusion=sigma * rng.uniform(0.1, 1.0),
            transport=(float(transport[0]), float(transport[1])),
            first=first,
            last=last,
        )

    def step(self, rng: np.random.Generator) -> None:
        """Go on to the next frame."""
        dx, dy = rng.normal(0, self.diffusion, 2)
        self.x += dx + self.transport[0]
        self.y += dy + self.transport[1]
        self.sigma *= float(np.exp(rng.normal(0, 0.02)))
        self.brightness *= float(np.exp(rng.normal(0, 0.05)))
