"""Moving sprites over a moving background, drawn back to front, with exact masks of what is visible."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

__all__ = ["Clip", "Motion", "Sprite", "compose"]

_MIN_WIDTH = 0.3


@dataclass(frozen=True)
class Clip:
    """A short clip with the masks of its objects.

    Attributes
    ----------
    frames
        (T, S, S, 3) float32 in 0..1.
    labels
        (T, S, S) int32; ids persist over the frames, 0 is background.
    """

    frames: NDArray[np.float32]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Motion:
    """Position, size and angle of something as a function of the frame.

    Attributes
    ----------
    start, velocity
        (x, y) pixels, pixels per frame.
    scale, growth
        Half the size in pixels, and its relative change per frame.
    angle, spin
        Radians, radians per frame.
    wobble, phase
        Strength of a bending of the outline (0..1) and its phase per frame.
    facing, turning
        Radians, and radians per frame, about the object's upright axis: seen from the side it is narrow,
        from behind mirrored.
    """

    start: tuple[float, float]
    scale: float
    angle: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)
    growth: float = 0.0
    spin: float = 0.0
    wobble: float = 0.0
    phase: float = 0.0
    facing: float = 0.0
    turning: float = 0.0

    def at(self, t: int) -> tuple[float, float, float, float]:
        """Return x, y, half size and angle at frame ``t``."""
        x, y = self.start[0] + self.velocity[0] * t, self.start[1] + self.velocity[1] * t
        return x, y, self.scale * (1.0 + self.growth) ** t, self.angle + self.spin * t

    def width(self, t: int) -> float:
        """Return the width at frame ``t`` as a part of the whole; negative where mirrored."""
        visible = float(np.cos(self.facing + self.turning * t))
        return float(np.copysign(max(abs(visible), _MIN_WIDTH), visible))


@dataclass(frozen=True)
class Sprite:
    """One object to draw.

    Attributes
    ----------
    pixels
        (P, P, 5): RGB, opacity of what is drawn (a halo counts), coverage of the object itself.
    motion
        Its path; ``scale`` is half the sprite's side in pixels.
    label
        Its id; 0 for something that only covers others.
    hidden
        Frames on which it is not there.
    """

    pixels: NDArray[np.float32]
    motion: Motion
    label: int
    hidden: frozenset[int] = field(default_factory=frozenset)


def compose(
    background: NDArray[np.float32], camera: Motion, sprites: list[Sprite], num_frames: int, size: int
) -> Clip:
    """Draw ``sprites`` in their order over ``background`` (side at least ``size``), all seen by ``camera``.

    The camera's motion is that of the frame's center; its scale is a zoom around 1.
    """
    frames = np.empty((num_frames, size, size, 3), np.float32)
    labels = np.zeros((num_frames, size, size), np.int32)
    for t in range(num_frames):
        frames[t] = _background(background, camera, t, size)
        for sprite in sprites:
            if t not in sprite.hidden:
                _draw(sprite, camera, t, frames[t], labels[t])
    return Clip(frames, labels)


def _background(texture: NDArray[np.float32], camera: Motion, t: int, size: int) -> NDArray[np.float32]:
    x, y, zoom, angle = camera.at(t)
    half = len(texture) / 2
    cos, sin = np.cos(angle) / zoom * size / 2 / half, np.sin(angle) / zoom * size / 2 / half
    theta = torch.tensor([[cos, sin, -x / half], [-sin, cos, -y / half]], dtype=torch.float32)[None]
    grid = F.affine_grid(theta, [1, 3, size, size], align_corners=False)
    image = torch.from_numpy(texture).permute(2, 0, 1)[None]
    sampled = F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)
    return sampled[0].permute(1, 2, 0).numpy()


def _draw(
    sprite: Sprite, camera: Motion, t: int, frame: NDArray[np.float32], labels: NDArray[np.int32]
) -> None:
    size = len(frame)
    dx, dy, zoom, turn = camera.at(t)
    x, y, half, angle = sprite.motion.at(t)
    x, y = x - size / 2, y - size / 2
    cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
    x, y = cos * x - sin * y + size / 2 + dx, sin * x + cos * y + size / 2 + dy
    half, angle = half * zoom, angle + turn
    reach = half * 1.42
    x0, x1 = max(int(x - reach), 0), min(int(x + reach) + 2, size)
    y0, y1 = max(int(y - reach), 0), min(int(y + reach) + 2, size)
    if x0 >= x1 or y0 >= y1:
        return
    ys, xs = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    u = ((xs - x) * np.cos(angle) + (ys - y) * np.sin(angle)) / half
    v = ((ys - y) * np.cos(angle) - (xs - x) * np.sin(angle)) / half
    u = u / sprite.motion.width(t)
    if sprite.motion.wobble:
        bend = sprite.motion.wobble * np.sin(2.5 * v + sprite.motion.phase * t + sprite.motion.angle)
        u, v = u + bend, v + 0.7 * sprite.motion.wobble * np.sin(2.5 * u - sprite.motion.phase * t)
    grid = torch.from_numpy(np.stack((u, v), -1).astype(np.float32))[None]
    image = torch.from_numpy(sprite.pixels).permute(2, 0, 1)[None]
    patch = F.grid_sample(image, grid, padding_mode="zeros", align_corners=False)[0].permute(1, 2, 0).numpy()
    opacity = patch[..., 3:4]
    window = frame[y0:y1, x0:x1]
    window += opacity * (patch[..., :3] - window)
    labels[y0:y1, x0:x1][patch[..., 4] > 0.5] = sprite.label
