"""Files as they were left, by which one notices that another program has changed them."""

import stat
from collections.abc import Iterable
from pathlib import Path

__all__ = ["KnownFiles"]

Signature = tuple[int, int, int] | None
_UNLIKE_ANY = (-1, -1, -1)


class KnownFiles:
    """Some files of a folder as they were after the last time that this program wrote them.

    Of a folder within, only which one it is: what lies in it changes.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> known = KnownFiles(folder, ["state.json"])
    >>> _ = (folder / "state.json").write_text("{}")
    >>> known.changed
    ['state.json']
    >>> known.remember()
    >>> known.changed
    []
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self._names = tuple(names)
        self.remember()

    def remember(self) -> None:
        """Take the files as they are now."""
        self._folder = _identity(self.folder)
        self._seen = {name: _signature(self.folder / name) for name in self._names}

    def forget(self) -> None:
        """Take the files as changed, whatever they are."""
        self._seen = dict.fromkeys(self._names, _UNLIKE_ANY)

    @property
    def changed(self) -> list[str]:
        """Names of the files that are other ones; all of them if the folder is another one, or gone."""
        if not self.is_same_folder:
            return list(self._names)
        return [name for name, seen in self._seen.items() if _signature(self.folder / name) != seen]

    @property
    def is_same_folder(self) -> bool:
        """Whether the folder is still there, and is no other one."""
        return self._folder is not None and _identity(self.folder) == self._folder


def _signature(path: Path) -> Signature:
    """Return identity, size and time of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return found.st_ino, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
