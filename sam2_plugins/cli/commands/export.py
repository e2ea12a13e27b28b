"""``sam2 export``: a session as label images, tracks, measurements, or a folder to train on."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_engine.frames.spacing.units import LENGTH_UNITS, TIME_UNITS
from sam2_plugins.batch.export_job import ExportJob
from sam2_plugins.batch.job import Writing
from sam2_plugins.cli.commands.many_files import EachOption, SchedulerOption, output_of, run_jobs, takes_many
from sam2_plugins.cli.commands.options import (
    BomOption,
    IntervalOption,
    OverwriteOption,
    PixelSizeOption,
    PlaneSpacingOption,
    examples,
    needs,
    parse_quantity,
)
from sam2_plugins.export.formats import FORMATS, format_for

__all__ = ["register"]


def _needs() -> str:
    """Return what the help text says of formats that need an extra."""
    optional = [one for one in FORMATS.values() if one.extra]
    return " ".join(f"{one.name} {needs(one.extra, *one.modules)}." for one in optional)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 export cells.sam2 -o cells.csv --pixel-size 0.65,µm --interval 5,min",
            "sam2 export cells.sam2 -o 01_RES --format ctc",
            "sam2 export sessions/*.sam2 --each --format coco -o annotations/",
        )
    )(export)


def export(
    session: Annotated[list[Path], typer.Argument(metavar="SESSION", help="A session folder, or several.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PATH", help="The file or folder to write.")
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"One of {', '.join(FORMATS)}; by default what the ending says. {_needs()}",
        ),
    ] = "",
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="FRAMES", help="Its frames, if they are no longer where they were."),
    ] = None,
    pixel_size: PixelSizeOption = None,
    interval: IntervalOption = None,
    plane_spacing: PlaneSpacingOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
    each: EachOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Write the objects of a session to a file or folder of some format."""
    chosen = format_for(output, format_name)
    if bom and chosen.name != "csv":
        raise InputError(f"--bom is for tables, but {output} will be {chosen.title}; leave it out.")
    pixel = parse_quantity(pixel_size, "--pixel-size", LENGTH_UNITS)
    time = parse_quantity(interval, "--interval", TIME_UNITS)
    planes = parse_quantity(plane_spacing, "--plane-spacing", LENGTH_UNITS)
    many = takes_many(session, each, scheduler)
    jobs = [
        ExportJob(
            source,
            output_of(source, session, output, (chosen.suffix,), many),
            chosen.name,
            frames,
            pixel,
            time,
            planes,
            writing=Writing(overwrite, bom),
        )
        for source in session
    ]
    run_jobs(jobs, many=many, scheduler=scheduler, device="cpu")
