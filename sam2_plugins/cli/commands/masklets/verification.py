"""``sam2 masklets queue``, ``verdict``, ``report``: what waits, what is said of it, what it adds up to."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.wording import counted
from sam2_plugins.cli.commands.options import (
    BomOption,
    OverwriteOption,
)
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.tables import STANDARD_OUTPUT, CsvOption, check_table, print_table, save_table
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.masklets.report import ALIKE, PHASES, DatasetReport, report_on
from sam2_plugins.runtime.csv_files import Value
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["queue", "report", "verdict"]

_LISTED = 50
DatasetArgument = Annotated[Path, typer.Argument(metavar="DATASET", help="The data set's folder.")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who verifies.")]
SecondOption = Annotated[
    bool, typer.Option("--second", help="Show what exactly one other person decided on, to compare.")
]


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
    for name in data.unfinished():
        print_stderr(
            f"Note: {name} is not counted: its search was broken off; `sam2 masklets` goes on with it."
        )
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
