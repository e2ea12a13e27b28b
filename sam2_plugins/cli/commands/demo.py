"""``sam2 demo``: examples that run within minutes, without a network."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sam2_engine.disk import no_empty_folders
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.cli.commands.options import (
    AxesOption,
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
    parse_points,
)
from sam2_plugins.cli.commands.terminal import with_progress_bar
from sam2_plugins.cli.demo import Example, segment_coins, track_cells, track_own
from sam2_plugins.runtime.atomic_files import check_output_folder, os_error_sentence
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["register"]

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 demo", "sam2 demo --frames cells.tif --point 120,80 -o cells  # what you point at"
        )
    )(demo)


def demo(
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="PATH", help="A video, a stack or a folder of images of your own."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the files go.")
    ] = Path("demo-output"),
    point: Annotated[
        list[str] | None,
        typer.Option("--point", metavar="X,Y", help="An object on the first frame of --frames. Repeatable."),
    ] = None,
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
    """Segment coins, track cells, or track what is in --frames; writes images, an animation, tables."""
    points, labels = parse_points(point or [])
    if 0 in labels or (points and frames is None):
        raise InputError("--point X,Y marks an object on the first frame of --frames PATH.")
    if frames is None and (axes, channel, fixed, series, contrast, level) != (*[None] * 5, 0):
        raise InputError(
            "--axes, --channel, --fixed, --series, --level and --contrast say how to read --frames PATH, "
            "which is not given."
        )
    window = parse_contrast(contrast)
    check_output_folder(output, overwrite=overwrite, with_parents=True)
    with no_empty_folders(output):
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder for the output cannot be made: {os_error_sentence(error, output)}"
            ) from None
        store = ModelStore(device)
        if frames is None:
            _show(segment_coins(store, model, output))
            _show(track_cells(store, model, output, _show_progress))
            return
        with open_frames(
            frames, axes=axes, channel=channel, fixed=parse_fixed(fixed), series=series, level=level
        ) as source:
            _show(track_own(store, model, output, _show_progress, source, points, window))


def _show_progress(steps: Iterator[T], total: int) -> Iterable[T]:
    return with_progress_bar(steps, total, "tracking")


def _show(example: Example) -> None:
    typer.echo(example.title)
    for line in example.notes:
        typer.echo(f"  {line}")
    for path in example.files:
        typer.echo(f"  {path}")
