"""Frames of NIfTI volumes by nibabel: slices read one at a time, in the stored order of voxels."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import PlannedFrames
from sam2_engine.frames.axes import AxisPlan, plan_axes
from sam2_engine.frames.source import FrameSource, check_pixels, explain

__all__ = ["is_nifti", "open_nifti"]

_AXES = "XYZTC"


def is_nifti(path: Path) -> bool:
    """Whether a file is named as a NIfTI volume."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def open_nifti(
    path: Path, *, axes: str | None = None, channel: int | None = None, fixed: Mapping[str, int] | None = None
) -> FrameSource:
    """Open a NIfTI volume; its slices along the third axis are the frames.

    Voxels stay in their stored order (no reorientation to anatomical directions), so masks fit the file.

    Raises
    ------
    InputError
        If the file cannot be read, or nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError:
        raise InputError(
            f'{path.name} needs an extra package: pip install "sam2-plugins[medical]".'
        ) from None
    try:
        volume: Any = nibabel.load(path, keep_file_open=True)
        voxels = volume.dataobj
        shape = tuple(int(n) for n in voxels.shape)
        scaled = (voxels.slope, voxels.inter) != (1, 0)
    except Exception as error:
        raise InputError(
            f"{path.name} is not a readable NIfTI volume ({explain(error)}); export it again."
        ) from error
    dtype = np.dtype(np.float32) if scaled else np.dtype(voxels.dtype)
    check_pixels(path.name, shape, dtype)
    plan = plan_axes(path.name, shape, dtype, axes=axes or _AXES[: len(shape)], channel=channel, fixed=fixed)
    return NiftiFrames(path.name, voxels, dtype, plan)


class NiftiFrames(PlannedFrames):
    """Slices of a NIfTI volume, with the file's scaling applied (Hounsfield units in CT)."""

    def __init__(self, name: str, voxels: Any, dtype: "np.dtype[Any]", plan: AxisPlan) -> None:
        super().__init__(name, dtype, plan)
        self._voxels = voxels
        self._lock = threading.Lock()

    def _read(self, frame: int) -> NDArray[Any]:
        with self._lock:
            return self.plan.arrange(np.asarray(self._voxels[self.plan.index(frame)]))

    def close(self) -> None:
        """Close the file."""
        self._voxels = None
