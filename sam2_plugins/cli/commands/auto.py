"""``sam2 auto``: every object of one image, without a prompt."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_plugins.batch.auto_job import AutoJob
from sam2_plugins.batch.job import Reading, Writing
from sam2_plugins.cli.commands.many_files import EachOption, SchedulerOption, output_of, run_jobs, takes_many
from sam2_plugins.cli.commands.options import (
    AxesOption,
    BomOption,
    ChannelOption,
    ConfidenceOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    MinAreaOption,
    ModelOption,
    OutputOption,
    OverwriteOption,
    PointsPerSideOption,
    SeriesOption,
    TableOption,
    examples,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.session.automatic_segmentation import AutomaticSettings

__all__ = ["register"]

DEFAULTS = AutomaticSettings()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 auto coins.png -o coins_labels.tif --csv coins.csv",
            "sam2 auto slides/*.png --each -o labels/ --points-per-side 64",
        )
    )(auto)


def auto(
    image: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="An image file, or several.")],
    output: OutputOption,
    confidence: ConfidenceOption = DEFAULTS.confidence,
    min_area: MinAreaOption = DEFAULTS.min_area,
    max_objects: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, the surest.")] = 2**16
    - 1,
    points_per_side: PointsPerSideOption = DEFAULTS.points_per_side,
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
    """Find everything on an image, without a prompt; a large one in tiles, then joined."""
    reading = Reading(axes, channel, parse_fixed(fixed), series, level, parse_contrast(contrast))
    settings = AutomaticSettings(confidence, min_area, max_objects, points_per_side)
    many = takes_many(image, each, scheduler)
    jobs = [
        AutoJob(
            source,
            output_of(source, image, output, TIFF_SUFFIXES, many),
            settings,
            model,
            reading,
            csv=None if csv is None else output_of(source, image, csv, CSV_SUFFIXES, many),
            writing=Writing(overwrite, bom),
        )
        for source in image
    ]
    run_jobs(jobs, many=many, scheduler=scheduler, device=device)
