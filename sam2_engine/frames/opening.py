"""``open_frames``: the frame source of a path, an array, a list or a camera."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from PIL import Image

from sam2_engine.arguments import is_whole, suggests_arguments
from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import ArrayFrames, ListFrames, NumpyFile
from sam2_engine.frames.axes import channels_first_axes, plan_axes, sequence_axis
from sam2_engine.frames.chunks import unwritten_frames, with_checked_chunks
from sam2_engine.frames.derived_frames import TurnedFrames, check_along
from sam2_engine.frames.dicom import holds_dicom, is_dicom, open_dicom
from sam2_engine.frames.file_kinds import DICOM, HDF5, IMAGES, NUMPY, REFUSED, TIFF, VIDEO
from sam2_engine.frames.image_files import IMAGE_SUFFIXES, ImageFileFrames, kind_of_file
from sam2_engine.frames.images.animated import AnimatedImageFrames
from sam2_engine.frames.images.decoding import ImageDecoder
from sam2_engine.frames.images.folders import survey
from sam2_engine.frames.live_stream import LiveFrames
from sam2_engine.frames.pixels import as_array, is_array, object_note
from sam2_engine.frames.series import Series, no_series
from sam2_engine.frames.source import FrameSource, explain
from sam2_engine.frames.tiff_frames import open_tiff
from sam2_engine.frames.video_frames import VideoFrames
from sam2_engine.frames.volume_frames import is_volume, open_volume
from sam2_engine.frames.zarr_frames import is_zarr, named_axes, open_zarr

__all__ = ["open_frames"]

_NO_FRAMES = (bytes, bytearray, dict, set, frozenset, type)
"""What can be iterated too, but has no frames one after the other."""


@suggests_arguments
def open_frames(
    source: Any,
    *,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    along: str | None = None,
    level: int = 0,
    series: Series = None,
    single: bool = False,
    labels: bool = False,
) -> FrameSource:
    """Open anything that holds frames; only what is needed to describe it is read.

    Parameters
    ----------
    source
        A path (image, TIFF, OME-Zarr, NumPy file, video, DICOM, NIfTI, or a folder of images), a numpy,
        dask or zarr array, a tensor, an image of Pillow, a list of images or of image files, an iterator
        of images (a live stream of unknown length), or a ``FrameSource``, which is returned as it is.
    axes
        One letter per axis, as ``"TYX"`` or ``"TCYX"`` (S: color, C: channels). By default the file's
        names where plausible; a single doubtful axis is read as T, and ``description`` says so.
    channel
        The only channel to read, counted from 0; all are read otherwise.
    fixed
        Position on each further axis, for example ``{"Z": 3}``: frames lie along one axis.
    along
        Axis of a volume that its frames lie along: Z, or Y or X to cut it across, which reads all of it into
        memory once. Frames count as planes (Z) then, with rows along Z; sizes and geometry stay with their
        axes.
    level
        Resolution level of a pyramid; 0 is the finest.
    series
        Which of several series (positions, scenes, scans) of a file or a folder, by its number or its name;
        by default the largest one (several of DICOM are refused). ``description`` names what is left out.
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
    _check_options(axes, channel, fixed, level)
    if along is not None and (way := check_along(along)) != "Z":
        whole = open_frames(
            source,
            axes=axes,
            channel=channel,
            fixed=fixed,
            level=level,
            series=series,
            single=single,
            labels=labels,
        )
        return TurnedFrames.of(whole, way)
    if isinstance(source, FrameSource):
        if axes is not None or channel is not None or fixed is not None:
            raise InputError(
                f"{source.name} is open already: give axes, channel or fixed to the call that opened it, "
                f"which read it as {source.sizes}."
            )
        return source
    options: dict[str, Any] = {"axes": axes, "channel": channel, "fixed": fixed}
    if isinstance(source, str | PathLike):
        kind: dict[str, Any] = {"level": level, "series": series, "single": single, "labels": labels}
        frames = _open_path(Path(source), options, **kind)
        frames.opened_as = Path(source).absolute(), options | kind
        return frames
    if isinstance(source, zarr.Group):
        return open_zarr(source, level=level, series=series, single=single, **options)
    no_series("What is neither a path nor a zarr group", series)
    if isinstance(source, list | tuple):
        return _open_list(source, options, labels=labels)
    if isinstance(source, Image.Image):
        return _open_list([source], options, labels=labels)
    if is_array(source):
        return _open_array(source, "The array", options, single=single, labels=labels)
    if isinstance(source, Iterable) and not isinstance(source, _NO_FRAMES):
        return LiveFrames(source, axes=axes, channel=channel)
    raise InputError(
        f"Frames are a path, an array, a list of images or an iterator, not a {type(source).__name__}."
    )


def _check_options(axes: object, channel: object, fixed: object, level: object) -> None:
    """Refuse what is no option at all, before a file is blamed for it."""
    if not (axes is None or isinstance(axes, str)):
        raise InputError(f'Axes are a text, one letter each, as in "TYX", not {axes!r}.')
    if not (channel is None or is_whole(channel)):
        raise InputError(f"A channel is a whole number, counted from 0, not {channel!r}.")
    if not is_whole(level):
        raise InputError(f"A level is a whole number, 0 for the finest, not {level!r}.")
    positions = {} if fixed is None else fixed
    if not isinstance(positions, Mapping) or not all(
        isinstance(axis, str) and is_whole(position) for axis, position in positions.items()
    ):
        raise InputError(f'Fixed are positions by axis, as in {{"Z": 3}}, not {fixed!r}.')


def _open_array(
    array: Any, name: str, options: dict[str, Any], *, single: bool = False, labels: bool = False
) -> FrameSource:
    is_tensor, notes = hasattr(array, "detach"), []
    if isinstance(array, np.ma.MaskedArray):
        notes.append(object_note(array, labels=labels))
    try:
        declared = named_axes(array) if isinstance(array, zarr.Array) else None
        array = (
            with_checked_chunks(array) if isinstance(array, zarr.Array) else as_array(array, labels=labels)
        )
        shape, dtype = tuple(array.shape), np.dtype(array.dtype)
    except Exception as error:  # of any library
        raise InputError(f"{name} cannot be used: {explain(error)}.") from error
    if (
        options["axes"] is None
        and declared is None
        and (letters := channels_first_axes(shape, dtype, is_tensor=is_tensor, single=single))
    ):
        options = {**options, "axes": letters}
        notes.append(f"the axis of length {shape[-3]} before height and width is read as color")
    plan = plan_axes(name, shape, dtype, declared=declared, single=single, **options)
    if isinstance(array, zarr.Array):
        notes.append(unwritten_frames(array, plan))
    return ArrayFrames(array, plan, name, "; ".join(filter(None, notes)))


def _open_list(items: list[Any] | tuple[Any, ...], options: dict[str, Any], *, labels: bool) -> FrameSource:
    if not items:
        raise InputError("The list of images is empty.")
    if all(isinstance(item, str | PathLike) for item in items):
        files = [_existing(Path(item)) for item in items]
        if all(file.is_file() and is_dicom(file) for file in files):
            return open_dicom(files, **options)
        return ImageFileFrames("The list of files", files, labels=labels, **options)
    axis = sequence_axis("The list of images", options["axes"], options["fixed"])
    return ListFrames(items, axis, options["channel"], labels=labels)


def _existing(path: Path) -> Path:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({explain(error)}); check the path.") from error
    if path.is_file() and not size:
        raise InputError(f"{path} is an empty file; copy or export it again.")
    return path


def _open_path(
    path: Path, options: dict[str, Any], *, level: int, series: Series, single: bool, labels: bool
) -> FrameSource:
    path = _existing(path)
    if is_zarr(path):
        return open_zarr(path, level=level, series=series, single=single, **options)
    if path.is_dir():
        return _open_folder(path, options, series=series, labels=labels)
    kind = kind_of_file(path)
    if kind == TIFF:
        return open_tiff(path, level=level, series=series, single=single, labels=labels, **options)
    if kind in (None, HDF5) and is_volume(path):
        no_series(path.name, series)
        return open_volume(path, **options)
    if kind == DICOM or (kind is None and is_dicom(path)):
        return open_dicom(path, series=series, **options)
    is_npy = kind == NUMPY or (kind is None and path.suffix.lower() == ".npy")
    is_image = kind in IMAGES or kind in REFUSED or (kind != VIDEO and path.suffix.lower() in IMAGE_SUFFIXES)
    if not is_npy and not is_image:
        return VideoFrames(path, series=series, **options)
    no_series(path.name, series)
    if is_npy:
        return _open_npy(path, options, single=single)
    return _open_image(path, options, single=single, labels=labels)


def _open_image(path: Path, options: dict[str, Any], *, single: bool, labels: bool) -> FrameSource:
    decoder = ImageDecoder(path, labels=labels)
    if decoder.num_images > 1 and not (single and decoder.is_photograph):
        return AnimatedImageFrames(decoder, **options)
    decoder.close()
    return ImageFileFrames(path.name, [path], labels=labels, **options)


def _open_npy(path: Path, options: dict[str, Any], *, single: bool) -> FrameSource:
    try:
        array = NumpyFile(path)
    except Exception as error:
        raise InputError(
            f"{path.name} is not a readable NumPy file ({explain(error)}); save it again."
        ) from error
    return _open_array(array, path.name, options, single=single)


def _open_folder(path: Path, options: dict[str, Any], *, series: Series, labels: bool) -> FrameSource:
    files, note = survey(path)
    if holds_dicom(path, files):
        return open_dicom(path, series=series, **options)
    no_series(path.name, series)
    if files:
        return ImageFileFrames(path.name, files, labels=labels, note=note, **options)
    but = f" ({note})" if note else ""
    raise InputError(f"{path} holds no images{but}; give a folder of PNG, JPEG, TIFF, BMP or DICOM files.")
