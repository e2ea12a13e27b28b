"""``open_frames``: the frame source of a path, an array, a list or a camera."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import ArrayFrames, ListFrames, NumpyFile
from sam2_engine.frames.axes import plan_axes, sequence_axis
from sam2_engine.frames.dicom_frames import DicomFrames, is_dicom
from sam2_engine.frames.image_files import IMAGE_SUFFIXES, ImageFileFrames, images_in, natural_key
from sam2_engine.frames.live_stream import LiveFrames
from sam2_engine.frames.nifti_frames import is_nifti, open_nifti
from sam2_engine.frames.source import FrameSource, explain
from sam2_engine.frames.tiff_frames import open_tiff
from sam2_engine.frames.video_frames import VideoFrames
from sam2_engine.frames.zarr_frames import is_zarr, open_zarr

__all__ = ["open_frames"]

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_frames(
    source: Any,
    *,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    level: int = 0,
    single: bool = False,
    labels: bool = False,
) -> FrameSource:
    """Open anything that holds frames; only what is needed to describe it is read.

    Parameters
    ----------
    source
        A path (image, TIFF, OME-Zarr, NumPy file, video, DICOM, NIfTI, or a folder of images), a numpy,
        dask or zarr array, a list of images or of image files, an iterator of images (a live stream
        of unknown length), or a ``FrameSource``, which is returned as it is.
    axes
        One letter per axis, as ``"TYX"`` or ``"TCYX"`` (S: color, C: channels). By default the file's
        names where plausible; a single doubtful axis is read as T, and ``description`` says so.
    channel
        The only channel to read, counted from 0; all are read otherwise.
    fixed
        Position on each further axis, for example ``{"Z": 3}``: frames lie along one axis.
    level
        Resolution level of a pyramid; 0 is the finest.
    single
        Whether one image is wanted, not a stack: a leading S of an 8-bit TIFF is then color, not time.
    labels
        Whether the pixels are labels: images with a palette then give its indices, not its colors.

    Raises
    ------
    InputError
        If the source cannot be read, or its axes are ambiguous.

    Examples
    --------
    >>> stack = np.zeros((3, 2, 40, 60), np.uint16)
    >>> frames = open_frames(stack, axes="TCYX", channel=0)
    >>> frames.description
    'T=3 Y=40 X=60, 1 channel, uint16; C=0 of 2'
    >>> len(frames), frames[2].shape
    (3, (40, 60))
    """
    if isinstance(source, FrameSource):
        return source
    options: dict[str, Any] = {"axes": axes, "channel": channel, "fixed": fixed}
    if isinstance(source, str | PathLike):
        return _open_path(Path(source), options, level=level, single=single, labels=labels)
    if isinstance(source, zarr.Group):
        return open_zarr(source, level=level, single=single, **options)
    if isinstance(source, list | tuple):
        return _open_list(source, options, labels=labels)
    if hasattr(source, "detach"):  # a torch tensor
        source = source.detach().cpu().numpy()
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        return _open_array(
            source, f"The {type(source).__module__.split('.')[0]} array", options, single=single
        )
    if isinstance(source, Iterable) and not isinstance(source, bytes | dict):
        return LiveFrames(source, axes=axes, channel=channel)
    raise InputError(
        f"Frames are a path, an array, a list of images or an iterator, not a {type(source).__name__}."
    )


def _open_array(array: Any, name: str, options: dict[str, Any], *, single: bool = False) -> FrameSource:
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu().numpy()
    shape, dtype = tuple(array.shape), np.dtype(array.dtype)
    return ArrayFrames(array, plan_axes(name, shape, dtype, single=single, **options), name)


def _open_list(items: list[Any] | tuple[Any, ...], options: dict[str, Any], *, labels: bool) -> FrameSource:
    if not items:
        raise InputError("The list of images is empty.")
    if all(isinstance(item, str | PathLike) for item in items):
        return ImageFileFrames(
            "The list of files", [_existing(Path(item)) for item in items], labels=labels, **options
        )
    axis = sequence_axis("The list of images", options["axes"], options["fixed"])
    return ListFrames([np.asarray(item) for item in items], axis, options["channel"])


def _existing(path: Path) -> Path:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({explain(error)}); check the path.") from error
    if path.is_file() and not size:
        raise InputError(f"{path} is an empty file; copy or export it again.")
    return path


def _open_path(path: Path, options: dict[str, Any], *, level: int, single: bool, labels: bool) -> FrameSource:
    path = _existing(path)
    if is_zarr(path):
        return open_zarr(path, level=level, single=single, **options)
    if path.is_dir():
        return _open_folder(path, options, labels=labels)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({explain(error)}); check the path.") from error
    if start in _TIFF_STARTS:
        return open_tiff(path, level=level, single=single, **options)
    if path.suffix.lower() == ".npy":
        return _open_npy(path, options, single=single)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFileFrames(path.name, [path], labels=labels, **options)
    if is_nifti(path):
        return open_nifti(path, **options)
    if is_dicom(path):
        return DicomFrames(path.name, [path], **options)
    return VideoFrames(path, **options)


def _open_npy(path: Path, options: dict[str, Any], *, single: bool) -> FrameSource:
    try:
        array = NumpyFile(path)
    except Exception as error:
        raise InputError(
            f"{path.name} is not a readable NumPy file ({explain(error)}); save it again."
        ) from error
    return _open_array(array, path.name, options, single=single)


def _open_folder(path: Path, options: dict[str, Any], *, labels: bool) -> FrameSource:
    if files := images_in(path):
        return ImageFileFrames(path.name, files, labels=labels, **options)
    others = (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if files := sorted((file for file in others if is_dicom(file)), key=natural_key):
        return DicomFrames(path.name, files, **options)
    raise InputError(f"{path} holds no images; give a folder of PNG, JPEG, TIFF, BMP or DICOM files.")
