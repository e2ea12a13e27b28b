"""Where sessions are kept when nobody said where: beside the stack, or in the user's own folder."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import platformdirs

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage.manifest import check_frames, read_manifest
from sam2_plugins.storage.session_folder import NotWritableError, SessionFolder, open_session, read_session

__all__ = ["OpenedSession", "last_opening", "open_or_create_session", "user_sessions"]

SUFFIX = ".sam2"


@dataclass(frozen=True)
class OpenedSession:
    """A session and where it is kept.

    Attributes
    ----------
    session
        New, or as it was left.
    folder
        None if it could not be kept.
    reopened
        Whether it was there before.
    save_error
        In a sentence, why it is not kept.
    note
        In a sentence, why a session that seemed to be the stack's does not go on.
    """

    session: AnnotationSession
    folder: SessionFolder | None
    reopened: bool = False
    save_error: str | None = None
    note: str | None = None


def user_sessions() -> Path:
    """Return the folder for sessions of stacks that are no files; ``SAM2_SESSIONS`` names another one."""
    given = os.environ.get("SAM2_SESSIONS")
    return Path(given) if given else platformdirs.user_data_path("sam2-plugins", appauthor=False) / "sessions"


def open_or_create_session(
    frames: FrameSource,
    store: ModelStore,
    model: str,
    *,
    source: Path | None = None,
    opening: Mapping[str, Any] | None = None,
    name: str | None = None,
    home: Path | None = None,
    scale: PhysicalScale | None = None,
) -> OpenedSession:
    """Go on with the session of a stack, or begin one.

    The session of ``cells.tif`` is ``cells.sam2`` beside it, where one can write there; that of its plane 7
    is ``cells Z7.sam2``. A folder that belongs to other pixels is left alone; the next one is
    ``cells-2.sam2``. Of several, the one used last goes on. It is then said to be read as these frames are:
    axes may have got other names since.

    Parameters
    ----------
    frames
        The stack.
    store, model
        As for ``AnnotationSession``; a session that goes on does so with its own model.
    source, opening
        As for ``SessionFolder.create``.
    name
        What the session is called if it cannot be kept beside a file; None for the stack's name.
    scale
        Sizes of pixels, planes and frames, where they are known.
    home
        Folder for what cannot be kept beside its file; None for :func:`user_sessions`.

    Raises
    ------
    InputError
        If the stack's session is open elsewhere or damaged, or the frames or the model cannot be used.
    """
    opening = opening or {}
    name = Path(frames.name).stem if name is None else name
    places = _places(name, source, opening.get("fixed", {}), user_sessions() if home is None else home)
    notes: list[str] = []
    own = list(_sessions_of(frames, places, opening.get("fixed", {}), source is not None, notes))
    if own:
        return _going_on(max(own, key=_last_used), frames, store, opening, scale)
    session = AnnotationSession(frames, store, model)
    note, save_error = next(iter(notes), None), None
    for place in places:
        path = next(path for path in _numbered(place) if not path.exists())
        try:
            folder = SessionFolder.create(path, session, source=source, opening=opening, scale=scale)
        except InputError as error:
            save_error = save_error or str(error)
        else:
            return OpenedSession(session, folder, note=note)
    return OpenedSession(session, None, note=note, save_error=save_error)


def last_opening(
    open_as: Callable[[Mapping[str, Any]], FrameSource],
    name: str,
    source: Path | None = None,
    home: Path | None = None,
) -> Mapping[str, Any] | None:
    """Return the options with which a stack was read in that session of it that was used last, if any.

    The user may have corrected the axes, or chosen one channel.

    Parameters
    ----------
    open_as
        Opens the stack with such options; raises ``InputError`` if they do not fit.
    name, source, home
        As for :func:`open_or_create_session`.
    """
    paths: list[Path] = []
    for place in _places(name, source, {}, user_sessions() if home is None else home):
        same = re.compile(re.escape(place.name) + r"( [A-Z]\d+)*(-\d+)?" + re.escape(SUFFIX))
        paths += [path for path in place.parent.glob(f"*{SUFFIX}") if same.fullmatch(path.name)]
    for path in sorted(paths, key=_last_used, reverse=True):
        with suppress(InputError, KeyError, TypeError, ValueError, AttributeError):  # damaged, or not its own
            described = read_manifest(path)["frames"]
            check_frames(open_as(described["opening"]), described, path)
            return dict(described["opening"])
    return None


def _places(name: str, source: Path | None, fixed: Mapping[str, int], home: Path) -> list[Path]:
    """Return where a session may be kept, without its ending, the best place first."""
    where = "".join(f" {axis}{position}" for axis, position in sorted(fixed.items()))
    places = [home / (re.sub(r"[^\w. -]+", "_", name + where).strip(" .") or "session")]
    return places if source is None else [source.with_name(source.stem + where), *places]


def _sessions_of(
    frames: FrameSource, places: list[Path], fixed: Mapping[str, int], has_file: bool, notes: list[str]
) -> Iterator[Path]:
    """Yield the session folders of these very frames, and note why another one is none of them.

    A folder beside the stack's file is expected to be the stack's; one in the user's own folder has only the
    same name.
    """
    rest = "a new session begins, and that folder stays as it is."
    for place in places:
        for path in _numbered(place):
            if not path.exists():
                continue
            try:
                described = read_manifest(path)["frames"]
                same_place = described["opening"].get("fixed", {}) == dict(fixed)
            except (InputError, KeyError, AttributeError) as error:
                reason = str(error) if isinstance(error, InputError) else f"{path} is damaged."
                notes.append(f"{reason[:-1]}; {rest}")
                continue
            try:
                check_frames(frames, described, path)
            except InputError:
                if has_file and place is places[0] and same_place:
                    notes.append(f"{path} was made on other pixels than {frames.name} has now; {rest}")
            else:
                if same_place:
                    yield path


def _going_on(
    path: Path,
    frames: FrameSource,
    store: ModelStore,
    opening: Mapping[str, Any],
    scale: PhysicalScale | None,
) -> OpenedSession:
    """Open a session, only to look at and try things where nothing can be written."""
    try:
        session, folder = open_session(path, store, frames)
    except NotWritableError as error:
        return OpenedSession(read_session(path, store, frames), None, reopened=True, save_error=str(error))
    with suppress(OSError):  # exports of the folder then have the axes and sizes of before
        folder.set_reading(opening)
        if scale is not None:
            folder.set_scale(scale.filled(folder.scale))
    return OpenedSession(session, folder, reopened=True)


def _last_used(path: Path) -> float:
    return max((file.stat().st_mtime for file in path.glob("*.json*")), default=0.0)


def _numbered(place: Path) -> Iterator[Path]:
    """Yield ``cells.sam2``, ``cells-2.sam2`` and so on, ending after the first that is not there."""
    for number in count(1):
        path = place.with_name(place.name + (f"-{number}" if number > 1 else "") + SUFFIX)
        yield path
        if not path.exists():
            return
