"""Files that another program put into the place of a session's, moved into a folder within."""

import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from sam2_engine.disk import remove_folder
from sam2_plugins.storage.creation import LOCK
from sam2_plugins.storage.journal import Journal

__all__ = ["SetAside"]

_FOUND = re.compile(r"found-\d+")


class SetAside:
    """All files of a folder but its lock, moved into ``found-1`` or the next that is free.

    Attributes
    ----------
    found
        Where they are now; None if there were none.

    Raises
    ------
    OSError
        If they cannot be moved; all of them are in their place then.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "state.json").write_text("older")
    >>> aside = SetAside(folder)
    >>> (aside.found / "state.json").read_text(), (folder / "state.json").exists()
    ('older', False)
    >>> aside.put_back([])
    >>> (folder / "state.json").read_text()
    'older'
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        files = [file for file in path.iterdir() if file.name != LOCK and not _FOUND.fullmatch(file.name)]
        self.found: Path | None = None
        if not files:
            return
        self.found = next(found for number in count(1) if not (found := path / f"found-{number}").exists())
        self.found.mkdir()
        try:
            for file in files:
                file.rename(self.found / file.name)
        except OSError:
            self.put_back([])
            raise

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls that the files still hold, from the first on, as far as none is missing."""
        calls: dict[int, dict[str, Any]] = {}
        if self.found is None:
            return []
        for name in ("actions.jsonl", "journal.jsonl"):
            for entry in Journal(self.found / name).read():
                calls[entry["number"]] = {"number": entry["number"], "call": entry.get("call", {"do": ""})}
        return [calls[number] for number in takewhile(calls.__contains__, count(1))]

    def put_back(self, written: Iterable[str]) -> None:
        """Move the files back, in place of those that were written since."""
        for file in (self._path / name for name in written):
            with suppress(OSError):
                if file.is_dir() and not file.is_symlink():
                    remove_folder(file)
                else:
                    file.unlink(missing_ok=True)
        if self.found is not None:
            with suppress(OSError):
                for file in self.found.iterdir():
                    file.rename(self._path / file.name)
                self.found.rmdir()
