"""``sam2 masklets make``: the masklets of many videos."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_plugins.batch.job import Reading, Writing
from sam2_plugins.batch.naming import check_names_differ
from sam2_plugins.cli.commands.many_files import SchedulerOption, run_jobs
from sam2_plugins.cli.commands.options import (
    AlongOption,
    AxesOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    ModelOption,
    SeriesOption,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.masklets.masklet_job import MaskletJob
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.masklets.videos import videos_in

__all__ = ["make"]

DEFAULTS = MaskletSettings()
VideosArgument = Annotated[
    list[Path],
    typer.Argument(metavar="VIDEOS", help="Videos, stacks and folders of images, or folders of these."),
]
DatasetOption = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="DATASET", help="The data set's folder; one is gone on with."),
]
KeyFramesOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Frames on which objects are looked for, evenly spread.")
]
PointsOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="Clicks per side of the grid on a whole frame.")
]
CropLayersOption = Annotated[
    int,
    typer.Option(min=0, max=2, metavar="0..2", help="Also 2 x 2 (1), and 4 x 4 (2) zoomed crops of it."),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(metavar="0..1", help="Least score of a mask where it is found. By default the model's own."),
]
MinAreaOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Leave out masklets, components and holes below this.")
]
MaxOverlapOption = Annotated[
    float, typer.Option(min=0, max=1, metavar="0..1", help="IoU above which two masklets are one.")
]
MinStabilityOption = Annotated[
    float | None,
    typer.Option(metavar="0..1", help="Least mean stability of a masklet. By default the model's own."),
]
MaxMaskletsOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="At most so many per video, the best.")
]
AgainOption = Annotated[
    bool,
    typer.Option("--again", help="Search videos that are done again; what people decided on stays."),
]


def make(
    videos: VideosArgument,
    output: DatasetOption,
    key_frames: KeyFramesOption = DEFAULTS.key_frames,
    points_per_side: PointsOption = DEFAULTS.points_per_side,
    crop_layers: CropLayersOption = DEFAULTS.crop_layers,
    confidence: ConfidenceOption = DEFAULTS.confidence,
    min_area: MinAreaOption = DEFAULTS.min_area,
    max_overlap: MaxOverlapOption = DEFAULTS.max_overlap,
    min_stability: MinStabilityOption = DEFAULTS.min_stability,
    max_masklets: MaxMaskletsOption = DEFAULTS.max_masklets,
    again: AgainOption = False,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    along: AlongOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
    scheduler: SchedulerOption = None,
) -> None:
    """Find the masklets of videos: grids of clicks, tracked both ways; what is done already is left alone."""
    settings = MaskletSettings(
        key_frames,
        points_per_side,
        crop_layers,
        confidence,
        min_area,
        max_overlap,
        min_stability,
        max_masklets,
    )
    reading = Reading(axes, channel, parse_fixed(fixed), series, level, parse_contrast(contrast), along)
    sources = videos_in(videos)
    check_names_differ(sources)
    if any(source.resolve().is_relative_to(output.resolve()) for source in sources):
        raise InputError(f"{output} is the data set itself; give the videos that it is made from.")
    jobs = [
        MaskletJob(source, output, settings, model, reading, again, writing=Writing()) for source in sources
    ]
    run_jobs(jobs, many=True, scheduler=scheduler, device=device)
