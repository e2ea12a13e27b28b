"""Camera of a microscope: point spread, bleaching, stage drift, uneven light, shot and read noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine.synthetic.painting import Field, field_noise

__all__ = ["Camera", "bright_field", "fluorescence"]


@dataclass(frozen=True)
class Camera:
    """A camera on a microscope.

    Attributes
    ----------
    background
        (H, W) light where there is no object.
    drift
        (T, 2) displacement of the specimen (x, y) in pixels.
    point_spread
        Standard deviation in pixels.
    bleaching
        Part of the objects' light that is lost from frame to frame.
    photons
        Photons per unit of light: the fewer, the more shot noise.
    read_noise
        Standard deviation, in units of light.
    """

    background: Field
    drift: NDArray[np.float64]
    point_spread: float
    bleaching: float
    photons: float
    read_noise: float

    def expose(self, rng: np.random.Generator, light: Field, frame: int) -> Field:
        """Return what the camera records of the objects' ``light`` (H, W) on a frame."""
        image = gaussian_filter(light, self.point_spread, truncate=3.0)
        image = image * np.float32((1.0 - self.bleaching) ** frame) + self.background
        spread = np.sqrt(np.clip(image, 0, None) / self.photons + self.read_noise**2)
        result: Field = image + spread * rng.standard_normal(image.shape, dtype=np.float32)
        return result


def fluorescence(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Camera:
    """Draw a fluorescence microscope: dark, with haze, few photons, bleaching in half of the cases."""
    haze = rng.uniform(0.0, 0.06) * field_noise(rng, height, width, 2)
    background = np.clip(rng.uniform(0.02, 0.12) + haze, 0, None).astype(np.float32)
    return Camera(
        background,
        _drift(rng, num_frames),
        point_spread=rng.uniform(0.6, 1.5),
        bleaching=rng.choice([0.0, rng.uniform(0.005, 0.04)]),
        photons=np.exp(rng.uniform(np.log(60), np.log(1500))),
        read_noise=rng.uniform(0.003, 0.015),
    )


def bright_field(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Camera:
    """Draw a transmitted-light microscope: gray background, brighter on one side, little noise."""
    level, slope = rng.uniform(0.3, 0.55), rng.normal(0, 0.05, 2)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    uneven = rng.uniform(0.0, 0.012) * field_noise(rng, height, width, 5)
    return Camera(
        (level + slope[0] * x + slope[1] * y + uneven).astype(np.float32),
        _drift(rng, num_frames),
        point_spread=rng.uniform(0.5, 1.0),
        bleaching=0.0,
        photons=np.exp(rng.uniform(np.log(1500), np.log(12000))),
        read_noise=rng.uniform(0.002, 0.008),
    )


def _drift(rng: np.random.Generator, num_frames: int) -> NDArray[np.float64]:
    """Draw a path of the stage: a slow slide and a jitter, nothing on the first frame."""
    slide, jitter = rng.normal(0, 0.4, 2), rng.choice([0.0, 0.3, 1.0])
    path = np.arange(num_frames)[:, None] * slide + rng.normal(0, jitter, (num_frames, 2))
    path[0] = 0.0
    return path
