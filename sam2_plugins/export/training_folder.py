"""Training folders for ``sam2 train``: frames and label images of the same names, as in DAVIS."""

from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_plugins.export.targets import (
    ExportSummary,
    LabelImages,
    NothingToExportError,
    frame_number,
    new_folder,
)
from sam2_plugins.session.label_image import compose_labels
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = [
    "left_out_sentences",
    "usable_frames",
    "write_masks",
    "write_training_folder",
    "write_training_videos",
]

_FRAMES, _LABELS = "images", "labels"


@LongWork
def write_training_folder(
    session: ReadableSession,
    path: str | Path,
    name: str = "session",
    *,
    frames: Iterable[int] | None = None,
    overwrite: bool = False,
) -> Generator[int, None, ExportSummary]:
    """Write ``images/NAME/000.tif`` and ``labels/NAME/000.tif`` and so on, without any loss.

    Training takes an object that is not on a label image for absent. So by default only frames are written
    that are annotated, and on which no object has a gap between its first and its last annotated frame.

    Parameters
    ----------
    session, path
        What to write, and the folder to be.
    name
        Of the video within the folder.
    frames
        Which frames, for example the verified ones; None for the default.
    overwrite
        Whether an earlier export may be replaced.

    Yields
    ------
    int
        Each frame, once it is written.

    Raises
    ------
    InputError
        If there is no such frame, a frame cannot be read, or the folder cannot be written there.

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
    ...     path = Path(folder) / "train"
    ...     summary = write_training_folder(session, path, "cells")
    ...     sorted(str(file.relative_to(path)) for file in path.rglob("*.tif"))
    ['images/cells/000.tif', 'images/cells/001.tif', 'labels/cells/000.tif', 'labels/cells/001.tif']
    """
    path = Path(path)
    with new_folder(path, is_earlier_export=_is_training_folder, overwrite=overwrite) as folder:
        written, changes = yield from _write_video(folder, session, name, frames)
    return ExportSummary(path, written, len(session.objects), changes)


@LongWork
def write_training_videos(
    videos: Iterable[tuple[str, ReadableSession]], path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write several sessions, given by name, into one folder, as :func:`write_training_folder` writes one.

    Each session is read when its turn comes.

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
    ...     path = Path(folder) / "train"
    ...     summary = write_training_videos([("left", session), ("right", session)], path)
    ...     sorted(video.name for video in (path / "labels").iterdir())
    ['left', 'right']
    """
    path = Path(path)
    written, num_objects, changes = 0, 0, list[str]()
    with new_folder(path, is_earlier_export=_is_training_folder, overwrite=overwrite) as folder:
        for name, session in videos:
            frames, sentences = yield from _write_video(folder, session, name, None)
            written, num_objects = written + frames, num_objects + len(session.objects)
            changes += [f"{name}: {sentence}" for sentence in sentences]
        if not written:
            raise NothingToExportError
    return ExportSummary(path, written, num_objects, tuple(changes))


@LongWork
def write_masks(
    session: ReadableSession, path: str | Path, masks: Mapping[int, Collection[int]]
) -> Generator[int, None, ExportSummary]:
    """Write some masks to train on as images: ``images/000.tif`` and ``labels/000.tif`` and so on.

    Of each frame its pixels and the masks of the objects that are named; what else is on it is left out.

    Parameters
    ----------
    session, path
        What to write, and the folder to be.
    masks
        By frame, the objects.

    Yields
    ------
    int
        Each frame, once it is written.

    Raises
    ------
    InputError
        If a frame cannot be read, or the folder cannot be written there.
    """
    path = Path(path)
    with new_folder(path, is_earlier_export=_is_training_folder) as folder:
        for part in (_FRAMES, _LABELS):
            (folder / part).mkdir()
        for frame, object_ids in sorted(masks.items()):
            file = f"{frame_number(frame, len(session.frames))}.tif"
            known = {i: mask for i in object_ids if (mask := session.accepted(i, frame)) is not None}
            labels = compose_labels(session.frames.shape, known, max(session.objects))
            _write_pixels(folder / _FRAMES / file, session.frames[frame], session.frames.is_rgb)
            _write_pixels(folder / _LABELS / file, labels, is_rgb=False)
            yield frame
    return ExportSummary(path, len(masks), len({i for ids in masks.values() for i in ids}))


def _write_video(
    folder: Path, session: ReadableSession, name: str, frames: Iterable[int] | None
) -> Generator[int, None, tuple[int, tuple[str, ...]]]:
    """Write one video; return the number of frames, and what was left out."""
    labels = LabelImages(session)
    complete, incomplete = usable_frames(session)
    chosen = complete if frames is None else sorted(set(frames))
    if not chosen or not set(chosen) <= set(complete + incomplete):
        raise InputError("Some of these frames have no annotation; choose others.")
    for part in (_FRAMES, _LABELS):
        (folder / part / name).mkdir(parents=True)
    for frame in chosen:
        file = f"{frame_number(frame, labels.length)}.tif"
        _write_pixels(folder / _FRAMES / name / file, session.frames[frame], session.frames.is_rgb)
        _write_pixels(folder / _LABELS / name / file, labels[frame], is_rgb=False)
        yield frame
    left_out = left_out_sentences(complete, incomplete) if frames is None else ()
    return len(chosen), (*left_out, *labels.changes)


def left_out_sentences(complete: list[int], incomplete: list[int]) -> tuple[str, ...]:
    """Return a sentence on the frames that are left out, if there are some; see :func:`usable_frames`."""
    if not incomplete:
        return ()
    verb = "was" if len(incomplete) == 1 else "were"
    return (
        f"{len(incomplete)} of {len(complete + incomplete)} frames {verb} left out, because an object is not "
        "annotated there.",
    )


def _is_training_folder(folder: Path) -> bool:
    return {one.name for one in folder.iterdir()} == {_FRAMES, _LABELS}


def usable_frames(session: ReadableSession) -> tuple[list[int], list[int]]:
    """Return the annotated frames without a gap, and those with one.

    An object has a gap where it is not annotated, but is so before and after, unless it is absent there.
    """
    annotated = set(known_by_frame(session))
    gaps: set[int] = set()
    for object_id in session.objects:
        frames = session.frames_of(object_id)
        if frames:
            life = session.objects[object_id].life
            gaps |= {frame for frame in range(frames[0], frames[-1]) if frame in life} - set(frames)
    return sorted(annotated - gaps), sorted(annotated & gaps)


def _write_pixels(path: Path, pixels: NDArray[Any], is_rgb: bool) -> None:
    """Write one image, all its channels in one page, as a folder's images have one page each."""
    options: dict[str, Any] = {}
    if pixels.ndim == 3:
        colors = 3 if is_rgb else 1
        options = {"planarconfig": "contig", "extrasamples": ["unspecified"] * (pixels.shape[2] - colors)}
    photometric = "rgb" if is_rgb else "minisblack"
    tifffile.imwrite(path, pixels, compression="zlib", photometric=photometric, **options)
