"""Frames of volumes by nibabel: NIfTI, Analyze, MGH, MINC, AFNI, PAR/REC; slices read one at a time."""

import gzip
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import PlannedFrames
from sam2_engine.frames.axes import AxisPlan, plan_axes
from sam2_engine.frames.libraries import nibabel_for, quiet
from sam2_engine.frames.source import FrameSource, check_pixels, explain
from sam2_engine.frames.spacing import Spacing, as_read
from sam2_engine.frames.spacing.volumes import volume_geometry, volume_spacing

__all__ = ["is_volume", "open_volume"]

_AXES = "XYZTCUV"  # C: NIfTI's fifth axis holds vectors
_PACKED = (".gz", ".bz2", ".zst")
_GZIP = b"\x1f\x8b"
_SUFFIXES = (".nii", ".hdr", ".mgh", ".mgz", ".mnc", ".head", ".brik", ".par")
_HALVES = {".img": ".hdr", ".rec": ".par"}  # pixels, of which another file tells the shape
_SURFACES = {".gii": "a surface (GIfTI)", ".trk": "tracts (TrackVis)", ".tck": "tracts (MRtrix)"}
_UNREAD = {".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage", ".mhd": "MetaImage"}
_MAGIC = {1: (b"n+1\0", b"ni1\0"), 2: (b"n+2\0", b"ni2\0")}
_MINC_AXES = {"xspace": "X", "yspace": "Y", "zspace": "Z", "time": "T", "vector_dimension": "S"}
_COLORS = ("R", "G", "B")


def is_volume(path: Path) -> bool:
    """Whether a file is named as a volume, or starts as a NIfTI volume does."""
    suffix = _suffix(path)
    if suffix in _HALVES:
        return _other_half(path, _HALVES[suffix]) is not None
    if suffix in _SUFFIXES or suffix in _SURFACES or suffix in _UNREAD:
        return True
    with path.open("rb") as file:
        start = file.read(352)
    return start[:4] == b"NRRD" or _nifti_version(start) is not None


def _unpacked(name: str) -> str:
    """Return the name of what is in a packed file."""
    return name[: -len(Path(name).suffix)] if name.lower().endswith(_PACKED) else name


def _suffix(path: Path) -> str:
    """Return the suffix of a file, of packed files that of what is in them."""
    return Path(_unpacked(path.name)).suffix.lower()


def _other_half(path: Path, suffix: str) -> Path | None:
    """Return the file beside that belongs to this one, packed or not."""
    stem = Path(_unpacked(path.name)).stem
    ends = [end + packed for end in (suffix, suffix.upper()) for packed in ("", *_PACKED)]
    return next((one for end in ends if (one := path.with_name(stem + end)).exists()), None)


def _nifti_version(start: bytes) -> int | None:
    if start[344:348] in _MAGIC[1]:
        return 1
    return 2 if start[4:8] in _MAGIC[2] else None


def open_volume(
    path: Path, *, axes: str | None = None, channel: int | None = None, fixed: Mapping[str, int] | None = None
) -> FrameSource:
    """Open a volume; its slices along the third axis are the frames.

    Voxels stay in their stored order (no reorientation to anatomical directions), so masks fit the file.

    Raises
    ------
    InputError
        If the file cannot be read or holds no volume, or nibabel is not installed.
    """
    _refuse_others(path)
    nibabel = nibabel_for(path.name)
    with quiet():
        try:
            volume, note = _load(nibabel, path)
            voxels = volume.dataobj
            shape = tuple(int(n) for n in voxels.shape)
            if min(shape, default=0) < 0:
                raise ValueError(f"its shape is {shape}")
            dtype = _value_type(volume)
        except InputError:
            raise
        except Exception as error:
            raise _unreadable(path, error) from error
    letters = _letters(voxels, len(shape))
    if dtype.names is not None and set(_COLORS) <= set(dtype.names):
        shape, letters, dtype = (*shape, 3), f"{letters}S", np.dtype(np.uint8)
    try:
        check_pixels(path.name, shape, dtype)
        plan = plan_axes(path.name, shape, dtype, axes=axes or letters, channel=channel, fixed=fixed)
        sizes = as_read(plan.axes, letters, volume_spacing(volume, letters))
        frames = VolumeFrames(path.name, voxels, dtype, plan, note, sizes)
        frames.geometry = volume_geometry(volume, plan)
        return frames
    except InputError:
        _close(voxels)
        raise


def _refuse_others(path: Path) -> None:
    suffix = _suffix(path)
    if suffix in _SURFACES:
        raise InputError(
            f"{path.name} holds {_SURFACES[suffix]}, no image; give the volume that it belongs to."
        )
    with path.open("rb") as file:
        start = file.read(4)
    if suffix in _UNREAD or start == b"NRRD":
        raise InputError(
            f"{path.name} is a volume in the format {_UNREAD.get(suffix, 'NRRD')}, which is not read here; "
            "save it as NIfTI (.nii.gz), for example with 3D Slicer or SimpleITK."
        )


def _load(nibabel: Any, path: Path) -> tuple[Any, str]:
    """Return a volume, and what users should know of it."""
    note = ""
    options = {"keep_file_open": True} if _suffix(path) in (".nii", ".hdr", ".img", ".mgh", ".mgz") else {}
    try:
        volume = nibabel.load(path, **options)
    except nibabel.filebasedimages.ImageFileError:
        volume = _by_content(nibabel, path)
        if volume is None:
            raise
    except nibabel.parrec.PARRECError:
        volume = nibabel.load(path, permit_truncated=True)
        note = "the recording stopped early, and what is incomplete is left out"
    _check_partner(path, volume)
    if not hasattr(volume, "dataobj") or isinstance(volume, nibabel.Cifti2Image):
        kind = "a CIFTI matrix" if isinstance(volume, nibabel.Cifti2Image) else "no image"
        raise InputError(
            f"{path.name} holds {kind}, not a volume; give the volume that it was computed from."
        )
    return volume, note


def _by_content(nibabel: Any, path: Path) -> Any:
    """Open a NIfTI volume whatever it is called: packed or not, with another suffix."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    opened: Any = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115  (read from later)
    version = _nifti_version(opened.read(352))
    opened.seek(0)
    if version is None:
        opened.close()
        return None
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    return kind.from_file_map({"image": nibabel.FileHolder(fileobj=opened)}, mmap=False)


def _check_partner(path: Path, volume: Any) -> None:
    """Refuse a header without its pixels, which would be missed only when they are read."""
    holder = getattr(volume, "file_map", {}).get("image")
    name = getattr(holder, "filename", None)
    if name and not Path(name).exists():
        raise FileNotFoundError(2, "No such file", name)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = explain(error).replace(str(path.parent / path.stem), path.stem)
    for package in ("h5py", "zstd"):
        if package in str(error):
            needed = "h5py" if package == "h5py" else "backports.zstd"
            return InputError(f"{path.name} needs an extra package: pip install {needed}.")
    if isinstance(error, FileNotFoundError):
        missing = Path(error.filename).name if error.filename else "the other"
        return InputError(f"{path.name} is one of two files, and {missing} is missing; put it beside.")
    return InputError(f"{path.name} is not a readable volume ({reason}); export it again.")


def _value_type(volume: Any) -> "np.dtype[Any]":
    """Return the type of voxels as they are read, in no more digits than stored ones need."""
    stored, voxels = np.dtype(volume.get_data_dtype()), volume.dataobj
    if type(voxels).__name__ == "ArrayProxy":  # others scale each slice by itself
        scaled = (voxels.slope, voxels.inter) != (1, 0)
    else:
        first = tuple(slice(None) if axis < 2 else 0 for axis in range(len(voxels.shape)))
        scaled = np.asarray(voxels[first]).dtype.kind == "f"
    if stored.kind in "iu" and scaled:
        return np.dtype(np.float32 if stored.itemsize <= 2 else np.float64)
    return np.dtype(np.float64) if stored.kind == "f" and stored.itemsize > 8 else stored


def _letters(voxels: Any, count: int) -> str:
    """Return one letter per axis; MINC names its own, in any order."""
    names = getattr(getattr(voxels, "minc_file", None), "_dim_names", None)
    if names is None:
        return _AXES[:count]
    letters = [_MINC_AXES.get(name if isinstance(name, str) else name.decode(), "") for name in names]
    return "".join(letters) if all(letters) and len(letters) == count else "TZYX"[-count:]


def _close(voxels: Any) -> None:
    """Close a file that nibabel leaves open."""
    file: Any = getattr(voxels, "file_like", None)
    if hasattr(file, "close"):
        file.close()


class VolumeFrames(PlannedFrames):
    """Slices of a volume, with the file's scaling applied (Hounsfield units in CT)."""

    def __init__(
        self,
        name: str,
        voxels: Any,
        dtype: "np.dtype[Any]",
        plan: AxisPlan,
        note: str = "",
        spacing: Mapping[str, Spacing] | None = None,
    ) -> None:
        super().__init__(name, dtype, plan, note, spacing=spacing)
        self._voxels = voxels
        self._lock = threading.Lock()

    def _read(self, frame: int) -> NDArray[Any]:
        with self._lock, quiet():
            if self._voxels is None:
                raise self._was_closed()
            index = self.plan.index(frame)[: len(self._voxels.shape)]
            block = np.asarray(self._voxels[index])
        if block.dtype.names is None:
            return self.plan.arrange(block)
        colors = np.stack([block[name] for name in _COLORS], axis=-1)
        return self.plan.arrange(colors[..., self.plan.index(frame)[-1]])

    def close(self) -> None:
        """Close the file."""
        with self._lock:  # another thread may be reading
            voxels, self._voxels = self._voxels, None
            _close(voxels)
