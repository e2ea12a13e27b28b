"""``sam2 track``: objects through a video, a time-lapse or a volume."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sam2_engine.errors import InputError
from sam2_plugins.batch.everything_job import EverythingJob, EverythingSessionJob
from sam2_plugins.batch.job import FileJob, Reading, Writing
from sam2_plugins.batch.session_job import TrackSessionJob
from sam2_plugins.batch.track_job import TrackJob
from sam2_plugins.cli.commands.many_files import EachOption, SchedulerOption, output_of, run_jobs, takes_many
from sam2_plugins.cli.commands.options import (
    AlongOption,
    AxesOption,
    BomOption,
    ChannelOption,
    ConfidenceOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    MinAreaOption,
    OverwriteOption,
    PointsPerSideOption,
    SeriesOption,
    SessionModelOption,
    TableOption,
    examples,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.storage import is_session_folder

__all__ = ["register"]

SESSION_SUFFIX = ".sam2"
DEFAULTS = EverythingSettings()
_ONLY_EVERYTHING = "--every, --confidence, --min-area and --points-per-side"

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


StartOption = Annotated[
    int | None,
    typer.Option("--start", min=0, metavar="N", help="First frame; by default the earliest prompted one."),
]
StopOption = Annotated[
    int | None, typer.Option("--stop", min=0, metavar="N", help="Last frame, included; by default the end.")
]
MemoryPolicyOption = Annotated[
    str | None,
    typer.Option(
        "--memory-policy",
        metavar="NAME",
        help="What is remembered: recent (as SAM 2, the default), motion, distractor_aware, long_term, "
        "motion+long_term, motion+distractor_aware, or auto.",
    ),
]
OverlapsOption = Annotated[
    bool | None,
    typer.Option(
        "--overlaps/--no-overlaps", help="Whether objects may share pixels; by default as the policy."
    ),
]
EverythingOption = Annotated[
    bool, typer.Option("--everything", help="Find all objects, without any prompt, and track them.")
]
EveryOption = Annotated[
    int | None,
    typer.Option(
        "--every", min=1, metavar="N", help="Look for objects on every N-th frame; by default as needed."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 track cells.tif --masks labels_of_frame_0.tif -o labels.tif --csv cells.csv",
            "sam2 track video.mp4 --prompts clicks.json -o labels.tif",
            "sam2 track cells.tif --prompts clicks.json --session cells.sam2",
            "sam2 track cells.tif --everything --session cells.sam2 -o labels.tif",
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
    start: StartOption = None,
    stop: StopOption = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Go backwards.")] = False,
    everything: EverythingOption = False,
    every: EveryOption = None,
    confidence: ConfidenceOption = None,
    min_area: MinAreaOption = DEFAULTS.min_area,
    points_per_side: PointsPerSideOption = DEFAULTS.points_per_side,
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
    memory_policy: MemoryPolicyOption = None,
    overlaps: OverlapsOption = None,
    device: DeviceOption = "auto",
    each: EachOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Track objects from frame to frame, from masks or clicks and boxes; Ctrl-C keeps finished frames."""
    settings = EverythingSettings(confidence, min_area, points_per_side=points_per_side, every=every)
    if everything:
        _refuse_starts(masks, prompts, start, stop, reverse)
    elif settings != DEFAULTS:
        raise InputError(f"{_ONLY_EVERYTHING} belong to --everything; add it, or leave them out.")
    elif session is None and masks is None and prompts is None:
        raise InputError(
            "Say what to track, with --masks LABELS, --prompts JSON, or both; --everything takes all objects."
        )
    if session is None and output is None:
        raise InputError("Say where the result goes, with -o labels.tif, --session cells.sam2, or both.")
    if session is not None and len(frames) > 1 and is_session_folder(session):
        raise InputError(f"{session} is a session; {len(frames)} files need a folder for theirs.")
    reading = Reading(axes, channel, parse_fixed(fixed), series, level, parse_contrast(contrast), along)
    many = takes_many(frames, each, scheduler)
    common: dict[str, Any] = {
        **{"masks": masks, "prompts": prompts, "start": start, "stop": stop, "reverse": reverse},
        **{"model": model, "reading": reading, "writing": Writing(overwrite, bom)},
        **{"memory_policy": memory_policy, "overlapping": overlaps},
    }
    if everything:
        common["settings"] = settings
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
        alone = EverythingJob if "settings" in common else TrackJob
        return alone(source, labels, csv=table, **common)
    folder = output_of(source, sources, session, (SESSION_SUFFIX,), many and not is_session_folder(session))
    kind = EverythingSessionJob if "settings" in common else TrackSessionJob
    return kind(source, folder, labels=labels, csv=table, **common)


def _refuse_starts(
    masks: Path | None, prompts: Path | None, start: int | None, stop: int | None, reverse: bool
) -> None:
    """Refuse what says where objects are: everything is looked for everywhere."""
    given = {"--masks": masks, "--prompts": prompts, "--start": start, "--stop": stop}
    named = [name for name, value in given.items() if value is not None] + ["--reverse"] * reverse
    if named:
        raise InputError(
            f"--everything looks for all objects on all frames; leave {' and '.join(named)} out. "
            "What a --session has already stays, and is not found again."
        )
