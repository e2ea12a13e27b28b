"""Textured objects that move, deform, turn and occlude each other, with shadows, blur and distractors."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter1d

from sam2_engine.synthetic.compositor import Motion, Sprite, compose
from sam2_engine.synthetic.motion import keep_apart, moving_camera, random_walk
from sam2_engine.synthetic.painting import Field
from sam2_engine.synthetic.scene import Drawing
from sam2_engine.synthetic.styles.sprites import things

__all__ = ["draw_textured_objects"]


def draw_textured_objects(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw a video; half of the objects have a distractor that looks the same."""
    size = max(height, width)
    background, images, (smallest, largest) = things(rng, int(size * 1.25))
    pace = rng.choice([0.3, 1.0, 2.0])
    moving = num_frames > 1
    sprites = []
    for number in range(1, int(rng.integers(3, 9)) + 1):
        half = size * np.exp(rng.uniform(np.log(smallest), np.log(largest)))
        motion = random_walk(rng, size, half, pace, moving)
        if rng.random() < 0.3:
            motion = replace(motion, facing=rng.uniform(0, 2 * np.pi), turning=rng.normal(0, 0.2 * pace))
        image = images[int(rng.integers(len(images)))]
        sprites.append(Sprite(image, motion, number))
        if rng.random() < 0.5:
            distractor = random_walk(rng, size, half / rng.uniform(0.9, 1.1), pace, moving)
            sprites.append(Sprite(image, distractor, 100 + number))
    sprites = [
        replace(sprite, label=number) for number, sprite in enumerate(keep_apart(sprites, 0.4), start=1)
    ]
    layers = _with_shadows(rng, sprites)
    if rng.random() < 0.35:
        layers.append(_occluder(rng, images, size, num_frames))
    camera = moving_camera(rng, pace)
    clip = compose(background, camera, layers, num_frames, size)
    frames = _blurred(rng, np.clip(clip.frames, 0, 1), camera)
    top, left = (size - height) // 2, (size - width) // 2
    window = np.s_[:, top : top + height, left : left + width]
    return Drawing(frames[window], clip.labels[window].astype(np.uint16), axes="TYXS", counts=(0.0, 65535.0))


def _with_shadows(rng: np.random.Generator, sprites: list[Sprite]) -> list[Sprite]:
    """Put each sprite's shadow under it, all on the same side; a shadow covers light, but is no object."""
    strength, softness = rng.choice([0.0, rng.uniform(0.3, 0.7)]), rng.uniform(1.5, 5.0)
    if strength == 0.0:
        return list(sprites)
    direction, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.25)
    layers = []
    for sprite in sprites:
        pixels = np.zeros_like(sprite.pixels)
        pixels[..., 3] = strength * gaussian_filter(sprite.pixels[..., 4], softness)
        motion = sprite.motion
        x = motion.start[0] + distance * motion.scale * np.cos(direction)
        y = motion.start[1] + distance * motion.scale * np.sin(direction)
        layers += [Sprite(pixels, replace(motion, start=(float(x), float(y))), 0), sprite]
    return layers


def _occluder(rng: np.random.Generator, images: list[Field], size: int, num_frames: int) -> Sprite:
    """Draw something in front that crosses the frame and occludes what it passes; it has no label."""
    image = images[int(rng.integers(len(images)))]
    half = size * rng.uniform(0.12, 0.3)
    side = rng.choice([-1.0, 1.0])
    start = (size / 2 - side * size * 0.6, size * rng.uniform(0.2, 0.8))
    speed = side * size * 1.2 / max(num_frames - 1, 1)
    return Sprite(image, Motion(start, half * 1.3, rng.uniform(0, 2 * np.pi), (speed, 0.0)), 0)


def _blurred(rng: np.random.Generator, frames: NDArray[np.float32], camera: Motion) -> NDArray[np.float32]:
    """Add motion blur along the camera's path, drifting focus, and sensor noise."""
    if len(frames) > 1 and rng.random() < 0.5:
        for axis, speed in ((2, camera.velocity[0]), (1, camera.velocity[1])):
            length = round(min(abs(speed) * 0.5, 9))
            frames = uniform_filter1d(frames, length, axis=axis) if length > 1 else frames
    if rng.random() < 0.5:
        focus = np.abs(np.cumsum(rng.normal(0, 0.3, len(frames))) + rng.uniform(0, 1.0))
        frames = np.stack(
            [gaussian_filter(frame, (sigma, sigma, 0), truncate=3.0) for frame, sigma in zip(frames, focus)]
        )
    grain = rng.standard_normal(frames.shape[:3], dtype=np.float32)[..., None]
    result: NDArray[np.float32] = np.clip(frames + rng.uniform(0, 0.04) * grain, 0, 1).astype(np.float32)
    return result
