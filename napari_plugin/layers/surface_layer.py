"""Surface layer of a volume's objects: their meshes where the image lies, each in its color."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Surface
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.measure.surfaces import solid_of, surface_of
from sam2_plugins.session.readable import ReadableSession

__all__ = ["Meshes", "meshes_of", "show_meshes"]


@dataclass(frozen=True)
class Meshes:
    """Meshes of all objects of a volume in one.

    Attributes
    ----------
    vertices, faces
        ``(N, D)`` in the layer's data coordinates, and ``(M, 3)`` numbers of vertices.
    colors
        ``(N, 3)``, 0 to 1.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    colors: NDArray[np.float64]


def meshes_of(
    session: ReadableSession, stack: ImageStack, scale: PhysicalScale
) -> Generator[int, None, Meshes]:
    """Find the surface of every object, yielding its number; return those of all."""
    letters = [letter for letter in stack.dims if letter != "C"]
    spacing = np.array([scale.plane_spacing, *scale.pixel_size])
    vertices, faces, colors = [np.zeros((0, len(letters)))], [np.zeros((0, 3), np.int64)], [np.zeros((0, 3))]
    count = 0
    for object_id, one in sorted(session.objects.items()):
        solid = solid_of(session, object_id)
        if solid is None:
            continue
        surface = surface_of(solid, scale, one.name)
        places = dict(zip("ZYX", (surface.vertices / spacing).T))
        fixed = {letter: np.full(len(surface.vertices), place) for letter, place in stack.fixed.items()}
        at = {**places, **fixed}
        vertices.append(np.stack([at[letter] for letter in letters], axis=1))
        faces.append(surface.faces + count)
        colors.append(np.tile(np.array(one.color) / 255, (len(surface.vertices), 1)))
        count += len(surface.vertices)
        yield object_id
    return Meshes(np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors))


def show_meshes(viewer: Viewer, stack: ImageStack, meshes: Meshes) -> Surface:
    """Show meshes in three dimensions, in place of those that were shown of this image before."""
    name = f"surfaces of {stack.name}"
    for layer in [one for one in viewer.layers if isinstance(one, Surface) and one.name == name]:
        viewer.layers.remove(layer)
    axes = [number for number, letter in enumerate(stack.dims) if letter != "C"]
    placed: dict[str, Any] = {
        key: np.asarray(getattr(stack.layer, key))[axes] for key in ("scale", "translate")
    }
    placed["units"] = tuple(stack.layer.units[number] for number in axes)
    layer = viewer.add_surface(
        (meshes.vertices, meshes.faces), vertex_colors=meshes.colors, name=name, shading="smooth", **placed
    )
    viewer.dims.ndisplay = 3
    return layer
