"""``sam2 export``: a session as label images, tracks, measurements, or a folder to train on."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_engine.wording import counted
from sam2_plugins.cli.commands.options import parse_quantity
from sam2_plugins.cli.commands.terminal import print_stderr, run_with_progress_bar
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.export.targets import ExportSummary
from sam2_plugins.measure.physical_scale import LENGTH_UNITS, TIME_UNITS, PhysicalScale
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.storage import read_manifest, read_session
from sam2_plugins.storage.manifest import scale_in

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
        typer.Option(
            "--pixel-size",
            metavar="SIZE,UNIT",
            help="Side of a pixel, as 0.65,µm; by default the session's.",
        ),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval",
            metavar="TIME,UNIT",
            help="From frame to frame, as 5,min; else the session's.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> None:
    """Write the objects of a session to a file or folder of some format."""
    chosen = _format(format_name, output)
    annotated = read_session(session, ModelStore("cpu"), frames)
    with annotated.frames:
        scale = _scale(scale_in(read_manifest(session)), pixel_size, interval)
        steps = FORMATS[chosen].write(annotated, output, scale, overwrite)
        summary = run_with_progress_bar(steps, len(annotated), "exporting")
    _report(summary)


def _scale(known: PhysicalScale, pixel_size: str | None, interval: str | None) -> PhysicalScale:
    """Return the sizes that the session knows, but what the user says instead."""
    lengths = parse_quantity(pixel_size, "--pixel-size", LENGTH_UNITS)
    time = parse_quantity(interval, "--interval", TIME_UNITS)
    if lengths is not None:
        size, unit = lengths
        known = replace(known, pixel_size=(size, size), unit=unit, plane_spacing=1.0)
    if time is not None:
        known = replace(known, frame_interval=time[0], time_unit=time[1])
    return known


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
        print_stderr(f"Note: {sentence}")
    typer.echo(f"{summary.path}: {counted(summary.frames, 'frame')}, {counted(summary.objects, 'object')}")
