"""A journal of JSON lines, in which a line that a crash or a full disk cut short does not count."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputError

__all__ = ["Journal"]


class Journal:
    """A file of numbered entries, one per line.

    Parameters
    ----------
    path
        The file; made when the first entry is added.

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

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the entries; a last line without its end is left out, and overwritten by the next one.

        Raises
        ------
        InputError
            If a line before the last one is damaged.
        """
        self._end = 0
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    entry = json.loads(line)
                except ValueError:
                    raise InputError(
                        f"{self.path}, line {number}, is damaged; a copy of the folder without that line and "
                        "all after it opens."
                    ) from None
                self._end += len(line)
                yield entry

    def add(self, entries: list[Mapping[str, Any]]) -> None:
        """Add entries, all or none.

        Raises
        ------
        OSError
            If they cannot be written; the file then ends where it ended before.
        """
        if self._end is None:
            for _ in self.read():
                pass
        text = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries).encode()
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            end = self._end or 0
            file.truncate(end)
            file.seek(end)
            try:
                file.write(text)
                file.flush()
            except OSError:
                file.truncate(end)
                raise
        self._end = end + len(text)

    def clear(self) -> None:
        """Remove all entries."""
        self.path.unlink(missing_ok=True)
        self._end = 0
