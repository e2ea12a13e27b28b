"""Where sessions are kept when nobody said where: beside the stack, or in the user's own folder."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import platformdirs

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_plugins.annotation_session import AnnotationSession
from sam2_plugins.model_store import ModelStore
from sam2_plugins.storage.session_folder import SessionFolder, belongs_to, open_session

__all__ = ["KeptSession", "keep_session", "user_sessions"]

SUFFIX = ".sam2"


@dataclass(frozen=True)
class KeptSession:
    """A session and where it is kept.

    Attributes
    ----------
    session
        New, or as it was left.
    folder
        None if it could not be kept.
    reopened
        Whether it was there before.
    trouble
        In a sentence, why it is not kept.
    """

    session: AnnotationSession
    folder: SessionFolder | None
    reopened: bool = False
    trouble: str | None = None


def user_sessions() -> Path:
    """Return the folder for sessions of stacks that are no files; ``SAM2_SESSIONS`` names another one."""
    given = os.environ.get("SAM2_SESSIONS")
    return Path(given) if given else platformdirs.user_data_path("sam2-plugins", appauthor=False) / "sessions"


def keep_session(
    frames: FrameSource,
    store: ModelStore,
    model: str,
    *,
    source: Path | None = None,
    opening: Mapping[str, Any] | None = None,
    name: str | None = None,
    home: Path | None = None,
    anew: bool = False,
) -> KeptSession:
    """Go on with the session of a stack, or begin one.

    The session of ``cells.tif`` is ``cells.sam2`` beside it, where one can write there. A folder that belongs
    to other pixels is left alone; the next one is ``cells-2.sam2``. Of several, the one used last goes on.

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
    home
        Folder for what cannot be kept beside its file; None for :func:`user_sessions`.
    anew
        Begin a new session, and leave earlier ones as they are.

    Raises
    ------
    InputError
        If the stack's session is open elsewhere or damaged, or the frames or the model cannot be used.
    """
    home = user_sessions() if home is None else home
    called = Path(frames.name).stem if name is None else name
    places = [home / (re.sub(r"[^\w. -]+", "_", called).strip(" .") or "session")]
    if source is not None:
        places.insert(0, source.with_name(source.stem))
    if not anew:
        there = [path for place in places for path in _numbered(place) if path.exists()]
        if own := [path for path in there if belongs_to(path, frames)]:
            session, folder = open_session(max(own, key=_last_used), store, frames)
            return KeptSession(session, folder, reopened=True)
    session = AnnotationSession(frames, store, model)
    trouble = None
    for place in places:
        path = next(path for path in _numbered(place) if not path.exists())
        try:
            folder = SessionFolder.create(path, session, source=source, opening=opening)
        except InputError as error:
            trouble = trouble or str(error)
        else:
            return KeptSession(session, folder)
    return KeptSession(session, None, trouble=trouble)


def _last_used(path: Path) -> float:
    return max((file.stat().st_mtime for file in path.glob("*.json*")), default=0.0)


def _numbered(place: Path) -> Iterator[Path]:
    """Yield ``cells.sam2``, ``cells-2.sam2`` and so on, ending after the first that is not there."""
    for number in count(1):
        path = place.with_name(place.name + (f"-{number}" if number > 1 else "") + SUFFIX)
        yield path
        if not path.exists():
            return
