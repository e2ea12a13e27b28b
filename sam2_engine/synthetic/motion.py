"""Motion of sprites and of the camera."""

from dataclasses import replace

import numpy as np

from sam2_engine.synthetic.compositor import Motion, Sprite

__all__ = ["keep_apart", "moving_camera", "random_walk"]


def random_walk(rng: np.random.Generator, size: int, half: float, pace: float, moving: bool) -> Motion:
    """Draw the motion of a sprite of half size ``half`` pixels; ``pace`` scales all its speeds."""
    x, y = rng.uniform(0.02, 0.98, 2) * size
    motion = Motion((x, y), half * 1.3, rng.uniform(0, 2 * np.pi), wobble=max(0.0, rng.normal(0, 0.05)))
    if not moving:
        return motion
    vx, vy = rng.normal(0, 0.015 * size * pace, 2)
    return replace(
        motion,
        velocity=(vx, vy),
        growth=rng.normal(0, 0.02 * pace),
        spin=rng.normal(0, 0.06 * pace),
        phase=rng.normal(0, 0.6 * pace),
    )


def moving_camera(rng: np.random.Generator, pace: float) -> Motion:
    """Draw a camera that pans, zooms and rolls."""
    vx, vy = rng.normal(0, 3.0 * pace, 2)
    return Motion((0.0, 0.0), 1.0, 0.0, (vx, vy), rng.normal(0, 0.01 * pace), rng.normal(0, 0.015 * pace))


def keep_apart(sprites: list[Sprite], share: float) -> list[Sprite]:
    """Leave out sprites that lie too much on top of an earlier one (``share`` of the sum of their sizes)."""
    placed: list[Sprite] = []
    for sprite in sprites:
        x, y, half, _ = sprite.motion.at(0)
        others = (other.motion.at(0) for other in placed)
        if all(np.hypot(x - ox, y - oy) > share * (half + oh) for ox, oy, oh, _ in others):
            placed.append(sprite)
    return placed
