"""``sam2 evaluate``: scores of a model on one's own annotated data."""

import json as json_format
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sam2_engine.datasets import find_dataset
from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.evaluation import (
    MAX_PROMPTED_FRAMES,
    PROMPTS,
    PROTOCOLS,
    LabeledSequence,
    MethodResult,
    check_installed,
    evaluate,
    labeled_sequences,
    read_sequences,
)
from sam2_engine.wording import counted
from sam2_plugins.cli.commands.options import (
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
    needs,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.tables import STANDARD_OUTPUT, CsvOption, check_table, save_table
from sam2_plugins.cli.commands.terminal import count_bar, with_progress_bar
from sam2_plugins.export.evaluation_report import check_report_folder, columns, write_report
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.csv_files import Value
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["register"]

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="A data set as `sam2 train` takes it: frames and masks."),
]
FramesOption = Annotated[
    Path | None,
    typer.Option("--frames", metavar="FRAMES", help="A folder of images, a stack, a video; or of such."),
]
MasksOption = Annotated[
    Path | None,
    typer.Option("--masks", metavar="MASKS", help="The ground truth: a folder of label images or a stack."),
]
ProtocolOption = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="|".join(PROTOCOLS),
        help="vos: one prompt per object, then tracking. offline, online: a simulated user corrects. "
        "image: every frame by itself.",
    ),
]
PromptOption = Annotated[
    str | None,
    typer.Option("--prompt", metavar="|".join(PROMPTS), help="By default mask for vos, 1-click for image."),
]
BaselinesOption = Annotated[
    bool, typer.Option("--baselines", help=f"Also what simple methods reach ({needs('evaluate', 'cv2')}).")
]
CellTrackingOption = Annotated[
    bool, typer.Option("--cell-tracking", help=f"Also SEG, DET and TRA ({needs('evaluate', 'ctc_metrics')}).")
]
RoundsOption = Annotated[
    int, typer.Option("--rounds", metavar="N", help="Most frames that offline and online prompt per object.")
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write all numbers; - is standard output."),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FOLDER", help="Write a page with the worst masks first.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "evaluate",
        epilog=examples(
            "sam2 evaluate --frames cells.tif --masks cells_labels.tif --csv scores.csv",
            "sam2 evaluate --data cells/ --model mine.safetensors --baselines --report report",
        ),
    )(evaluate_command)


def evaluate_command(
    frames: FramesOption = None,
    masks: MasksOption = None,
    data: DataOption = None,
    protocol: ProtocolOption = "vos",
    prompt: PromptOption = None,
    baselines: BaselinesOption = False,
    cell_tracking: CellTrackingOption = False,
    rounds: RoundsOption = MAX_PROMPTED_FRAMES,
    json: JsonOption = None,
    csv: CsvOption = None,
    bom: BomOption = False,
    report: ReportOption = None,
    overwrite: OverwriteOption = False,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Compare a model's masks with the ground truth, beside simple methods; prints a table."""
    window = parse_contrast(contrast)
    described = any(option is not None for option in (axes, channel, fixed or None, series, level or None))
    inputs = _inputs(frames, masks, data, described)
    outputs = _Outputs(json, csv, report, overwrite, bom)
    outputs.check(inputs)
    check_installed(protocol, baselines, cell_tracking)  # before anything is read
    if len(inputs) == 1:
        sequences = _read_data(*inputs)
    else:
        sequences = read_sequences(
            *inputs, axes=axes, channel=channel, fixed=parse_fixed(fixed), series=series, level=level
        )
    with ExitStack() as opened:
        for sequence in sequences:
            opened.enter_context(sequence.frames)
        results = evaluate(
            ModelStore(device).get(model),
            sequences,
            protocol,
            prompt,
            name=Path(model).stem,
            baselines=baselines,
            cell_tracking=cell_tracking,
            rounds=rounds,
            contrast=window,
            with_progress=with_progress_bar,
        )
        explanation = _explanation(protocol, rounds, sequences)
        _show(results, explanation, to_stderr=outputs.printed)
        if json is not None:
            _write_json(json, results, sequences, protocol=protocol, model=model)
        title = f"{results[0].method} on {inputs[0].name}"
        outputs.write(title, explanation, results, sequences)


@dataclass(frozen=True)
class _Outputs:
    """What is written beside the table that is printed."""

    json: Path | None
    csv: Path | None
    report: Path | None
    overwrite: bool
    bom: bool

    @property
    def printed(self) -> bool:
        """Whether one of them takes standard output."""
        return STANDARD_OUTPUT in (self.json, self.csv)

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Refuse, before any work, what cannot be written."""
        if self.json is not None and self.json != STANDARD_OUTPUT:
            check_output(self.json, suffixes=(".json",), inputs=inputs, overwrite=self.overwrite)
        check_table(self.csv, self.overwrite)
        if self.report is not None:
            check_report_folder(self.report, overwrite=self.overwrite)

    def write(
        self,
        title: str,
        explanation: str,
        results: Sequence[MethodResult],
        sequences: Sequence[LabeledSequence],
    ) -> None:
        """Write the table as CSV, and the page."""
        if self.csv is not None:
            save_table(self.csv, *_table(results), bom=self.bom)
        if self.report is not None:
            page = write_report(self.report, title, explanation, results, sequences)
            typer.echo(f"{page}", err=self.printed)


def _inputs(
    frames: Path | None, masks: Path | None, data: Path | None, described: bool
) -> tuple[Path] | tuple[Path, Path]:
    """Return the data set, or frames and masks; ``described``: --axes or the like is given."""
    if data is None and frames is not None and masks is not None:
        return frames, masks
    if data is None or frames is not None or masks is not None:
        raise InputError("Say what to evaluate on, with --frames and --masks, or else with --data FOLDER.")
    if described:
        raise InputError(
            "--axes, --channel, --fixed, --series and --level go with --frames; leave them out with --data."
        )
    return (data,)


def _read_data(folder: Path) -> list[LabeledSequence]:
    with count_bar("reading") as progress:
        data = find_dataset(folder, progress=progress)
    print_stderr(f"{folder}: {data.description}")
    with data:
        return labeled_sequences(data)


def _explanation(protocol: str, rounds: int, sequences: Sequence[LabeledSequence]) -> str:
    """Say what the numbers are means of."""
    objects = sum(len(sequence.ground_truth) for sequence in sequences)
    frames = sum(len(sequence.frames) for sequence in sequences)
    annotated = sum(len(sequence.annotated) for sequence in sequences)
    counts = f"{counted(objects, 'object')}, {counted(frames, 'frame')}"
    counts += f" ({annotated} with masks)" if annotated < frames else ""
    return {
        "image": f"Mean over masks; {frames} images.",
        "vos": f"Mean over frames, then objects; the prompted and the last frame not counted; {counts}.",
    }.get(protocol, f"Mean over frames, then objects, then 1 to {rounds} prompted frames; {counts}.")


def _show(results: Sequence[MethodResult], explanation: str, to_stderr: bool) -> None:
    """Print the table, on standard output or ``to_stderr``."""
    console = Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False)
    table = Table()
    table.add_column("method")
    for name in columns(results[0]):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(result.method, *(f"{value:.3f}" for value in columns(result).values()))
    console.print(table)
    console.print(explanation, soft_wrap=True)


def _table(results: Sequence[MethodResult]) -> tuple[list[str], list[list[Value]]]:
    """Return names and rows of the table as numbers."""
    return ["method", *columns(results[0])], [
        [result.method, *columns(result).values()] for result in results
    ]


def _write_json(
    path: Path, results: Sequence[MethodResult], sequences: Sequence[LabeledSequence], **described: str
) -> None:
    content = {**described, "methods": [result.as_json(sequences) for result in results]}
    text = json_format.dumps(content, indent=1) + "\n"
    if path == STANDARD_OUTPUT:
        typer.echo(text, nl=False)
        return
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
    typer.echo(f"{path}")
