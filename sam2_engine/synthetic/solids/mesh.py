"""Triangle meshes of simple bodies: superquadrics, lathe bodies, boxes, tubes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mesh", "box", "grid_body", "joined", "lathe", "superquadric", "tube"]

Points = NDArray[np.float64]
Vector = Points | Sequence[float]


@dataclass(frozen=True)
class Mesh:
    """Triangles in space; y points up, and counted around as seen from outside they turn left.

    Attributes
    ----------
    vertices, normals, uv
        (N, 3) positions, (N, 3) unit normals, (N, 2) where on its texture each lies, in 0..1.
    faces
        (F, 3) vertex numbers.
    parts
        (F,) number of the part that a triangle belongs to: parts differ in color.
    """

    vertices: Points
    normals: Points
    uv: Points
    faces: NDArray[np.intp]
    parts: NDArray[np.intp]

    def moved(self, matrix: Points, shift: Vector = (0.0, 0.0, 0.0)) -> "Mesh":
        """Return it turned or stretched by a (3, 3) matrix, then shifted."""
        normals = self.normals @ np.linalg.inv(matrix)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        return Mesh(self.vertices @ matrix.T + np.asarray(shift), normals, self.uv, self.faces, self.parts)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh of several, each a part of its own."""
    firsts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([mesh.faces + first for mesh, first in zip(meshes, firsts, strict=True)]),
        np.concatenate([np.full(len(mesh.faces), part) for part, mesh in enumerate(meshes)]),
    )


def grid_body(points: Points) -> Mesh:
    """Make a mesh of an (R, C, 3) grid of points, whose rows go up and columns go around, both smoothly."""
    rows, columns = points.shape[:2]
    along, around = np.gradient(points, axis=0), np.gradient(points, axis=1)
    normals = np.cross(around, along).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate((np.stack((a, b, c), -1).reshape(-1, 3), np.stack((a, c, d), -1).reshape(-1, 3)))
    uv = np.stack((u, v), -1).reshape(-1, 2)
    return Mesh(points.reshape(-1, 3), normals, uv, faces, np.zeros(len(faces), np.intp))


def _power(value: Points, exponent: float) -> Points:
    return np.sign(value) * np.abs(value) ** exponent


def superquadric(half: Vector, around: float = 1.0, upright: float = 1.0, segments: int = 24) -> Mesh:
    """Make an ellipsoid, or with smaller exponents than 1 a rounded box, with larger ones a spindle."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)[:, None]
    longitude = np.linspace(0, -2 * np.pi, segments + 1)[None]
    ring = _power(np.cos(latitude), upright)
    x = ring * _power(np.cos(longitude), around)
    z = ring * _power(np.sin(longitude), around)
    y = np.broadcast_to(_power(np.sin(latitude), upright), x.shape)
    return grid_body(np.stack((x, y, z), -1) * np.asarray(half))


def lathe(radii: Points, height: float, segments: int = 24) -> Mesh:
    """Turn a profile of radii, from the bottom up, about the upright axis; closed at both ends."""
    profile = np.concatenate(([1e-4], radii, [1e-4]))
    y = np.concatenate(([-1.0], np.linspace(-1, 1, len(radii)), [1.0])) * height / 2
    angle = np.linspace(0, -2 * np.pi, segments + 1)
    points = np.stack(
        (
            profile[:, None] * np.cos(angle),
            np.broadcast_to(y[:, None], (len(y), len(angle))),
            profile[:, None] * np.sin(angle),
        ),
        -1,
    )
    return grid_body(points)


def box(half: Vector, center: Vector = (0.0, 0.0, 0.0), cuts: int = 2) -> Mesh:
    """Make a box with sharp edges; each face is cut so often that its texture lies straight."""
    ticks = np.linspace(-1, 1, cuts + 1)
    v, u = np.meshgrid(ticks, ticks, indexing="ij")
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            points = np.empty((*u.shape, 3))
            points[..., axis] = sign
            points[..., (axis + 1) % 3] = u * sign
            points[..., (axis + 2) % 3] = v
            sides.append(grid_body(points * np.asarray(half) + np.asarray(center)))
    whole = joined(sides)
    return Mesh(whole.vertices, whole.normals, whole.uv, whole.faces, np.zeros(len(whole.faces), np.intp))


def tube(path: Points, radii: Points | float, segments: int = 8) -> Mesh:
    """Make a tube around an (N, 3) path, open at its ends or with radii (N,) that close them."""
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radii, float), (len(path),))
    direction = np.gradient(path, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-12
    aside = np.cross(direction, [0.31, 0.22, 0.92])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-12
    across = np.cross(direction, aside)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    ring = np.cos(angle)[None, :, None] * aside[:, None] + np.sin(angle)[None, :, None] * across[:, None]
    return grid_body(path[:, None] + radii[:, None, None] * ring)
