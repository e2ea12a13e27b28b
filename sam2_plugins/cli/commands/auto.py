"""``sam2 auto``: every object of one image, without a prompt."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from sam2_engine.disk import check_space
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.preprocessing import IntensityWindow, window_of
from sam2_engine.wording import counted
from sam2_plugins.cli.commands.options import (
    TIFF_SUFFIXES,
    AxesOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    ModelOption,
    OutputOption,
    SeriesOption,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.cli.commands.terminal import count_bar, print_stderr, say_note
from sam2_plugins.export import write_label_image
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.automatic_segmentation import (
    AutomaticSettings,
    FoundObject,
    find_objects,
    number_objects,
)
from sam2_plugins.session.label_image import label_dtype

__all__ = ["register"]

DEFAULTS = AutomaticSettings()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(auto)


def auto(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    output: OutputOption,
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="0..1",
            help="Least score of an object: predicted IoU times stability. By default the model's own.",
        ),
    ] = DEFAULTS.confidence,
    min_area: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Leave out objects, holes, small components below this."),
    ] = DEFAULTS.min_area,
    max_objects: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, the surest.")] = 2**16
    - 1,
    points_per_side: Annotated[
        int, typer.Option(min=1, metavar="N", help="Clicks per side of the grid, or of each tile's.")
    ] = DEFAULTS.points_per_side,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Segment everything on an image, without a prompt; a large one in tiles, then joined."""
    window = parse_contrast(contrast)
    settings = AutomaticSettings(confidence, min_area, max_objects, points_per_side)
    check_output(output, suffixes=TIFF_SUFFIXES, inputs=(image,))
    with open_frames(
        image, axes=axes, channel=channel, fixed=parse_fixed(fixed), series=series, level=level, single=True
    ) as frames:
        if len(frames) != 1:
            raise InputError(f"{image} is a stack ({frames.description}); `sam2 auto` takes a single image.")
        say_note(image.name, frames)
        check_space(output, math.prod(frames.shape) * label_dtype(0).itemsize)
        found = _find(frames[0], ModelStore(device), model, window_of(frames, window), settings)
        labels = number_objects(frames.shape, found)
    write_label_image(output, labels)
    if not found:
        print_stderr("Nothing was found; lower --confidence, or use more --points-per-side.")
    typer.echo(counted(len(found), "object"))
    typer.echo(f"{output}")


def _find(
    image: NDArray[Any],
    store: ModelStore,
    model: str,
    window: IntensityWindow | None,
    settings: AutomaticSettings,
) -> list[FoundObject]:
    search = find_objects(store, model, image, window, settings)
    with count_bar("clicks") as on_progress:
        while True:
            try:
                on_progress(*next(search))
            except StopIteration as end:
                found: list[FoundObject] = end.value
                return found
