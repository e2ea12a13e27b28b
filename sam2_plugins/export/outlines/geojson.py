"""GeoJSON as QuPath reads it: an annotation for every object and frame, with its plane and its class.

Coordinates are pixels, 0, 0 the outer corner of the first one. Source: RFC 7946; qupath.readthedocs.io,
"Exporting annotations".
"""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sam2_engine.frames import FrameSource
from sam2_plugins.export.coco import NO_CLASS
from sam2_plugins.export.outlines.polygons import Polygon, polygons_of
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, source_of
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.annotations import AnnotatedObject, object_color
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["write_geojson"]


@LongWork
def write_geojson(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write every mask as a polygon along the edges of its pixels, whole even where others overlap it.

    Holes are interior rings, several parts a MultiPolygon. The object's id and parents are metadata, its
    class the classification (without one, there is none).

    Yields
    ------
    int
        Each annotated frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     summary = write_geojson(session, Path(folder) / "cells.geojson")
    ...     content = json.loads(summary.path.read_text())
    >>> content["features"][1]["geometry"]["plane"], content["features"][1]["geometry"]["coordinates"]
    ({'c': -1, 'z': 0, 't': 1}, [[[0, 0], [60, 0], [60, 40], [0, 40], [0, 0]]])
    """
    path, written = Path(path), 0
    frames = known_by_frame(session)
    classes = sorted({one.label or NO_CLASS for one in session.objects.values()})
    colors = {name: object_color(number) for number, name in enumerate(classes, start=1)}
    suffixes = (".geojson", ".json")
    with (
        new_file(path, suffixes=suffixes, inputs=source_of(session), overwrite=overwrite) as aside,
        aside.open("w", encoding="utf-8") as file,
    ):
        file.write('{"type": "FeatureCollection", "features": [')
        for frame, object_ids in frames.items():
            for object_id in object_ids:
                accepted = session.accepted(object_id, frame)
                if accepted is None or accepted.mask.is_empty:
                    continue
                described = session.objects[object_id]
                feature = {
                    "type": "Feature",
                    "id": str(uuid5(NAMESPACE_URL, f"{session.frames.name}/{object_id}/{frame}")),
                    "geometry": _geometry(polygons_of(accepted.mask), _plane(session.frames, frame)),
                    "properties": _properties(described, colors),
                }
                file.write(",\n" if written else "\n")
                json.dump(feature, file)
                written += 1
            yield frame
        if not written:
            raise NothingToExportError
        file.write("\n]}\n")
    return ExportSummary(path, len(frames), len(session.objects))


def _plane(frames: FrameSource, frame: int) -> dict[str, int]:
    """Return where a frame is in its file: also on the axis along which there is one place of it alone."""
    _, options = frames.opened_as or (None, {})
    fixed = options.get("fixed") or {}
    plane = {"c": -1, "z": int(fixed.get("Z", 0)), "t": int(fixed.get("T", 0))}
    return plane | {"z" if frames.axis == "Z" else "t": frame}


def _geometry(polygons: list[Polygon], plane: dict[str, int]) -> dict[str, Any]:
    parts = [[[*ring.tolist(), ring[0].tolist()] for ring in (one.exterior, *one.holes)] for one in polygons]
    single = len(parts) == 1
    return {
        "type": "Polygon" if single else "MultiPolygon",
        "coordinates": parts[0] if single else parts,
        "plane": plane,
    }


def _properties(described: AnnotatedObject, colors: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "objectType": "annotation",
        "name": described.name,
        "color": list(described.color),
        "metadata": {
            "object_id": str(described.id),
            **({"parents": " ".join(map(str, described.parents))} if described.parents else {}),
        },
    }
    if described.label:
        said["classification"] = {"name": described.label, "color": list(colors[described.label])}
    return said
