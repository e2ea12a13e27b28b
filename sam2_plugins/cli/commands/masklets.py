"""``sam2 masklets``: a data set of masklets made from videos, verified, and counted."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sam2_engine.errors import InputError
from sam2_engine.wording import counted
from sam2_plugins.batch.job import Reading, Writing
from sam2_plugins.batch.naming import check_names_differ
from sam2_plugins.cli.commands.many_files import SchedulerOption, run_jobs
from sam2_plugins.cli.commands.options import (
    AlongOption,
    AxesOption,
    BomOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    ModelOption,
    OverwriteOption,
    SeriesOption,
    examples,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.tables import STANDARD_OUTPUT, CsvOption, check_table, print_table, save_table
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status
from sam2_plugins.masklets.masklet_job import MaskletJob
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.masklets.report import ALIKE, PHASES, DatasetReport, report_on
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.masklets.videos import videos_in
from sam2_plugins.runtime.csv_files import Value
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["register"]

DEFAULTS = MaskletSettings()
_LISTED = 50
DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="The data set's folder.")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who verifies.")]
SecondOption = Annotated[
    bool, typer.Option("--second", help="Show what exactly one other person decided on, to compare.")
]
_MAKE = "make"


class _MadeByDefault(TyperGroup):
    """Commands, of which ``make`` is meant where none is named: ``sam2 masklets VIDEOS -o DATASET``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ("--help", "-h"))
        return super().parse_args(ctx, args if named or not args else [_MAKE, *args])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    masklets = typer.Typer(
        cls=_MadeByDefault,
        help="Find masklets in many videos, let people verify them, and count: the paper's data engine.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    masklets.command(
        _MAKE,
        epilog=examples(
            "sam2 masklets videos/ -o dataset",
            "sam2 masklets make videos/*.mp4 -o dataset --points-per-side 32 --crop-layers 2",
        ),
    )(make)
    masklets.command("queue", epilog=examples("sam2 masklets queue dataset --by ada"))(queue)
    masklets.command(
        "verdict",
        epilog=examples("sam2 masklets verdict dataset --video walk --masklet 3 --accept --by ada"),
    )(verdict)
    masklets.command("report", epilog=examples("sam2 masklets report dataset --csv phases.csv"))(report)
    app.add_typer(
        masklets,
        name="masklets",
        epilog=examples("sam2 masklets videos/ -o dataset", "sam2 masklets report dataset"),
    )


def make(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEOS", help="Videos, stacks and folders of images, or folders of these."),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DATASET", help="The data set's folder; one is gone on with."),
    ],
    key_frames: Annotated[
        int, typer.Option(min=1, metavar="N", help="Frames on which objects are looked for, evenly spread.")
    ] = DEFAULTS.key_frames,
    points_per_side: Annotated[
        int, typer.Option(min=1, metavar="N", help="Clicks per side of the grid on a whole frame.")
    ] = DEFAULTS.points_per_side,
    crop_layers: Annotated[
        int,
        typer.Option(min=0, max=2, metavar="0..2", help="Also 2 x 2 (1), and 4 x 4 (2) zoomed crops of it."),
    ] = DEFAULTS.crop_layers,
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="0..1", help="Least score of a mask where it is found. By default the model's own."
        ),
    ] = DEFAULTS.confidence,
    min_area: Annotated[
        int, typer.Option(min=0, metavar="N", help="Leave out masklets, components and holes below this.")
    ] = DEFAULTS.min_area,
    max_overlap: Annotated[
        float, typer.Option(min=0, max=1, metavar="0..1", help="IoU above which two masklets are one.")
    ] = DEFAULTS.max_overlap,
    min_stability: Annotated[
        float | None,
        typer.Option(metavar="0..1", help="Least mean stability of a masklet. By default the model's own."),
    ] = DEFAULTS.min_stability,
    max_masklets: Annotated[
        int, typer.Option(min=1, metavar="N", help="At most so many per video, the best.")
    ] = DEFAULTS.max_masklets,
    again: Annotated[
        bool,
        typer.Option("--again", help="Search videos that are done again; what people decided on stays."),
    ] = False,
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


def queue(
    dataset: DatasetArgument,
    by: ByOption,
    second: SecondOption = False,
    csv: CsvOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """List the masklets that wait for a person's verdict, in the order in which they are shown."""
    check_table(csv, overwrite)
    with VerificationQueue(MaskletDataset.open(dataset), ModelStore(), by, second=second) as waiting:
        rows: list[list[Value]] = [
            [one.video, one.masklet, round(one.quality, 2)] for one in waiting.waiting()
        ]
    header = ["video", "masklet", "quality"]
    if csv is not None:
        save_table(csv, header, rows, bom=bom)
    if csv != STANDARD_OUTPUT:
        print_table(header, rows[:_LISTED])
        more = f", the first {_LISTED} of them above" if len(rows) > _LISTED else ""
        typer.echo(f"{counted(len(rows), 'masklet')} to verify{more}")


def verdict(
    dataset: DatasetArgument,
    video: Annotated[str, typer.Option("--video", metavar="NAME", help="The video's name.")],
    masklet: Annotated[int, typer.Option("--masklet", metavar="ID", help="Its number in `queue`.")],
    accept: Annotated[bool, typer.Option("--accept/--reject", help="What is said of it.")],
    by: ByOption,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, metavar="N", help="How long it was looked at.")
    ] = 0.0,
) -> None:
    """Say of one masklet that it is right, or none to keep: what a person decided elsewhere."""
    with VerificationQueue(MaskletDataset.open(dataset), ModelStore("cpu"), by) as one:
        one.go_to(video, masklet)
        said = one.accept(seconds) if accept else one.reject(seconds)
    typer.echo(f"masklet {masklet} of {video}: {said.verdict} by {said.by}")


def report(
    dataset: DatasetArgument,
    csv: CsvOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Count what is in a data set, what people did and how long it took: the paper's table for one's own."""
    check_table(csv, overwrite)
    data = MaskletDataset.open(dataset)
    for problem in data.settle_all(ModelStore("cpu")):
        print_stderr(f"Note: {problem}")
    found = report_on(data)
    header, rows = _phase_table(found)
    if csv is not None:
        save_table(csv, header, rows, bom=bom)
    if csv != STANDARD_OUTPUT:
        print_table(header, rows)
        typer.echo("\n".join(_in_words(found)))


def _phase_table(found: DatasetReport) -> tuple[list[str], list[list[Value]]]:
    header = ["how", "masklets", "accepted %", "an hour", "s per masklet", "s per frame"]
    header += ["edited frames %", "clicks per edited frame"]
    rows: list[list[Value]] = []
    for row in found.phases:
        many, frames = max(row.masklets, 1), max(row.frames, 1)
        name = "all" if row.phase is None else PHASES[row.phase]
        values = (
            (row.accepted / many * 100, 1),
            (row.per_hour, 1),
            (row.seconds / many, 2),
            (row.seconds / frames, 3),
            (row.edited / frames * 100, 1),
            (row.clicks / max(row.edited, 1), 2),
        )
        rows.append([name, row.masklets, *(round(value, digits) for value, digits in values)])
    return header, rows


def _in_words(found: DatasetReport) -> list[str]:
    number, agreement, quality = found.masklets, found.agreement, found.quality
    lines = [
        f"{counted(found.videos, 'video')}, {counted(found.frames, 'frame')}, "
        f"{counted(sum(number.values()), 'masklet')}: {number[Status.ACCEPTED]} verified, "
        f"{number[Status.REJECTED]} rejected, {number[Status.DISPUTED]} disputed, "
        f"{number[Status.OPEN]} open",
        f"coverage {found.coverage:.1%}, disappearance rate {found.disappearance:.1%}",
    ]
    if quality.masklets:
        lines.append(
            f"as found against as verified: IoU {quality.iou:.3f}, {quality.alike:.1%} of masks above {ALIKE}"
        )
    if quality.ranked is not None:
        lines.append(
            f"an accepted masklet has the higher quality than a rejected one {quality.ranked:.0%} of the time"
        )
    if agreement.pairs:
        kappa = "" if agreement.kappa is None else f" (kappa {agreement.kappa:.2f})"
        lines.append(f"two verifiers agree on {agreement.agreed} of {agreement.pairs}{kappa}")
    return lines
