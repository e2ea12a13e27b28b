"""Meshes: a folder of binary STL files, one for every object of a volume."""

from collections.abc import Generator
from pathlib import Path

import numpy as np

from sam2_engine.frames.spacing.geometry import Geometry
from sam2_engine.wording import counted
from sam2_plugins.export.format import no_mask
from sam2_plugins.export.losses import not_held
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, as_file_name, new_folder
from sam2_plugins.export.volumes.label_volume import geometry_of
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.measure.surfaces import Surface, solid_of, surface_of
from sam2_plugins.measure.volumes import no_volume
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["no_solid", "write_meshes"]

_SUFFIX = ".stl"
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def no_solid(session: ReadableSession) -> str | None:
    """Say if there is no volume, or no mask in it."""
    return no_volume(session) or no_mask(session)


@LongWork
def write_meshes(
    session: ReadableSession, path: str | Path, scale: PhysicalScale | None = None, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write the surface of every object as a closed mesh, ``0001 object 1.stl`` and so on.

    Vertices are x, y, z in physical units; where the file says how it lies in the patient, they are there
    (LPS and in its unit, as 3D Slicer reads them), whole even where objects overlap.

    Yields
    ------
    int
        The number of each object, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, the frames are times, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((5, 40, 60), np.uint8), ModelStore("cpu"), axes="ZYX")
    >>> for frame in range(1, 4):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     summary = write_meshes(session, Path(folder) / "meshes")
    ...     [file.name for file in summary.path.iterdir()]
    ['0001 object 1.stl']
    """
    path, scale = Path(path), scale or PhysicalScale.of(session.frames)
    geometry, written, missing = geometry_of(session, scale), 0, 0
    with new_folder(path, is_earlier_export=_is_meshes, overwrite=overwrite) as folder:
        for object_id, one in sorted(session.objects.items()):
            solid = solid_of(session, object_id)
            if solid is None:
                continue
            surface = surface_of(solid, scale, one.name)
            target = folder / f"{object_id:04} {as_file_name(one.name)}{_SUFFIX}"
            _write(target, surface, scale, geometry, session.frames.volume_order)
            written += 1
            missing += solid.missing > 0
            yield object_id
        if not written:
            raise NothingToExportError
    changes = [*not_held(session, "STL", "classes", "parents")]
    if missing:
        changes.append(
            f"{missing} of {counted(written, 'object')} will look cut: on a plane between its first and its "
            "last, nothing is annotated."
        )
    return ExportSummary(path, len(session.frames), written, tuple(changes))


def _is_meshes(folder: Path) -> bool:
    return all(one.suffix == _SUFFIX for one in folder.iterdir())


def _write(path: Path, surface: Surface, scale: PhysicalScale, geometry: Geometry | None, order: str) -> None:
    """Write a surface in the coordinates of its file, whose x, y, z are the axes ``order`` of the frames."""
    columns = ["ZYX".index(letter) for letter in order]
    vertices, faces = surface.vertices[:, columns], surface.faces
    if geometry is None and np.linalg.det(np.eye(3)[columns]) > 0:  # a cut that is a mirror image of the file
        faces = faces[:, ::-1]
    said = f"sam2-plugins UNITS={'um' if scale.unit == 'µm' else scale.unit}"
    if geometry is not None:
        voxels = surface.vertices / np.array([scale.plane_spacing, *scale.pixel_size])
        affine = geometry.affine("ZYX")
        vertices = voxels @ affine[:3, :3].T + affine[:3, 3]
        if np.linalg.det(geometry.affine("XYZ")) < 0:  # a mirror turns triangles inside out
            faces = faces[:, ::-1]
        said = f"sam2-plugins SPACE=LPS UNITS={'um' if geometry.unit == 'µm' else geometry.unit}"
    triangles = np.zeros(len(faces), _TRIANGLE)
    triangles["corners"] = vertices[faces]
    one, two, three = triangles["corners"].astype(np.float64).transpose(1, 0, 2)
    normals = np.cross(two - one, three - one)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    header = said.encode("ascii", "replace").ljust(80, b" ")[:80]
    path.write_bytes(header + np.uint32(len(faces)).astype("<u4").tobytes() + triangles.tobytes())
