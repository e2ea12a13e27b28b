"""Files and folders to export to: written aside, renamed when complete, and nothing replaced unasked."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.disk import remove_folder, when_full
from sam2_engine.errors import InputError
from sam2_plugins.export.losses import Overlaps
from sam2_plugins.runtime.atomic_files import check_output_folder, os_error_sentence
from sam2_plugins.session.label_image import label_dtype
from sam2_plugins.session.readable import ReadableSession, known_by_frame

__all__ = [
    "ExportSummary",
    "LabelImages",
    "NothingToExportError",
    "as_file_name",
    "file_name_of",
    "frame_number",
    "new_folder",
    "source_of",
]


class NothingToExportError(InputError):
    """There is no object, so there is no file."""

    def __init__(self) -> None:
        super().__init__("No object has a mask here, so there is nothing to export.")


@dataclass(frozen=True)
class ExportSummary:
    """What was written.

    Attributes
    ----------
    path
        The file or folder.
    frames, objects
        How many were written.
    changes
        A sentence for everything that the format could not hold as it is in the session.
    """

    path: Path
    frames: int
    objects: int
    changes: tuple[str, ...] = ()


class LabelImages:
    """The label images of a session, one type for all frames.

    Attributes
    ----------
    length, shape, axis
        Number of frames, ``(H, W)``, and ``"T"`` or ``"Z"``.
    dtype
        uint16, or uint32 if an id needs it.

    Raises
    ------
    InputError
        If no object has a mask, an id does not fit, or its stack is a live stream that goes on.
    """

    def __init__(self, session: ReadableSession) -> None:
        self._session = session
        self._overlaps, self._known = Overlaps(session), known_by_frame(session)
        if not any(session.frames_of(object_id) for object_id in session.objects):
            raise NothingToExportError
        self.length = len(session.frames)
        self.shape = session.frames.shape
        self.axis = "Z" if session.frames.axis == "Z" else "T"
        self.dtype = label_dtype(max(session.objects))
        self.num_objects = len(session.objects)

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) labels of a frame."""
        labels = self._session.label_image(frame)
        if labels.dtype.itemsize > self.dtype.itemsize and labels.max() > np.iinfo(self.dtype).max:
            raise InputError("An object with a larger id was added during the export; export once more.")
        self._overlaps.look(frame, int(np.count_nonzero(labels)), self._known.get(frame, ()))
        return labels.astype(self.dtype, copy=False)

    @property
    def changes(self) -> tuple[str, ...]:
        """A sentence on what the images that were made could not hold, if there was anything."""
        return self._overlaps.changes


def source_of(session: ReadableSession) -> tuple[Path, ...]:
    """Return the file that a session's frames come from, which no export may replace; none of an array."""
    opened = session.frames.opened_as
    return () if opened is None else (opened[0],)


def frame_number(frame: int, length: int) -> str:
    """Return the number of a frame as names of files have it: ``007``, with more digits for long stacks."""
    return f"{frame:0{max(3, len(str(length - 1)))}}"


def file_name_of(session: ReadableSession, frame: int) -> str:
    """Return the name of a frame's own file, ``cell7.png``; of a stack, that of its frame, ``007.tif``."""
    file = session.frames.file_of(frame)
    return f"{frame_number(frame, len(session.frames))}.tif" if file is None else file.name


def as_file_name(words: str) -> str:
    """Return a name as files may be called on every system.

    Examples
    --------
    >>> as_file_name("left/right: 7")
    'left_right_ 7'
    """
    return "".join("_" if sign in '/\\:*?"<>|' or ord(sign) < 32 else sign for sign in words)


@contextmanager
def new_folder(
    path: Path, *, is_earlier_export: Callable[[Path], bool], overwrite: bool = False
) -> Iterator[Path]:
    """Write a folder aside, and rename it when the block ends well.

    Parameters
    ----------
    path
        The folder to be; an empty one may be there.
    is_earlier_export
        Tells whether a folder is an earlier export of this kind, which alone is ever replaced.
    overwrite
        Whether it may be.

    Raises
    ------
    InputError
        As ``check_output_folder``.
    """
    check_output_folder(path, is_earlier=is_earlier_export, overwrite=overwrite)
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise InputError(os_error_sentence(error, path.parent)) from None
    inside = aside / path.name  # made the usual way, it has the usual permissions
    try:
        with when_full(path, aside):
            inside.mkdir()
            yield inside
            # Another process may have written there meanwhile.
            check_output_folder(path, is_earlier=is_earlier_export, overwrite=overwrite)
            if path.exists():
                path.rename(aside / "before")
            inside.rename(path)
    except BaseException:
        if not path.exists() and (aside / "before").exists():
            (aside / "before").rename(path)
        raise
    finally:
        remove_folder(aside)
