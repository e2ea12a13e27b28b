"""OME-Zarr (NGFF) label images, with names, classes and parents in their metadata.

Source: ngff.openmicroscopy.org, version 0.5 (Zarr 3) and 0.4 (Zarr 2), "multiscales" and "image-label".
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import zarr
from numpy.typing import NDArray

from sam2_engine.frames.spacing.units import udunits_name
from sam2_engine.frames.zarr_frames import is_zarr
from sam2_plugins.export.targets import ExportSummary, LabelImages, new_folder, source_of
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import check_is_no_input
from sam2_plugins.session.life import Life
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["write_ome_zarr_labels"]

_CHUNK = 1024


@LongWork
def write_ome_zarr_labels(
    session: ReadableSession,
    path: str | Path,
    scale: PhysicalScale | None = None,
    *,
    version: Literal["0.4", "0.5"] = "0.5",
    overwrite: bool = False,
) -> Generator[int, None, ExportSummary]:
    """Write the label images of a session as one OME-Zarr label image with a pyramid.

    Parameters
    ----------
    session, path, scale
        What to write, the folder to be, and physical sizes; None for those of the file.
    version
        Of the format; 0.4 for programs that cannot read Zarr 3 yet.
    overwrite
        Whether an earlier export may be replaced.

    Yields
    ------
    int
        Each frame, once it is written.

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
    ...     path = Path(folder) / "labels.zarr"
    ...     summary = write_ome_zarr_labels(session, path, PhysicalScale((0.5, 0.5), "µm"))
    ...     group = zarr.open_group(path, mode="r")
    ...     group["0"].shape, [axis["name"] for axis in group.attrs["ome"]["multiscales"][0]["axes"]]
    ((2, 40, 60), ['t', 'y', 'x'])
    """
    path, scale = Path(path), scale or PhysicalScale.of(session.frames)
    labels = LabelImages(session)
    check_is_no_input(path, source_of(session))
    with new_folder(path, is_earlier_export=_is_label_image, overwrite=overwrite) as folder:
        levels = _create(folder, labels, 2 if version == "0.4" else 3)
        for frame in range(labels.length):
            _write_frame(levels, frame, labels[frame])
            yield frame
        metadata = {
            "multiscales": [_multiscale(path.stem, labels, len(levels), scale, version)],
            "image-label": _objects(session, version),
        }
        group = zarr.open_group(folder, mode="r+")
        group.attrs.update(metadata if version == "0.4" else {"ome": {"version": version, **metadata}})
    return ExportSummary(path, labels.length, labels.num_objects, labels.changes)


def _is_label_image(folder: Path) -> bool:
    if not is_zarr(folder):
        return False
    attributes = dict(zarr.open(folder, mode="r").attrs)
    return "image-label" in attributes.get("ome", attributes)


def _create(folder: Path, labels: LabelImages, zarr_format: Literal[2, 3]) -> list[Any]:
    """Create the levels of the pyramid, each half the size of the one before, down to one chunk."""
    group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    height, width = labels.shape
    levels: list[Any] = []
    while not levels or max(height, width) > _CHUNK:
        if levels:
            height, width = -(-height // 2), -(-width // 2)
        names = {} if zarr_format == 2 else {"dimension_names": [labels.axis.lower(), "y", "x"]}
        levels.append(
            group.create_array(
                str(len(levels)),
                shape=(labels.length, height, width),
                chunks=(1, min(height, _CHUNK), min(width, _CHUNK)),
                dtype=labels.dtype,
                chunk_key_encoding={"name": "default" if zarr_format == 3 else "v2", "separator": "/"},
                **names,
            )
        )
    return levels


def _write_frame(levels: list[Any], frame: int, labels: NDArray[Any]) -> None:
    for array in levels:
        array[frame] = labels
        labels = labels[::2, ::2]  # a mean of ids would be another object's


def _multiscale(
    name: str, labels: LabelImages, num_levels: int, scale: PhysicalScale, version: str
) -> dict[str, Any]:
    along = labels.axis.lower()
    time = along == "t"
    axes = [
        _axis(along, "time" if time else "space", scale.time_unit if time else scale.unit),
        _axis("y", "space", scale.unit),
        _axis("x", "space", scale.unit),
    ]
    first = scale.frame_interval if time else scale.plane_spacing
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [first, *(size * 2**level for size in scale.pixel_size)]}
            ],
        }
        for level in range(num_levels)
    ]
    described = {"name": name, "axes": axes, "datasets": datasets, "type": "nearest"}
    return {"version": version, **described} if version == "0.4" else described


def _axis(name: str, kind: str, unit: str) -> dict[str, str]:
    axis = {"name": name, "type": kind}
    official = udunits_name(unit)
    return axis | ({"unit": official} if official else {})


def _objects(session: ReadableSession, version: str) -> dict[str, Any]:
    """Return colors, names, classes, parents and lives of the objects."""
    objects = session.objects.values()
    return {
        "version": version,
        "colors": [{"label-value": one.id, "rgba": [*one.color, 255]} for one in objects],
        "properties": [
            {
                "label-value": one.id,
                "name": one.name,
                **({"class": one.label} if one.label else {}),
                **({"parents": list(one.parents)} if one.parents else {}),
                **({"life": one.life.to_json()} if one.life != Life() else {}),
            }
            for one in objects
        ],
    }
