"""A journal of JSON lines, in which a line that a crash or a full disk cut short does not count.

What follows a damaged line does not count either, and is not written over by itself.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2_engine.disk import replacing
from sam2_plugins.storage.serialization import to_text

__all__ = ["Journal"]

_BLOCK = 1 << 16


class Journal:
    """A file of numbered entries, one per line.

    Parameters
    ----------
    path
        The file; made when the first entry is added.

    Attributes
    ----------
    damaged_line
        Number of the first damaged line, as of the last time that the file was read; None if there is none.

    Examples
    --------
    >>> import tempfile
    >>> journal = Journal(Path(tempfile.mkdtemp()) / "journal.jsonl")
    >>> journal.add([{"number": 1}, {"number": 2}])
    >>> [entry["number"] for entry in journal.read()]
    [1, 2]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end: int | None = None
        self.damaged_line: int | None = None

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def is_blocked(self) -> bool:
        """Whether something else is in the file's place: a folder, a broken link, a pipe that never ends."""
        return os.path.lexists(self.path) and not self.path.is_file()

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the entries up to the first that is damaged.

        A last line without its end is left out, and overwritten by the next one.
        """
        self._end, self.damaged_line = 0, None
        if self.is_blocked:
            self.damaged_line = 1
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                entry = _entry(line)
                if entry is None:
                    self.damaged_line = number
                    return
                self._end += len(line)
                yield entry

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add entries, all or none.

        Raises
        ------
        OSError
            If they cannot be written; the file then ends where it ended before.
        """
        if self._end is None:
            self._end = _end_of_lines(self.path) if self.path.exists() else 0
        text = "".join(to_text(entry, separators=(",", ":")) + "\n" for entry in entries).encode()
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            end = self._end
            file.truncate(end)
            file.seek(end)
            try:
                file.write(text)
                file.flush()
            except OSError:
                file.truncate(end)
                raise
        self._end = end + len(text)

    def drop(self, end: int) -> None:
        """Remove what stands before a position, where a line ends; later entries stay.

        Raises
        ------
        OSError
            If they cannot be written; the file then is as before.
        """
        rest = b""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(end)
                rest = file.read()
        if rest:
            with replacing(self.path) as aside:
                aside.write_bytes(rest)
        else:
            self.path.unlink(missing_ok=True)
        self._end, self.damaged_line = len(rest), None


def _end_of_lines(path: Path) -> int:
    """Return where the last whole line of a file ends, without reading the others."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return the entry that a line holds, None if it holds none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("number"), int) else None
