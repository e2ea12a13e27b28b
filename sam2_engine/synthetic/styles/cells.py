"""Time-lapse of fluorescent nuclei with exact labels: sample data for hosts, demos and tests."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine.errors import InputError
from sam2_engine.synthetic.population import scatter

__all__ = ["moving_cells"]

_CAMERA_OFFSET = 400.0
_PHOTONS_PER_COUNT = 0.25


def moving_cells(
    num_frames: int = 20, size: int | tuple[int, int] = 256, seed: int = 0, num_cells: int = 12
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Render nuclei that drift, turn and breathe, as a 16-bit camera would see them.

    Parameters
    ----------
    num_frames
        Number of frames, at least 1.
    size
        Side in pixels, or (height, width); at least 32.
    seed
        The same seed gives the same pixels.
    num_cells
        Nuclei in the field; fewer if they would not fit without touching at the start.

    Returns
    -------
    frames : (T, H, W) uint16
        Camera counts: offset, uneven background, nuclei under a point spread, shot and read noise.
    labels : (T, H, W) uint16
        Ids 1..N that persist over the frames, 0 is background; a nucleus may leave the field.

    Raises
    ------
    InputError
        If there is no frame to render or the field is too small.

    Examples
    --------
    >>> frames, labels = moving_cells(num_frames=2, size=64, seed=0, num_cells=3)
    >>> frames.shape, frames.dtype, int(labels.max())
    ((2, 64, 64), dtype('uint16'), 3)
    """
    height, width = (size, size) if isinstance(size, int) else size
    if num_frames < 1 or min(height, width) < 32 or num_cells < 1:
        raise InputError(
            f"moving_cells needs at least 1 frame, 1 cell and 32 pixels a side, not {num_frames} frames, "
            f"{num_cells} cells and {height} x {width} pixels."
        )
    rng = np.random.default_rng(seed)
    radius = 0.065 * min(height, width)
    centers = scatter(rng, num_cells, height, width, 2.4 * radius, margin=1.2 * radius)
    cells = [_Nucleus(rng, center, radius) for center in centers]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    glow = 120.0 * np.exp(-(((x / width - 0.45) ** 2 + (y / height - 0.55) ** 2) / 0.5))
    frames = np.empty((num_frames, height, width), np.uint16)
    labels = np.zeros((num_frames, height, width), np.uint16)
    for t in range(num_frames):
        light = np.zeros((height, width), np.float32)
        for label, cell in enumerate(cells, start=1):
            around = cell.window(t, height, width)
            inside, brightness = cell.render(x[around], y[around], t)
            light[around] = np.where(inside, np.maximum(light[around], brightness), light[around])
            labels[t][around][inside & (labels[t][around] == 0)] = label
        photons = np.clip(gaussian_filter(light, 1.1) + glow, 0.0, None) * _PHOTONS_PER_COUNT
        counts = rng.poisson(photons) / _PHOTONS_PER_COUNT + rng.normal(_CAMERA_OFFSET, 12.0, (height, width))
        frames[t] = np.clip(counts, 0, 65535).astype(np.uint16)
    return frames, labels


class _Nucleus:
    """One nucleus: a wobbling ellipse with chromatin spots, on a smooth path."""

    def __init__(self, rng: np.random.Generator, center: NDArray[np.float64], radius: float) -> None:
        self.center = center
        self.radius = radius * rng.uniform(0.75, 1.15)
        self.elongation = rng.uniform(1.0, 1.5)
        self.angle, self.spin = rng.uniform(0, 2 * np.pi), rng.normal(0.0, 0.03)
        self.heading, self.turn = rng.uniform(0, 2 * np.pi), rng.normal(0.0, 0.12)
        self.speed = radius * rng.uniform(0.05, 0.16)
        self.wobble = rng.uniform(0.0, 0.08, 3)
        self.phase, self.rate = rng.uniform(0, 2 * np.pi, 3), rng.normal(0.0, 0.15, 3)
        self.brightness = rng.uniform(900.0, 2600.0)
        self.spots = rng.normal(0.0, 0.45, (5, 2))

    def position(self, t: int) -> NDArray[np.float64]:
        """Return the center (x, y) in frame ``t``."""
        headings = self.heading + self.turn * np.arange(t)
        return self.center + self.speed * np.array([np.cos(headings).sum(), np.sin(headings).sum()])

    def window(self, t: int, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the field beyond which no nucleus lies in frame ``t``."""
        reach = self.radius * self.elongation * (1.0 + self.wobble.sum()) + 1.0
        x, y = self.position(t)
        rows, columns = (
            slice(max(0, int(at - reach)), max(0, min(side, int(at + reach) + 2)))
            for at, side in ((y, height), (x, width))
        )
        return rows, columns

    def render(
        self, x: NDArray[np.float32], y: NDArray[np.float32], t: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return where the nucleus lies among some pixels of frame ``t``, and how bright it is there."""
        center_x, center_y = self.position(t)
        dx, dy = x - center_x, y - center_y
        angle = self.angle + self.spin * t
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / self.elongation
        v = -dx * np.sin(angle) + dy * np.cos(angle)
        direction = np.arctan2(v, u)
        outline = np.full_like(direction, self.radius)
        for order, (size, phase, rate) in enumerate(zip(self.wobble, self.phase, self.rate), start=2):
            outline += self.radius * size * np.cos(order * direction + phase + rate * t)
        distance = np.hypot(u, v) / outline
        texture = 0.75 - 0.25 * distance**2
        for spot_u, spot_v in self.spots * self.radius:
            texture += 0.35 * np.exp(-((u - spot_u) ** 2 + (v - spot_v) ** 2) / (0.2 * self.radius) ** 2)
        return distance < 1.0, (self.brightness * texture).astype(np.float32)
