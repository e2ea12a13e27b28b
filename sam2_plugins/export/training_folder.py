"""A folder that ``sam2 train`` learns from: frames and label images of the same names, as in DAVIS."""

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_plugins.export.targets import ExportSummary, Labels, NothingToExportError, frame_number, new_folder
from sam2_plugins.session.readable import ReadableSession, known_by_frame

__all__ = ["usable_frames", "write_training_folder", "write_training_videos"]

_FRAMES, _LABELS = "images", "labels"


def write_training_folder(
    session: ReadableSession,
    path: Path,
    name: str = "session",
    *,
    frames: Iterable[int] | None = None,
    overwrite: bool = False,
) -> Generator[int, None, ExportSummary]:
    """Write ``images/NAME/000.tif`` and ``labels/NAME/000.tif`` and so on, without any loss.

    Training takes an object that is not on a label image for absent. So by default only frames are written
    on which something is known, and no object is unknown between its first and its last known frame.

    Parameters
    ----------
    session, path
        What to write, and the folder to be.
    name
        Of the video within the folder.
    frames
        Which frames, for example those that are verified; None for the default.
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
    """
    with new_folder(path, known=_is_training_folder, overwrite=overwrite) as folder:
        written, changes = yield from _write_video(folder, session, name, frames)
    return ExportSummary(path, written, len(session.objects), changes)


def write_training_videos(
    videos: Iterable[tuple[str, ReadableSession]], path: Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write several sessions, given by name, into one folder, as :func:`write_training_folder` writes one.

    Each session is read when its turn comes.
    """
    written, num_objects, changes = 0, 0, list[str]()
    with new_folder(path, known=_is_training_folder, overwrite=overwrite) as folder:
        for name, session in videos:
            frames, told = yield from _write_video(folder, session, name, None)
            written, num_objects = written + frames, num_objects + len(session.objects)
            changes += [f"{name}: {sentence}" for sentence in told]
        if not written:
            raise NothingToExportError
    return ExportSummary(path, written, num_objects, tuple(changes))


def _write_video(
    folder: Path, session: ReadableSession, name: str, frames: Iterable[int] | None
) -> Generator[int, None, tuple[int, tuple[str, ...]]]:
    """Write one video; return the number of frames, and what was left out."""
    labels = Labels(session)
    usable, doubtful = usable_frames(session)
    chosen = usable if frames is None else sorted(set(frames))
    if not chosen or not set(chosen) <= set(usable + doubtful):
        raise InputError("Nothing is known of any object on some of these frames; choose others.")
    for part in (_FRAMES, _LABELS):
        (folder / part / name).mkdir(parents=True)
    for frame in chosen:
        file = f"{frame_number(frame, labels.length)}.tif"
        _write_pixels(folder / _FRAMES / name / file, session.frames[frame], session.frames.is_rgb)
        _write_pixels(folder / _LABELS / name / file, labels[frame], is_rgb=False)
        yield frame
    left_out = 0 if frames is not None else len(doubtful)
    verb = "was" if left_out == 1 else "were"
    told = (
        f"{left_out} of {len(usable + doubtful)} frames {verb} left out, because an object is unknown there."
    )
    return len(chosen), (told,) if left_out else ()


def _is_training_folder(folder: Path) -> bool:
    return {one.name for one in folder.iterdir()} == {_FRAMES, _LABELS}


def usable_frames(session: ReadableSession) -> tuple[list[int], list[int]]:
    """Return the frames on which all is known, and those on which something is."""
    known = known_by_frame(session)
    gaps: set[int] = set()
    for object_id in session.objects:
        there = session.frames_of(object_id)
        if there:
            gaps |= set(range(there[0], there[-1])) - set(there)
    return [frame for frame in known if frame not in gaps], [frame for frame in known if frame in gaps]


def _write_pixels(path: Path, pixels: NDArray[Any], is_rgb: bool) -> None:
    """Write one image, all its channels in one page, as a folder's images have one page each."""
    more: dict[str, Any] = {}
    if pixels.ndim == 3:
        colors = 3 if is_rgb else 1
        more = {"planarconfig": "contig", "extrasamples": ["unspecified"] * (pixels.shape[2] - colors)}
    kind = "rgb" if is_rgb else "minisblack"
    tifffile.imwrite(path, pixels, compression="zlib", photometric=kind, **more)
