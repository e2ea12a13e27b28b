"""GEFF graph of tracks: a node for every visible object and frame, edges along tracks and lineage.

Written by the package of the format's authors, ``pip install "sam2-plugins[geff]"``. Source:
live-image-tracking-tools.github.io/geff, version 1.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from sam2_engine.errors import InputError
from sam2_engine.frames.spacing.units import udunits_name
from sam2_engine.frames.zarr_frames import is_zarr
from sam2_plugins.export.targets import ExportSummary, new_folder
from sam2_plugins.export.track_graph import track_edges
from sam2_plugins.measure import measure
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["geff_package", "write_geff"]

_PROPERTIES = ("object_id", "area", "centroid_y", "centroid_x")


@LongWork
def write_geff(
    session: ReadableSession, path: str | Path, scale: PhysicalScale | None = None, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write the tracks of a session, with divisions and fusions, without their masks.

    A node has its frame ``t`` (or plane ``z``), the centroid ``y``, ``x`` in physical units, ``object_id``
    and ``area``. An object that is missing in between has an edge across the gap.

    Yields
    ------
    int
        Each frame, once it is measured.

    Raises
    ------
    InputError
        If the package is missing, there is nothing to write, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     summary = write_geff(session, Path(folder) / "tracks.geff")
    """
    path = Path(path)
    geff = geff_package()
    scale = scale or PhysicalScale.of(session.frames)
    with new_folder(path, is_earlier_export=_is_geff, overwrite=overwrite) as folder:
        table = yield from measure.steps(session, scale, intensity=False)
        visible = [i for i, area in enumerate(table["area"]) if area]
        if not visible:
            raise InputError("No object of this session is visible, so there are no tracks to export.")
        rows = {name: np.array([table[name][i] for i in visible]) for name in ("frame", *_PROPERTIES)}
        along = "z" if session.frames.axis == "Z" else "t"
        properties = {
            along: rows["frame"] * (scale.plane_spacing if along == "z" else scale.frame_interval),
            "y": rows["centroid_y"],
            "x": rows["centroid_x"],
            "object_id": rows["object_id"].astype(np.uint64),
            "area": rows["area"],
        }
        folder.rmdir()  # the package takes any folder for an earlier graph
        geff.core_io.write_arrays(
            folder,
            np.arange(len(visible), dtype=np.uint64),
            {name: {"values": values, "missing": None} for name, values in properties.items()},
            track_edges(session, rows["frame"], rows["object_id"]),
            {},
            geff.GeffMetadata(
                directed=True,
                axes=_axes(along, scale),
                node_props_metadata={},
                edge_props_metadata={},
            ),
            zarr_format=3,
        )
    return ExportSummary(path, len(set(rows["frame"].tolist())), len(set(rows["object_id"].tolist())))


def geff_package() -> Any:
    """Return the module ``geff``; asked for at the start, it is not missed after the work.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import geff
        import geff.core_io
    except ImportError:
        raise InputError(
            'GEFF needs its own package; install it with `pip install "sam2-plugins[geff]"`.'
        ) from None
    return geff


def _is_geff(folder: Path) -> bool:
    return is_zarr(folder) and "geff" in zarr.open(folder, mode="r").attrs


def _axes(along: str, scale: PhysicalScale) -> list[dict[str, Any]]:
    time = along == "t"
    axes = {along: ("time", scale.time_unit) if time else ("space", scale.unit)}
    axes |= {"y": ("space", scale.unit), "x": ("space", scale.unit)}
    return [{"name": name, "type": kind, "unit": udunits_name(unit)} for name, (kind, unit) in axes.items()]
