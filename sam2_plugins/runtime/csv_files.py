"""Tables as CSV: UTF-8, commas, one line of names first."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from sam2_plugins.runtime.atomic_files import new_file

__all__ = ["CSV_SUFFIXES", "Value", "format_cell", "print_csv", "write_csv"]

CSV_SUFFIXES = (".csv",)

Value = int | float | str | None
"""One cell; None where there is nothing to say."""


def write_csv(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[Value]],
    *,
    overwrite: bool = False,
    bom: bool = False,
) -> None:
    """Write a table to a file.

    Parameters
    ----------
    path, header, rows
        Where, the names of the columns, and the cells.
    overwrite
        Whether a file that is there may be replaced.
    bom
        Whether a byte order mark comes first, by which Excel tells UTF-8.

    Raises
    ------
    InputError
        If the file exists and may not be replaced, or cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_csv(Path(folder) / "a.csv", ["frame", "area (µm²)"], [[0, 25.0], [1, None]])
    ...     (Path(folder) / "a.csv").read_text(encoding="utf-8").splitlines()
    ['frame,area (µm²)', '0,25', '1,']
    """
    with (
        new_file(path, suffixes=CSV_SUFFIXES, overwrite=overwrite) as aside,
        aside.open("w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file,
    ):
        print_csv(file, header, rows)


def print_csv(
    file: TextIO, header: Sequence[str], rows: Iterable[Sequence[Value]], lineterminator: str = "\r\n"
) -> None:
    """Write a table to a stream."""
    writer = csv.writer(file, lineterminator=lineterminator)
    writer.writerow(header)
    for row in rows:
        writer.writerow(map(format_cell, row))


def format_cell(value: Value) -> str:
    """Return a value as it stands in a table."""
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
