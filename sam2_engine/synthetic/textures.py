"""Random textures: smooth noise, stripes, and crops of scikit-image's bundled photographs."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.image_files import read_image

__all__ = ["noise", "photo_crop", "surface"]

Texture = NDArray[np.float32]

_PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg"),
    *("rocket.jpg", "text.png"),
)


@cache
def _photographs() -> list[NDArray[np.uint8]]:
    """Read the bundled photographs as RGB, without coins, on which nano is evaluated."""
    import skimage
    from skimage.transform import rescale

    photographs = []
    for name in _PHOTOGRAPHS:
        path = Path(skimage.__file__).parent / "data" / name
        if not path.exists():
            continue
        image = read_image(path)
        image = np.stack([image] * 3, -1) if image.ndim == 2 else image[..., :3]
        if min(image.shape[:2]) < 160:
            continue
        photographs.append(image)
        half = rescale(image, 0.5, channel_axis=-1, anti_aliasing=True, preserve_range=True)
        if min(half.shape[:2]) >= 160:
            photographs.append(half.astype(np.uint8))
    return photographs


def photo_crop(rng: np.random.Generator, side: int) -> Texture:
    """Crop ``(side, side, 3)`` in 0..1 out of a photograph, rotated, stretched and recolored."""
    photographs = _photographs()
    photograph = photographs[int(rng.integers(len(photographs)))]
    span = min(side, *photograph.shape[:2])
    span = int(span * rng.uniform(0.5, 1.0))
    top, left = (int(rng.integers(0, photograph.shape[axis] - span + 1)) for axis in (0, 1))
    index = np.arange(side) * span // side
    crop = photograph[top + index[:, None], left + index[None]].astype(np.float32) / 255.0
    crop = np.rot90(crop, int(rng.integers(4)))
    if rng.random() < 0.5:
        crop = crop[..., rng.permutation(3)]
    if rng.random() < 0.15:
        crop = 1.0 - crop
    return np.ascontiguousarray(crop)


def noise(rng: np.random.Generator, side: int, cells: int, octaves: int = 3) -> Texture:
    """Smooth noise ``(side, side)`` of mean 0 and deviation 1; ``cells`` waves across, then finer ones."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        count = min(cells * 2**octave, side)
        total += _upsample(rng.normal(size=(count + 2, count + 2)).astype(np.float32), side) * 0.55**octave
    result: Texture = (total - total.mean()) / (total.std() + 1e-6)
    return result


def _upsample(grid: Texture, side: int) -> Texture:
    """Interpolate a small grid linearly to ``(side, side)``, without its outer half cells."""
    position = (np.arange(side, dtype=np.float32) + 0.5) / side * (len(grid) - 2) + 0.5
    low = position.astype(np.intp)
    weight = position - low.astype(np.float32)
    weight = weight * weight * (3 - 2 * weight)
    rows: Texture = (grid[low] * (1 - weight[:, None]) + grid[low + 1] * weight[:, None]).astype(np.float32)
    result: Texture = (rows[:, low] * (1 - weight) + rows[:, low + 1] * weight).astype(np.float32)
    return result


def surface(rng: np.random.Generator, side: int) -> Texture:
    """Any surface ``(side, side, 3)`` in about 0..1: flat, noisy, striped, or photographed."""
    kind = rng.random()
    color = rng.uniform(0.0, 1.0, 3).astype(np.float32)
    if kind < 0.15:
        return np.broadcast_to(color, (side, side, 3)).copy()
    if kind < 0.55:
        return photo_crop(rng, side)
    waves = int(rng.choice([2, 4, 8, 16, 32]))
    pattern = noise(rng, side, waves) if kind < 0.85 else _stripes(rng, side)
    tint = rng.normal(0.0, 0.15, 3).astype(np.float32)
    result: Texture = np.clip(color + pattern[..., None] * tint, 0.0, 1.0).astype(np.float32)
    return result


def _stripes(rng: np.random.Generator, side: int) -> Texture:
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    angle, waves = rng.uniform(0, np.pi), rng.uniform(3, 25)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * waves * 2 * np.pi)
    if rng.random() < 0.4:
        wave = wave * np.sin((y * np.cos(angle) - x * np.sin(angle)) * waves * 2 * np.pi)
    result: Texture = (np.sign(wave) if rng.random() < 0.5 else wave).astype(np.float32)
    return result
