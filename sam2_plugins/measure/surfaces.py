"""Surfaces of objects in volumes: marching cubes in physical units."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from sam2_engine.limits import check_memory
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import ReadableSession

__all__ = ["SolidMask", "Surface", "solid_of", "surface_of"]

_SMOOTHING = 0.6
"""Standard deviation in the smallest sides of voxels, by which distances to the surface are smoothed. So the
areas of spheres and ellipsoids are right to 3 %, with planes up to five times as far apart as pixels, and to
5 % where there are three planes in all (the steps of voxels alone make them 8 % to 19 % too large); sharp
edges are rounded, which takes 9 % of a box of ten voxels a side, and 13 % of rods and sheets."""

_NEAR = 0.004
"""Of the volume of its voxels, by which that of a surface may differ."""
_MOST_STEPS = 30

_MARGIN = 3
_BYTES_PER_VOXEL = 40
"""Of the distances, inside and outside, on which a surface is found."""


@dataclass(frozen=True)
class SolidMask:
    """The mask of an object in a volume, cropped.

    Attributes
    ----------
    corner
        Of the crop: first plane, row and column.
    voxels
        ``(Z, H, W) bool``, never empty.
    missing
        Planes between its first and its last one on which nothing is known of it; they are empty here.
    """

    corner: tuple[int, int, int]
    voxels: NDArray[np.bool_]
    missing: int


@dataclass(frozen=True)
class Surface:
    """A closed surface of triangles.

    Attributes
    ----------
    vertices
        ``(N, 3)`` z, y, x in physical units; the center of the first pixel of the first plane is 0, 0, 0.
    faces
        ``(M, 3)`` numbers of vertices, counterclockwise from outside in x, y, z.
    area
        Sum of the triangles' areas.
    volume
        What it encloses: as much as the voxels have.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    area: float
    volume: float


def solid_of(session: ReadableSession, object_id: int) -> SolidMask | None:
    """Return an object's masks on all planes as one; None if it is visible nowhere."""
    known = {frame: session.accepted(object_id, frame) for frame in session.frames_of(object_id)}
    masks = {frame: one.mask for frame, one in known.items() if one is not None and not one.mask.is_empty}
    if not masks:
        return None
    boxes = np.array(
        [
            [rows.start, rows.stop, columns.start, columns.stop]
            for rows, columns in (m.box for m in masks.values())
        ]
    )
    top, left = boxes[:, 0].min(), boxes[:, 2].min()
    first, last = min(masks), max(masks)
    voxels = np.zeros((last - first + 1, boxes[:, 1].max() - top, boxes[:, 3].max() - left), bool)
    for frame, mask in masks.items():
        rows, columns = mask.box
        place = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        voxels[(frame - first, *place)] = mask.crop()
    missing = sum(frame not in known for frame in range(first, last))
    return SolidMask((first, int(top), int(left)), voxels, missing)


def surface_of(solid: SolidMask, scale: PhysicalScale, name: str = "The object") -> Surface:
    """Return the surface of a mask by marching cubes, closed where it ends at the border of the stack.

    It encloses as much as the voxels have, of a thin object too.

    Raises
    ------
    InputError
        If it does not fit the memory; ``name`` is what it is called then.

    Examples
    --------
    >>> z, y, x = np.mgrid[-12:13, -12:13, -12:13]
    >>> ball = SolidMask((0, 0, 0), z**2 + y**2 + x**2 <= 10**2, 0)
    >>> round(surface_of(ball, PhysicalScale()).area / (4 * np.pi * 10**2), 2)
    1.01
    """
    spacing = (scale.plane_spacing, *scale.pixel_size)
    shape = tuple(n + 2 * _MARGIN for n in solid.voxels.shape)
    check_memory(name, shape, _BYTES_PER_VOXEL * int(np.prod(shape, dtype=np.int64)))
    inside = np.pad(solid.voxels, _MARGIN)
    depth = distance_transform_edt(inside, sampling=spacing) - distance_transform_edt(
        ~inside, sampling=spacing
    )
    smooth = gaussian_filter(depth, [_SMOOTHING * min(spacing) / side for side in spacing])
    volume = float(np.count_nonzero(solid.voxels) * np.prod(spacing))
    found = _enclosing(smooth, spacing, volume)
    corner = (np.array(solid.corner) - _MARGIN) * np.array(spacing)
    return replace(found, vertices=found.vertices + corner)


def _enclosing(depth: NDArray[Any], spacing: tuple[float, float, float], volume: float) -> Surface:
    """Return the surface of equal depth that encloses a volume.

    Smoothing alone takes a third of what is thin, and with planes far apart a tenth of everything. The volume
    grows by the area for each step outwards, so that Newton's method finds the depth at the second or third
    surface; it is kept between what encloses too much and too little.
    """
    least, most = float(depth.min()), float(depth.max())
    level = 0.0 if most > 0 else (least + most) / 2
    best = found = _surface_at(depth, spacing, level)
    for _ in range(_MOST_STEPS):
        missing = volume - found.volume
        if abs(missing) <= _NEAR * volume:
            break
        least, most = (least, level) if missing > 0 else (level, most)
        wanted = level - missing / found.area if found.area else most
        level = wanted if least < wanted < most else (least + most) / 2
        found = _surface_at(depth, spacing, level)
        best = min(found, best, key=lambda one: abs(volume - one.volume))
    return best


def _surface_at(depth: NDArray[Any], spacing: tuple[float, float, float], level: float) -> Surface:
    from skimage.measure import marching_cubes, mesh_surface_area  # slow to import, and seldom needed

    vertices, faces, _, _ = marching_cubes(depth, level, spacing=spacing, gradient_direction="descent")
    one, two, three = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    volume = abs(float(np.einsum("ij,ij->", one, np.cross(two, three)))) / 6
    area = float(mesh_surface_area(vertices, faces))
    return Surface(vertices.astype(np.float64), faces.astype(np.int64), area, volume)
