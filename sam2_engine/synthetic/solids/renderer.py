"""Renderer of meshes: every triangle's pixels at once, the nearest one kept, lit and textured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.solids.mesh import Mesh

__all__ = ["Light", "Surface", "draw_mesh"]

Image = NDArray[np.float32]

_DISTANCE = 4.0
"""From the camera to a body of half size 1: near enough to see that what is nearer is larger."""
_FINE = 70.0
"""Bodies of a smaller half size in pixels are drawn twice as large and averaged: thin parts stay."""


@dataclass(frozen=True)
class Light:
    """Where light comes from (3,), what every side gets, and how much a side gloss adds."""

    direction: NDArray[np.float64]
    ambient: float
    gloss: float


@dataclass(frozen=True)
class Surface:
    """Textures (P, S, S, 3) in 0..1, one a part; a mesh with more parts uses them in turn."""

    textures: Image


def draw_mesh(
    mesh: Mesh, surface: Surface, light: Light, center: tuple[float, float], half: float, size: int
) -> tuple[tuple[slice, slice], Image, Image] | None:
    """Draw a mesh of about half size 1 as seen by a camera that looks along -z.

    Parameters
    ----------
    mesh, surface, light
        What is seen, already turned.
    center, half
        ``(x, y)`` of its origin and its half size, in pixels of the frame.
    size
        Side of the frame.

    Returns
    -------
    window, color, coverage
        Rows and columns of the frame, (h, w, 3) and (h, w) in 0..1; None if it lies outside.
    """
    fine = 2 if half < _FINE else 1
    depth = _DISTANCE - mesh.vertices[:, 2]
    scale = half * _DISTANCE / depth
    x = center[0] + mesh.vertices[:, 0] * scale
    y = center[1] - mesh.vertices[:, 1] * scale
    left, top = max(int(np.floor(x.min())), 0), max(int(np.floor(y.min())), 0)
    right, bottom = min(int(np.ceil(x.max())) + 1, size), min(int(np.ceil(y.max())) + 1, size)
    if left >= right or top >= bottom:
        return None
    height, width = (bottom - top) * fine, (right - left) * fine
    corners = np.stack(((x - left) * fine, (y - top) * fine), -1)[mesh.faces]
    found = _nearest(corners, depth[mesh.faces], height, width)
    color: Image = np.zeros((height * width, 3), np.float32)
    coverage: Image = np.zeros(height * width, np.float32)
    if found is not None:
        pixel, face, weights = found
        color[pixel] = _shade(mesh, surface, light, face, weights)
        coverage[pixel] = 1.0
    coverage = _averaged(coverage.reshape(height, width, 1), fine)
    color = _averaged(color.reshape(height, width, 3), fine)
    color /= np.maximum(coverage, 1e-3)
    return (slice(top, bottom), slice(left, right)), color, coverage[..., 0]


def _averaged(image: Image, fine: int) -> Image:
    height, width, channels = image.shape
    result: Image = image.reshape(height // fine, fine, width // fine, fine, channels).mean((1, 3))
    return result


def _nearest(
    corners: NDArray[np.float64], depths: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]] | None:
    """Return the pixels that any triangle covers, the nearest triangle there, and its corners' weights.

    Every pixel of every triangle's bounding box is tested in one go; triangles that face away are left out.
    """
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, i].T for i in range(3))
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    left = np.clip(np.ceil(corners[..., 0].min(1) - 0.5), 0, width).astype(np.intp)
    right = np.clip(np.floor(corners[..., 0].max(1) - 0.5) + 1, 0, width).astype(np.intp)
    top = np.clip(np.ceil(corners[..., 1].min(1) - 0.5), 0, height).astype(np.intp)
    bottom = np.clip(np.floor(corners[..., 1].max(1) - 0.5) + 1, 0, height).astype(np.intp)
    columns, rows = np.maximum(right - left, 0), np.maximum(bottom - top, 0)
    count = np.where(area < -1e-9, columns * rows, 0)
    if not count.any():
        return None
    face = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    column, row = left[face] + place % columns[face], top[face] + place // columns[face]
    px, py = column + 0.5, row + 0.5
    w1 = ((px - x0[face]) * (y2 - y0)[face] - (x2 - x0)[face] * (py - y0[face])) / area[face]
    w2 = ((x1 - x0)[face] * (py - y0[face]) - (px - x0[face]) * (y1 - y0)[face]) / area[face]
    inside = (w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1)
    face, w1, w2 = face[inside], w1[inside], w2[inside]
    pixel = row[inside] * width + column[inside]
    weights = np.stack((1 - w1 - w2, w1, w2), -1)
    depth = (weights * depths[face]).sum(-1)
    nearest = np.full(height * width, np.inf)
    np.minimum.at(nearest, pixel, depth)
    seen = depth <= nearest[pixel]
    return pixel[seen], face[seen], weights[seen]


def _shade(
    mesh: Mesh,
    surface: Surface,
    light: Light,
    face: NDArray[np.intp],
    weights: NDArray[np.float64],
) -> Image:
    """Return the light (K, 3) of K pixels: texture, lit from one side, with a highlight."""
    corners = mesh.faces[face]
    normal = np.einsum("kc,kcd->kd", weights, mesh.normals[corners])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    uv = np.einsum("kc,kcd->kd", weights, mesh.uv[corners])
    side = surface.textures.shape[1]
    column, row = (np.clip(uv.T, 0, 1) * (side - 1)).astype(np.intp)
    texture = surface.textures[mesh.parts[face] % len(surface.textures), row, column]
    lit = np.clip(normal @ light.direction, 0, None)
    halfway = light.direction + np.array([0.0, 0.0, 1.0])
    shine = np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, None) ** 24
    bright = light.ambient + (1 - light.ambient) * lit
    result: Image = (texture * bright[:, None] + light.gloss * shine[:, None]).astype(np.float32)
    return result
