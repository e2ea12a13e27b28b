"""Opening the folder of a session: to go on in it, or only to read it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames
from sam2_plugins.runtime.garbage import making_what_stays
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.memory_options import MemoryOptions
from sam2_plugins.storage.manifest import check_frames, read_manifest
from sam2_plugins.storage.model_files import model_from
from sam2_plugins.storage.serialization import window_from_json
from sam2_plugins.storage.session_folder import SessionFolder
from sam2_plugins.storage.snapshot import read_calls, read_state
from sam2_plugins.storage.source_files import places_of, warn_of_rewritten_files

__all__ = ["open_session", "read_recording", "read_session"]


def open_session(
    path: str | Path, store: ModelStore, frames: object = None, **options: Any
) -> tuple[AnnotationSession, SessionFolder]:
    """Open a session where it was, also after a crash.

    Parameters
    ----------
    path
        The folder.
    store
        The host's models.
    frames
        Its frames, or where their file is now; None to read the file that it was made from.
    options
        Of ``AnnotationSession``, what the folder does not tell: ``history``, ``cache``, ``undo_bytes``.

    Returns
    -------
    session, folder
        The folder saves the session until it is closed.

    Raises
    ------
    InputError
        If the folder is damaged or open elsewhere, or the frames are not there or not the same;
        ``NotWritableError`` if it can only be read, as :func:`read_session` does.

    See Also
    --------
    SessionFolder : with an example.
    sam2_plugins.storage.open_or_create_session : finds the folder of a stack by itself.
    """
    path = Path(path)
    with _empty_session(path, store, frames, **options) as (session, own_frames):
        folder = SessionFolder.reopen(path, session, own_frames)
    return session, folder


def read_session(path: str | Path, store: ModelStore, frames: object = None) -> AnnotationSession:
    """Read a session as it is now; the folder is neither changed nor locked.

    Parameters
    ----------
    path
        The folder; another window may be working in it.
    store, frames
        As for :func:`open_session`; whoever reads closes the session's frames.

    Raises
    ------
    InputError
        If the folder is damaged, or the frames are not there or not the same.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore, SessionFolder
    >>> frames, store = np.zeros((3, 64, 80), np.uint8), ModelStore()
    >>> path = Path(tempfile.mkdtemp()) / "work.sam2"
    >>> session = AnnotationSession(frames, store)
    >>> folder = SessionFolder.create(path, session)
    >>> cell = session.add_object("cell")
    >>> read_session(path, store, frames).objects[cell].name  # while it is open
    'cell'
    >>> folder.close()
    """
    path = Path(path)
    return read_recording(path, store, frames, with_calls=False)[0]


def read_recording(
    path: str | Path, store: ModelStore, frames: object = None, *, with_calls: bool = True
) -> tuple[AnnotationSession, list[dict[str, Any]]]:
    """Read a session as :func:`read_session` does, and all that was asked of it until then.

    Raises
    ------
    InputError
        As :func:`read_session`; or if some of what was asked is missing.
    """
    path = Path(path)
    with _empty_session(path, store, frames) as (session, _):
        with making_what_stays():
            state = read_state(path)
            state.apply_to(session, path)
        calls = read_calls(path, state.number) if with_calls else []
    return session, calls


def _open_own_frames(path: Path, described: Mapping[str, Any]) -> FrameSource:
    """Open the frames of a session: of the places where they may be, the first one that has its pixels."""
    places = places_of(described, path)
    if len(places) == 1:
        return open_frames(places[0], **described["opening"])
    errors: list[InputError] = []
    for place in places:
        try:
            with ExitStack() as opened:
                frames = opened.enter_context(open_frames(place, **described["opening"]))
                check_frames(frames, described, path)
                opened.pop_all()
                return frames
        except InputError as error:
            errors.append(error)
    raise InputError(f"Neither {' nor '.join(map(str, places))} has the frames of {path}: {errors[0]}")


_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError)


@contextmanager
def _empty_session(
    path: Path, store: ModelStore, frames: object, **options: Any
) -> Iterator[tuple[AnnotationSession, FrameSource | None]]:
    """Give an empty session for a folder, and its frames if they were opened here.

    If the block fails these are closed, and whatever shows that the folder is damaged becomes a sentence.
    """
    manifest = read_manifest(path)
    described = manifest["frames"]
    own_frames = None
    try:
        contrast = window_from_json(manifest["window"])
        if frames is None and described["source"] is None:
            raise InputError(
                f"{path} does not hold its frames, nor say where they are; open it together with them "
                f"({described['name'].removeprefix('The ')})."
            )
        if frames is None:
            frames = own_frames = _open_own_frames(path, described)
        elif isinstance(frames, str | PathLike):
            frames = own_frames = open_frames(frames, **described["opening"])
        cleans = (
            manifest.get("cleans_clicked_frames") is True
        )  # sessions before it are gone on with as they began
        memory = MemoryOptions.in_manifest(manifest).given
        options = {"contrast": contrast, "cleans_clicked_frames": cleans, **memory, **options}
        session = AnnotationSession(
            frames, store, model_from(manifest, path)[0] or manifest["model"], **options
        )
        check_frames(session.frames, described, path)
        warn_of_rewritten_files(session.frames, described, path)
        yield session, own_frames
    except BaseException as error:
        if own_frames is not None:
            own_frames.close()
        damaged = isinstance(error, _DAMAGE)
        if damaged and not isinstance(error, InputError):
            raise InputError(f"{path} cannot be opened, its files are damaged: {error!r}.") from error
        raise
