"""``sam2 track``: objects through a video, a time-lapse or a volume."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_plugins.batch.job import Reading, Writing
from sam2_plugins.batch.track_job import TrackJob
from sam2_plugins.cli.commands.many_files import EachOption, SchedulerOption, output_of, run_jobs, takes_many
from sam2_plugins.cli.commands.options import (
    AxesOption,
    BomOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    ModelOption,
    OutputOption,
    OverwriteOption,
    SeriesOption,
    TableOption,
    examples,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 track cells.tif --masks labels_of_frame_0.tif -o labels.tif --csv cells.csv",
            "sam2 track video.mp4 --prompts clicks.json -o labels.tif",
            "sam2 track stacks/*.tif --each --masks seeds/ -o labels/",
        )
    )(track)


def track(
    frames: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRAMES", help="A video, a TIFF or OME-Zarr stack, or a folder of images; or several."
        ),
    ],
    output: OutputOption,
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks", metavar="LABELS", help="Label image of the first frame: frame 0, or --start."
        ),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="JSON", help="Clicks and boxes on any frames.")
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="First frame; by default the earliest prompted one."),
    ] = None,
    stop: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Last frame, included; by default the end.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Go backwards.")] = False,
    csv: TableOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
    each: EachOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Track objects from frame to frame, from masks or clicks and boxes; Ctrl-C keeps finished frames."""
    if (masks is None) == (prompts is None):
        raise InputError("Say what to track, with either --masks LABELS or --prompts JSON.")
    reading = Reading(axes, channel, parse_fixed(fixed), series, level, parse_contrast(contrast))
    many = takes_many(frames, each, scheduler)
    jobs = [
        TrackJob(
            source,
            output_of(source, frames, output, TIFF_SUFFIXES, many),
            masks=masks,
            prompts=prompts,
            csv=None if csv is None else output_of(source, frames, csv, CSV_SUFFIXES, many),
            start=start,
            stop=stop,
            reverse=reverse,
            model=model,
            reading=reading,
            writing=Writing(overwrite, bom),
        )
        for source in frames
    ]
    run_jobs(jobs, many=many, scheduler=scheduler, device=device)
