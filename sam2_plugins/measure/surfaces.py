"""Surfaces of objects in volumes: marching cubes in physical units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from sam2_engine.limits import check_memory
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import ReadableSession

__all__ = ["SolidMask", "Surface", "solid_of", "surface_of"]

_SMOOTHING = 0.5
"""Standard deviation in the smallest sides of voxels, by which distances to the surface are smoothed. So the
areas of spheres and ellipsoids are right to 4 %, with planes up to five times as far apart as pixels (the
steps of voxels alone make them 8 % to 19 % too large); sharp edges are rounded, which takes 9 % of a box of
ten voxels a side."""

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
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    area: float


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

    Raises
    ------
    InputError
        If it does not fit the memory; ``name`` is what it is called then.

    Examples
    --------
    >>> z, y, x = np.mgrid[-12:13, -12:13, -12:13]
    >>> ball = SolidMask((0, 0, 0), z**2 + y**2 + x**2 <= 10**2, 0)
    >>> round(surface_of(ball, PhysicalScale()).area / (4 * np.pi * 10**2), 2)
    1.03
    """
    from skimage.measure import marching_cubes, mesh_surface_area  # slow to import, and seldom needed

    spacing = (scale.plane_spacing, *scale.pixel_size)
    shape = tuple(n + 2 * _MARGIN for n in solid.voxels.shape)
    check_memory(name, shape, _BYTES_PER_VOXEL * int(np.prod(shape, dtype=np.int64)))
    inside = np.pad(solid.voxels, _MARGIN)
    depth = distance_transform_edt(inside, sampling=spacing) - distance_transform_edt(
        ~inside, sampling=spacing
    )
    smooth: NDArray[Any] = gaussian_filter(depth, [_SMOOTHING * min(spacing) / side for side in spacing])
    level = smooth if smooth.max() > 0 else depth  # a single voxel would vanish
    vertices, faces, _, _ = marching_cubes(level, 0.0, spacing=spacing, gradient_direction="descent")
    corner = (np.array(solid.corner) - _MARGIN) * np.array(spacing)
    return Surface(
        vertices.astype(np.float64) + corner,
        faces.astype(np.int64),
        float(mesh_surface_area(vertices, faces)),
    )
