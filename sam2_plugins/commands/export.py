"""``sam2 export``: a session folder as label images, tracks, measurements, or a folder to train on."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.commands.options import parse_quantity
from sam2_plugins.commands.terminal import followed, note
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.export.targets import ExportSummary
from sam2_plugins.model_store import ModelStore
from sam2_plugins.physical_scale import PhysicalScale
from sam2_plugins.readable_session import Steps
from sam2_plugins.storage import open_session

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    session: Annotated[Path, typer.Argument(metavar="SESSION", help="A session folder.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATH", help="The file or folder to write.")
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help=f"One of {', '.join(FORMATS)}; by default what the ending says."
        ),
    ] = "",
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="FRAMES", help="Its frames, if they are no longer where they were."),
    ] = None,
    pixel_size: Annotated[
        str | None,
        typer.Option("--pixel-size", metavar="SIZE,UNIT", help="Side of a pixel, for example 0.65,µm."),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option("--interval", metavar="TIME,UNIT", help="From frame to frame, for example 5,min."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write what is known in a session to a file or folder of some format."""
    chosen = _format(format_name, output)
    size, unit = parse_quantity(pixel_size, "--pixel-size") or (1.0, "pixel")
    time, time_unit = parse_quantity(interval, "--interval") or (1.0, "frame")
    scale = PhysicalScale((size, size), unit, time, time_unit)
    given = None if frames is None else open_frames(frames)
    try:
        kept, folder = open_session(session, ModelStore("cpu"), given)
        try:
            steps = Steps(FORMATS[chosen].write(kept, output, scale, overwrite))
            for _ in followed(steps, len(kept), "exporting"):
                pass
        finally:
            folder.close()
    finally:
        if given is not None:
            given.close()
    _report(steps.result)


def _format(name: str, output: Path) -> str:
    if name:
        if name not in FORMATS:
            raise InputError(f"There is no format {name!r}; the known ones are: {', '.join(FORMATS)}.")
        return name
    endings = sorted((one for one in FORMATS.values() if one.suffix), key=lambda one: -len(one.suffix))
    for one in endings:
        if output.name.lower().endswith(one.suffix):
            return one.name
    raise InputError(f"{output} does not tell its format; add --format with one of {', '.join(FORMATS)}.")


def _report(summary: ExportSummary) -> None:
    for sentence in summary.changes:
        note(f"Note: {sentence}")
    typer.echo(f"{summary.path}: {summary.frames} frames, {summary.objects} objects")
