"""Locations of session folders when nobody named one: beside the stack, or in the user's own folder."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import platformdirs

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import Action
from sam2_plugins.session.memory_options import MemoryOptions
from sam2_plugins.storage.creation import TakenError, clear_leftovers, is_half_made
from sam2_plugins.storage.manifest import check_frames, describe_frames, read_manifest, scale_in
from sam2_plugins.storage.opening import open_session, read_session
from sam2_plugins.storage.session_folder import NotWritableError, SessionFolder

__all__ = ["OpenedSession", "last_opening", "open_or_create_session", "reopen_session", "user_sessions"]

SUFFIX = ".sam2"
_ATTEMPTS = 5


@dataclass
class OpenedSession:
    """A session and the folder that it is saved in.

    Attributes
    ----------
    session
        New, or as it was left.
    folder
        None if it could not be saved, or as long as nothing was done in one that begins later.
    scale
        Sizes of pixels, planes and frames: those given, else the session's, else the file's.
    reopened
        Whether it was there before.
    save_error
        In a sentence, why it is not saved.
    note
        In a sentence, why a session that seemed to be the stack's was not reopened.
    """

    session: AnnotationSession
    folder: SessionFolder | None
    scale: PhysicalScale = field(default_factory=PhysicalScale)
    reopened: bool = False
    save_error: str | None = None
    note: str | None = None

    def begin(self) -> None:
        """Make the folder of one that begins later now, if nothing was done yet.

        Raises
        ------
        InputError
            If another process has begun the stack's session.
        """
        if self.session.history.before_action is not None:
            self.session.history.before_action()

    def close(self) -> None:
        """Close the folder; if what was done could not be saved so far, that is tried for the last time."""
        if self.save_error is not None:
            with suppress(InputError):
                self.begin()
        self.session.history.before_action = None
        if self.folder is not None:
            self.folder.close()


def user_sessions() -> Path:
    """Return the folder for sessions of stacks that are no files; ``SAM2_SESSIONS`` names another one."""
    given = os.environ.get("SAM2_SESSIONS")
    return Path(given) if given else platformdirs.user_data_path("sam2-plugins", appauthor=False) / "sessions"


def open_or_create_session(
    frames: FrameSource,
    store: ModelStore,
    model: str,
    *,
    source: str | Path | None = None,
    opening: Mapping[str, Any] | None = None,
    name: str | None = None,
    home: str | Path | None = None,
    scale: PhysicalScale | None = None,
    contrast: tuple[float, float] | None = None,
    memory: MemoryOptions | None = None,
    begin_later: bool = False,
) -> OpenedSession:
    """Reopen the session of a stack, or begin one.

    The session of ``cells.tif`` is ``cells.sam2`` beside it, where one can write there; that of its plane 7
    is ``cells Z7.sam2``. A folder that belongs to other pixels is left alone; the next one is
    ``cells-2.sam2``. Of several, the one used last is reopened. Its manifest then says how these frames are
    read: axes may have got other names since.

    Parameters
    ----------
    frames
        The stack.
    store, model
        As for ``AnnotationSession``; a reopened session has its own model.
    source, opening
        As for ``SessionFolder.create``.
    name
        What the session is called if it cannot be saved beside a file; None for the stack's name.
    scale
        Sizes of pixels, planes and frames, instead of those that the session or the file has.
    home
        Folder for what cannot be saved beside its file; None for :func:`user_sessions`.
    contrast, memory
        Intensity window of a session that begins, and what is remembered in it.
    begin_later
        Make the folder of a session that begins only when something is done in it: until then nothing is
        written, and nobody is kept away. If another process has begun the stack's session by then, the first
        action is refused with ``TakenError``. To open one so does not count as using it.

    Raises
    ------
    InputError
        If the stack's session is open elsewhere or damaged, or the frames or the model cannot be used.
    """
    source = None if source is None else Path(source)
    home = None if home is None else Path(home)
    opening = opening or {}
    name = Path(frames.name).stem if name is None else name
    stems = _stems(name, source, _place(opening), user_sessions() if home is None else home)
    new = {"contrast": contrast, **(memory or MemoryOptions()).given}
    for _ in range(_ATTEMPTS):
        with suppress(TakenError):  # another process has made it meanwhile: it is there to be opened now
            return _open_or_create(frames, store, model, stems, source, opening, scale, new, begin_later)
    raise InputError(f"Other processes make the session of {frames.name} all the time; try again later.")


def _open_or_create(
    frames: FrameSource,
    store: ModelStore,
    model: str,
    stems: list[Path],
    source: Path | None,
    opening: Mapping[str, Any],
    scale: PhysicalScale | None,
    new: Mapping[str, Any],
    begin_later: bool,
) -> OpenedSession:
    notes: list[str] = []
    existing = list(_sessions_of(frames, stems, _place(opening), source is not None, notes))
    if existing:
        return reopen_session(max(existing, key=_last_used), frames, store, opening, scale, begin_later)
    sizes = (scale or PhysicalScale()).filled(PhysicalScale.of(frames))
    session = AnnotationSession(frames, store, model, **new)
    opened = OpenedSession(session, None, sizes, note=next(iter(notes), None))
    places = [next(path for path in _numbered(stem) if not path.exists()) for stem in stems]
    described = describe_frames(frames, source, opening)
    session.history.before_action = _Beginning(opened, places, described)
    if not begin_later:
        opened.begin()
    return opened


class _Beginning:
    """The folder of a session that has none yet: made before an action, as soon as that can be done."""

    def __init__(self, opened: OpenedSession, places: list[Path], described: Mapping[str, Any]) -> None:
        self._opened, self._places, self._described = opened, places, described
        self._missed: list[Action] = []

    def __call__(self) -> None:
        opened, history = self._opened, self._opened.session.history
        errors: list[str] = []
        for path in self._places:
            try:
                folder = SessionFolder.create(
                    path, opened.session, scale=opened.scale, described=self._described
                )
            except TakenError:
                raise
            except InputError as error:
                errors.append(str(error))
            else:
                break
        else:
            if opened.save_error is None:
                history.subscribe(self._miss)
            opened.save_error = errors[0]
            return
        if opened.save_error is not None:
            history.unsubscribe(self._miss)
        opened.folder, opened.save_error, history.before_action = folder, None, None
        for action in self._missed:
            folder.record(action)

    def _miss(self, action: Action) -> None:
        self._missed.append(Action(action.name, action.call, ()))


def last_opening(
    open_as: Callable[[Mapping[str, Any]], FrameSource],
    name: str,
    source: str | Path | None = None,
    home: str | Path | None = None,
    *,
    across: bool = False,
) -> Mapping[str, Any] | None:
    """Return the options with which a stack was read in the session of it that was used last, if any.

    The user may have corrected the axes, or chosen one channel.

    Parameters
    ----------
    open_as
        Opens the stack with such options; raises ``InputError`` if they do not fit.
    name, source, home
        As for :func:`open_or_create_session`.
    across
        Whether sessions of a volume that was cut along Y or X count, too.
    """
    source = None if source is None else Path(source)
    home = None if home is None else Path(home)
    cut = r"( along [YX])?" if across else ""
    paths: list[Path] = []
    for stem in _stems(name, source, "", user_sessions() if home is None else home):
        same = re.compile(re.escape(stem.name) + rf"( [A-Z]\d+)*{cut}(-\d+)?" + re.escape(SUFFIX))
        paths += [path for path in stem.parent.glob(f"*{SUFFIX}") if same.fullmatch(path.name)]
    for path in sorted(paths, key=_last_used, reverse=True):
        # One that is damaged or another stack's is passed over.
        with suppress(InputError, KeyError, TypeError, ValueError, AttributeError):
            described = read_manifest(path)["frames"]
            check_frames(open_as(described["opening"]), described, path)
            return dict(described["opening"])
    return None


def _place(opening: Mapping[str, Any]) -> str:
    """Return where in its stack a session is, as names of folders have it: ``" Z3"``, ``" along Y"``."""
    position = "".join(f" {axis}{index}" for axis, index in sorted(opening.get("fixed", {}).items()))
    return position + (f" along {opening['along']}" if opening.get("along") else "")


def _stems(name: str, source: Path | None, place: str, home: Path) -> list[Path]:
    """Return the paths of the folders that may hold a session, without number and suffix, the best first."""
    stems = [home / (re.sub(r"[^\w. -]+", "_", name + place).strip(" .") or "session")]
    return stems if source is None else [source.with_name(source.stem + place), *stems]


def _sessions_of(
    frames: FrameSource, stems: list[Path], place: str, has_file: bool, notes: list[str]
) -> Iterator[Path]:
    """Yield the session folders of these very frames, and add to ``notes`` why another one is none of them.

    A folder beside the stack's file is expected to be the stack's; one in the user's own folder has only the
    same name.
    """
    rest = "a new session begins, and that folder stays as it is."
    for stem in stems:
        for path in _numbered(stem):
            clear_leftovers(path)
            if not path.exists() or is_half_made(path):
                continue
            try:
                described = read_manifest(path)["frames"]
                same_position = _place(described["opening"]) == place
            except (InputError, KeyError, AttributeError) as error:
                reason = str(error) if isinstance(error, InputError) else f"{path} is damaged."
                notes.append(f"{reason[:-1]}; {rest}")
                continue
            try:
                check_frames(frames, described, path)
            except InputError:
                if has_file and stem is stems[0] and same_position:
                    notes.append(f"{path} was made on other pixels than {frames.name} has now; {rest}")
            else:
                if same_position:
                    yield path


def reopen_session(
    path: Path,
    frames: FrameSource,
    store: ModelStore,
    opening: Mapping[str, Any] | None = None,
    scale: PhysicalScale | None = None,
    begin_later: bool = False,
) -> OpenedSession:
    """Open the session of a folder; where nothing can be written, without saving it.

    Parameters
    ----------
    path, frames, store
        As for :func:`open_session`.
    opening
        How the frames are read now, to be remembered; None to leave that as it is.
    scale, begin_later
        As for :func:`open_or_create_session`.

    Raises
    ------
    InputError
        If it is open elsewhere or damaged, or the frames are not its own.
    """
    try:
        session, folder = open_session(path, store, frames)
    except NotWritableError as error:
        saved = scale_in(read_manifest(path), frames)
        session = read_session(path, store, frames)
        return OpenedSession(
            session, None, scale.filled(saved) if scale else saved, reopened=True, save_error=str(error)
        )
    sizes = folder.scale if scale is None else scale.filled(folder.scale)

    def begin() -> None:
        session.history.before_action = None
        with suppress(OSError):  # exports of the folder then have the axes and sizes of before
            folder.mark_used()
            if opening is not None:
                folder.set_reading(opening)
            folder.set_scale(sizes)

    session.history.before_action = begin
    if not begin_later:
        begin()
    return OpenedSession(session, folder, sizes, reopened=True)


def _last_used(path: Path) -> float:
    times = [0.0]
    for file in path.glob("*.json*"):
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return max(times)


def _numbered(stem: Path) -> Iterator[Path]:
    """Yield ``cells.sam2``, ``cells-2.sam2`` and so on, ending after the first that is not there."""
    for number in count(1):
        path = stem.with_name(stem.name + (f"-{number}" if number > 1 else "") + SUFFIX)
        yield path
        if not path.exists():
            return
