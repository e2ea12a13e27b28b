"""Tables that a command prints, as CSV for other programs: into a file, or on standard output."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES, Value, print_csv, write_csv

__all__ = ["STANDARD_OUTPUT", "CsvOption", "check_table", "print_table", "save_table"]

STANDARD_OUTPUT = Path("-")

CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="CSV", help="Also write the table; - is standard output.")
]


def check_table(path: Path | None, overwrite: bool) -> None:
    """Refuse, before any work, a table that cannot be written.

    Raises
    ------
    InputError
        If there is such a file and it may not be replaced, or it cannot be written there.
    """
    if path is not None and path != STANDARD_OUTPUT:
        check_output(path, suffixes=CSV_SUFFIXES, overwrite=overwrite)


def print_table(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Print a table for people."""
    table = Table(box=None, pad_edge=False, header_style=None)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console(highlight=False, markup=False).print(table)


def save_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Value]], *, bom: bool) -> None:
    """Write a table that was checked before, and say where it is; or print it."""
    if path == STANDARD_OUTPUT:
        print_csv(typer.get_text_stream("stdout"), header, rows, lineterminator="\n")
        return
    write_csv(path, header, rows, overwrite=True, bom=bom)
    typer.echo(f"{path}")
