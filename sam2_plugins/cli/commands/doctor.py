"""``sam2 doctor``: a report of the machine."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.disk import replacing
from sam2_plugins.cli.commands.options import OverwriteOption, examples
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.machine_report import machine_report

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("sam2 doctor -o report.txt"))(doctor)


def doctor(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="TXT", help="Also write it to a file.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Say what this machine has: versions, device, kernels, memory and space, for a report of a fault."""
    if output is not None:
        check_output(output, suffixes=(".txt", ".md"), overwrite=overwrite)
    parts = ("\n".join((title, *(f"  {line}" for line in lines))) for title, lines in machine_report())
    text = "\n\n".join(parts)
    typer.echo(text)
    if output is not None:
        with replacing(output) as aside:
            aside.write_text(text + "\n", encoding="utf-8")
        typer.echo(f"\n{output}")
