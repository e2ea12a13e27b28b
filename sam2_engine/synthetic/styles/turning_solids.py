"""Solid bodies that turn in three dimensions, walk and pass each other, over photographs and patterns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine.synthetic.compositor import compose
from sam2_engine.synthetic.motion import moving_camera
from sam2_engine.synthetic.procedural import procedural_surface
from sam2_engine.synthetic.scene import Drawing
from sam2_engine.synthetic.solids.bodies import BODIES, Body
from sam2_engine.synthetic.solids.renderer import Light, Surface, draw_mesh
from sam2_engine.synthetic.textures import photo_crop

__all__ = ["draw_turning_solids"]

_TEXTURE_SIDE = 96
_SMALLEST, _LARGEST = 0.06, 0.45


@dataclass(frozen=True)
class _Actor:
    """One body: its look, its path in pixels, and how it turns, walks and grows from frame to frame."""

    body: Body
    surface: Surface
    start: NDArray[np.float64]
    velocity: NDArray[np.float64]
    half: float
    growth: float
    heading: float
    turning: float
    lean: float
    phase: float
    pace: float

    def at(self, frame: int) -> tuple[NDArray[np.float64], float]:
        """Return its center and its half size."""
        return self.start + self.velocity * frame, self.half * (1 + self.growth) ** frame

    def orientation(self, frame: int, elevation: float) -> NDArray[np.float64]:
        """Return its (3, 3) rotation as the camera sees it, from ``elevation`` above."""
        upright = _rotation(1, self.heading + self.turning * frame)
        return _rotation(0, elevation) @ _rotation(2, self.lean) @ upright


def draw_turning_solids(rng: np.random.Generator, num_frames: int, height: int, width: int) -> Drawing:
    """Draw a video; what stands lower in the image is nearer and covers the others."""
    size = max(height, width)
    back = procedural_surface if rng.random() < 0.5 else photo_crop
    background = back(rng, int(size * 1.25))
    pace = rng.choice([0.3, 1.0, 2.0])
    camera = moving_camera(rng, pace)
    clip = compose(background, camera, [], num_frames, size)
    light = _light(rng)
    elevation = rng.uniform(-0.1, 0.8)
    actors = [_actor(rng, size, pace) for _ in range(int(rng.integers(1, 6)))]
    actors.sort(key=lambda actor: actor.start[1] + 0.5 * actor.half)
    floor = rng.uniform(0.0, 0.6) if rng.random() < 0.6 else 0.0
    for t in range(num_frames):
        for label, actor in enumerate(actors, start=1):
            _place(actor, t, elevation, light, floor, clip.frames[t], clip.labels[t], label)
    frames = _exposed(rng, clip.frames)
    top, left = (size - height) // 2, (size - width) // 2
    window = np.s_[:, top : top + height, left : left + width]
    return Drawing(frames[window], clip.labels[window].astype(np.uint16), axes="TYXS", counts=(0.0, 65535.0))


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[i, j, i, j], [i, j, j, i]] = np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)
    return matrix


def _light(rng: np.random.Generator) -> Light:
    direction = rng.normal(0, 1, 3) + np.array([0.0, 1.0, 0.8])
    gloss = rng.uniform(0, 0.5) if rng.random() < 0.4 else 0.0
    return Light(direction / np.linalg.norm(direction), rng.uniform(0.25, 0.75), gloss)


def _actor(rng: np.random.Generator, size: int, pace: float) -> _Actor:
    names, weights = list(BODIES), np.array([weight for _, weight in BODIES.values()])
    body = BODIES[str(rng.choice(names, p=weights / weights.sum()))][0](rng)
    textures = []
    for _ in range(int(rng.integers(1, 5))):
        draw = procedural_surface if rng.random() < 0.7 else photo_crop
        texture = draw(rng, _TEXTURE_SIDE)
        if rng.random() < 0.5:
            texture = texture.mean((0, 1)) + rng.uniform(0, 0.4) * (texture - texture.mean((0, 1)))
        textures.append(texture)
    half = size * np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST)))
    return _Actor(
        body,
        Surface(np.stack(textures)),
        rng.uniform(0.1, 0.9, 2) * size,
        rng.normal(0, 0.02 * size * pace, 2),
        half,
        rng.normal(0, 0.02 * pace),
        rng.uniform(0, 2 * np.pi),
        rng.normal(0, 0.25 * pace),
        rng.normal(0, 0.15) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi),
        rng.uniform(0, 2 * np.pi),
        rng.normal(0, 0.7 * pace),
    )


def _place(
    actor: _Actor,
    frame: int,
    elevation: float,
    light: Light,
    floor: float,
    image: NDArray[np.float32],
    labels: NDArray[np.int32],
    label: int,
) -> None:
    """Draw an actor into a frame, its soft shadow to the side first."""
    (x, y), half = actor.at(frame)
    mesh = actor.body(actor.phase + actor.pace * frame).moved(actor.orientation(frame, elevation))
    drawn = draw_mesh(mesh, actor.surface, light, (x, y), half, len(image))
    if drawn is None:
        return
    window, color, coverage = drawn
    if floor:
        shift = np.round(np.array([-light.direction[0], 0.6]) * 0.2 * half).astype(int)
        shade = gaussian_filter(np.pad(coverage, 8), 4.0)
        rows, columns = (
            np.arange(edge.start - 8 + offset, edge.stop + 8 + offset)
            for edge, offset in zip(window, shift[::-1], strict=True)
        )
        seen = np.ix_((rows >= 0) & (rows < len(image)), (columns >= 0) & (columns < len(image)))
        inside = np.ix_(rows[seen[0][:, 0]], columns[seen[1][0]])
        image[inside] *= 1 - floor * shade[seen][..., None]
    image[window] += coverage[..., None] * (color - image[window])
    labels[window][coverage > 0.5] = label


def _exposed(rng: np.random.Generator, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add a camera's blur and noise."""
    if rng.random() < 0.6:
        blur = rng.uniform(0.3, 1.4)
        frames = gaussian_filter(frames, (0, blur, blur, 0), truncate=3.0)
    grain = rng.standard_normal(frames.shape[:3], dtype=np.float32)[..., None]
    result: NDArray[np.float32] = np.clip(frames + rng.uniform(0, 0.04) * grain, 0, 1).astype(np.float32)
    return result
