"""Table of volumes and surfaces: one row for every object of a volume, in physical units."""

from collections.abc import Generator, Mapping

import numpy as np

from sam2_engine.errors import InputError
from sam2_plugins.measure.objects import Column, MeasurementTable
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.measure.surfaces import SolidMask, solid_of, surface_of
from sam2_plugins.runtime.csv_files import Value
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["measure_volumes", "no_volume", "time_of"]

_COLUMNS = {
    "frame": "",
    "time": "{time}",
    "object_id": "",
    "name": "",
    "class": "",
    "parents": "",
    "volume": "{length}³",
    "surface": "{length}²",
    "centroid_x": "{length}",
    "centroid_y": "{length}",
    "centroid_z": "{length}",
    "x0": "",
    "y0": "",
    "z0": "",
    "x1": "",
    "y1": "",
    "z1": "",
    "equivalent_diameter": "{length}",
    "sphericity": "",
    "missing_planes": "",
}


def no_volume(session: ReadableSession) -> str | None:
    """Say if the frames of a session are no planes of a volume."""
    if session.frames.axis == "Z":
        return None
    return (
        f"The frames of {session.frames.name} are times, and volumes are of planes; open it along Z, or "
        "measure areas."
    )


def time_of(session: ReadableSession) -> int:
    """Return the time point that the planes of a session are of, 0 where there is one alone."""
    plan = getattr(session.frames, "plan", None)
    fixed: Mapping[str, int] = {} if plan is None else plan.fixed
    return fixed.get("T", 0)


@LongWork
def measure_volumes(
    session: ReadableSession, scale: PhysicalScale | None = None
) -> Generator[int, None, MeasurementTable]:
    """Measure the objects of a volume, which of a time-lapse of volumes is that of one time.

    The volume is that of all voxels, the surface that of :func:`~sam2_plugins.measure.surfaces.surface_of`.

    Parameters
    ----------
    session
        Its frames are planes.
    scale
        Sizes of voxels; None for those of the frames.

    Yields
    ------
    int
        The number of each object, once it is measured.

    Returns
    -------
    MeasurementTable
        One row for each object; the volume of one that is seen nowhere is 0.

    Raises
    ------
    InputError
        If the frames are no planes.

    Examples
    --------
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((5, 40, 60), np.uint8), ModelStore("cpu"), axes="ZYX")
    >>> for frame in range(1, 4):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> table = measure_volumes(session, PhysicalScale((0.5, 0.5), "µm", plane_spacing=2))
    >>> table["volume"], table.units["volume"], table["z0"], table["z1"]
    ((3600.0,), 'µm³', (1,), (3,))
    """
    if reason := no_volume(session):
        raise InputError(reason)
    scale = scale or PhysicalScale.of(session.frames)
    rows: list[tuple[Value, ...]] = []
    for object_id in sorted(session.objects):
        if session.frames_of(object_id):
            rows.append(_row(session, object_id, scale))
            yield object_id
    columns = zip(*rows) if rows else [()] * len(_COLUMNS)
    return MeasurementTable(
        tuple(
            Column(name, unit.format(length=scale.unit, time=scale.time_unit), tuple(values))
            for (name, unit), values in zip(_COLUMNS.items(), columns)
        )
    )


def _row(session: ReadableSession, object_id: int, scale: PhysicalScale) -> tuple[Value, ...]:
    described, time = session.objects[object_id], time_of(session)
    solid = solid_of(session, object_id)
    said = (
        time,
        time * scale.frame_interval,
        object_id,
        described.name,
        described.label,
        " ".join(map(str, described.parents)) or None,
    )
    if solid is None:
        return (*said, 0.0, *[None] * (len(_COLUMNS) - len(said) - 1))
    return (*said, *_shape(solid, scale, described.name))


def _shape(solid: SolidMask, scale: PhysicalScale, name: str) -> list[Value]:
    """Return the values from ``volume`` on."""
    spacing = np.array([scale.plane_spacing, *scale.pixel_size])
    places = np.argwhere(solid.voxels)
    corner = np.array(solid.corner)
    volume = float(len(places) * spacing.prod())
    area = surface_of(solid, scale, name).area
    sphericity = float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area)
    z, y, x = ((places.mean(axis=0) + corner) * spacing).tolist()
    first, last = places.min(axis=0) + corner, places.max(axis=0) + corner
    return [
        volume,
        area,
        x,
        y,
        z,
        *first[::-1].tolist(),
        *last[::-1].tolist(),
        float((6 * volume / np.pi) ** (1 / 3)),
        sphericity if sphericity <= 1 else None,  # nothing has less surface than a sphere
        solid.missing,
    ]
