"""``sam2 track``: objects through a video, a time-lapse or a volume."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sam2_engine.errors import InputError
from sam2_plugins.batch.job import FileJob, Reading, Writing
from sam2_plugins.batch.session_job import TrackSessionJob
from sam2_plugins.batch.track_job import TrackJob
from sam2_plugins.cli.commands.many_files import EachOption, SchedulerOption, output_of, run_jobs, takes_many
from sam2_plugins.cli.commands.options import (
    AlongOption,
    AxesOption,
    BomOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    OverwriteOption,
    SeriesOption,
    SessionModelOption,
    TableOption,
    examples,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.storage import is_session_folder

__all__ = ["register"]

SESSION_SUFFIX = ".sam2"

LabelStackOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="TIFF", help="Label stack to write: object ids, 0 is background."),
]
SessionOption = Annotated[
    Path | None,
    typer.Option(
        "--session",
        metavar="FOLDER",
        help="Keep it as a session, to go on with and correct; one that is there is gone on with.",
    ),
]
MasksOption = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        metavar="LABELS",
        help="Labels of the first frame (0, or --start), or a stack, whose empty frames are tracked.",
    ),
]
PromptsOption = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="JSON", help="Clicks and boxes on any frames; corrections of --masks."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 track cells.tif --masks labels_of_frame_0.tif -o labels.tif --csv cells.csv",
            "sam2 track video.mp4 --prompts clicks.json -o labels.tif",
            "sam2 track cells.tif --prompts clicks.json --session cells.sam2",
            "sam2 track stacks/*.tif --each --masks seeds/ --session sessions/",
        )
    )(track)


def track(
    frames: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRAMES", help="A video, a TIFF or OME-Zarr stack, or a folder of images; or several."
        ),
    ],
    output: LabelStackOption = None,
    session: SessionOption = None,
    masks: MasksOption = None,
    prompts: PromptsOption = None,
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
    model: SessionModelOption = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    along: AlongOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
    each: EachOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Track objects from frame to frame, from masks or clicks and boxes; Ctrl-C keeps finished frames."""
    if session is None and masks is None and prompts is None:
        raise InputError("Say what to track, with --masks LABELS, --prompts JSON, or both.")
    if session is None and output is None:
        raise InputError("Say where the result goes, with -o labels.tif, --session cells.sam2, or both.")
    if session is not None and len(frames) > 1 and is_session_folder(session):
        raise InputError(f"{session} is a session; {len(frames)} files need a folder for theirs.")
    reading = Reading(axes, channel, parse_fixed(fixed), series, level, parse_contrast(contrast), along)
    many = takes_many(frames, each, scheduler)
    common: dict[str, Any] = {
        **{"masks": masks, "prompts": prompts, "start": start, "stop": stop, "reverse": reverse},
        **{"model": model, "reading": reading, "writing": Writing(overwrite, bom)},
    }
    jobs = [_job(source, frames, output, session, csv, many, common) for source in frames]
    run_jobs(jobs, many=many, scheduler=scheduler, device=device)


def _job(
    source: Path,
    sources: list[Path],
    output: Path | None,
    session: Path | None,
    csv: Path | None,
    many: bool,
    common: dict[str, Any],
) -> FileJob:
    """Return the job of one of some stacks: in a session, or into a label stack alone."""
    labels = None if output is None else output_of(source, sources, output, TIFF_SUFFIXES, many)
    table = None if csv is None else output_of(source, sources, csv, CSV_SUFFIXES, many)
    if session is None:
        assert labels is not None
        return TrackJob(source, labels, csv=table, **common)
    folder = output_of(source, sources, session, (SESSION_SUFFIX,), many and not is_session_folder(session))
    return TrackSessionJob(source, folder, labels=labels, csv=table, **common)
