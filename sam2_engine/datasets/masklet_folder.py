"""Verdicts of a data set of masklets that its annotations do not show yet.

``sam2 masklets`` keeps a session beside every video, in which any program may take a verification back. What
is verified there decides, so annotations that were written from another state of a session are out of date.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

__all__ = ["late_videos", "session_state"]

_FOUND, _UNSETTLED, _SETTLED, _SESSION = "found", ".unsettled", ".settled", ".sam2"
_STATE = ("state.json", "journal.jsonl")


def session_state(session: Path) -> str:
    """Return a digest of the state of a session folder; the same as long as nothing is done in it.

    Examples
    --------
    >>> session_state(Path("none.sam2"))
    ''
    """
    if not session.is_dir():
        return ""
    digest = hashlib.blake2b(digest_size=16)
    for name in _STATE:
        with suppress(OSError):
            digest.update((session / name).read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def late_videos(folder: Path) -> list[str]:
    """Return the names of the videos of a data set whose annotations are out of date, sorted.

    Because somebody is verifying them, or was broken off, or because their session has changed since.
    """
    late = {path.name.removesuffix(_UNSETTLED) for path in (folder / _FOUND).glob(f"*{_UNSETTLED}")}
    for path in (folder / _FOUND).glob(f"*{_SETTLED}"):
        name = path.name.removesuffix(_SETTLED)
        state = session_state(folder / f"{name}{_SESSION}")
        if state and state != path.read_text(encoding="utf-8").strip():
            late.add(name)
    return sorted(late)
