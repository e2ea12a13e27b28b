"""NIfTI label volumes in the geometry of their source, by nibabel; written frame by frame."""

import gzip
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.frames.libraries import nibabel_for
from sam2_engine.frames.spacing.units import TIME_UNITS, factor
from sam2_plugins.export.losses import not_held
from sam2_plugins.export.targets import ExportSummary, source_of
from sam2_plugins.export.volumes.label_volume import LabelVolume
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["gzipped", "write_nifti"]

_UNITS = {"mm": "mm", "µm": "micron", "m": "meter"}
_LABELS = 1002
"""Intent code of label volumes."""

_MOST = np.iinfo(np.int16).max
"""Length of an axis in version 1 of the format."""


@LongWork
def write_nifti(
    session: ReadableSession, path: str | Path, scale: PhysicalScale | None = None, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write the label images of a session as one volume, (X, Y, Z) or (X, Y, 1, T).

    Axes and affine are those of the session's file, whichever axis was tracked along, so that every voxel
    lies on that of the image. Where nothing says how it lies, the codes of its orientation are 0.

    Yields
    ------
    int
        Each frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, nibabel is not installed, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="ZYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.nii.gz"
    ...     summary = write_nifti(session, path, PhysicalScale((0.5, 0.5), "mm", plane_spacing=3))
    ...     nibabel_for("").load(path).header.get_zooms()
    (np.float32(0.5), np.float32(0.5), np.float32(3.0))
    """
    path, scale = Path(path), scale or PhysicalScale.of(session.frames)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"{path} must end in .nii.gz or .nii.")
    nibabel = nibabel_for(path.name)
    volume = LabelVolume(session, scale)
    suffixes = (".nii", ".gz")
    with (
        new_file(path, suffixes=suffixes, inputs=source_of(session), overwrite=overwrite) as aside,
        gzipped(aside, path.suffix.lower() == ".gz") as file,
    ):
        _header(nibabel, volume, scale).write_to(file)
        for frame, block in volume.blocks():
            file.write(block)
            yield frame
    changes = (*volume.changes, *not_held(session, "NIfTI", "names", "classes", "parents"))
    return ExportSummary(path, volume.num_frames, volume.num_objects, changes)


@contextmanager
def gzipped(path: Path, wanted: bool, mode: Literal["wb", "ab"] = "wb") -> Iterator[BinaryIO]:
    """Open a file to write, compressed if wanted, with the same bytes at every time."""
    with path.open(mode) as raw:
        if not wanted:
            yield raw
            return
        with gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) as packed:
            yield packed  # type: ignore[misc]  # it writes, as a binary file does


def _header(nibabel: Any, volume: LabelVolume, scale: PhysicalScale) -> Any:
    large = max(volume.shape) > _MOST
    header = nibabel.Nifti2Header() if large else nibabel.Nifti1Header()
    header.set_data_shape(volume.shape)
    header.set_data_dtype(volume.dtype)
    header["vox_offset"] = 544 if large else 352
    header["intent_code"] = _LABELS
    timed = volume.has_time and scale.time_unit in TIME_UNITS
    interval = scale.frame_interval * (factor(scale.time_unit, "s") if timed else 1)
    header.set_zooms((*volume.sizes.values(), *([interval] if volume.has_time else [])))
    header.set_xyzt_units(_UNITS.get(volume.unit or "", "unknown"), "sec" if timed else "unknown")
    if volume.geometry is not None:
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.geometry.affine(volume.order)  # from LPS to RAS
        header.set_qform(affine, 1, strip_shears=True)
        header.set_sform(affine, 1)
    return header
