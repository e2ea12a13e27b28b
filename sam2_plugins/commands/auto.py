"""``sam2 auto``: everything on one image."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.commands.options import (
    TIFF_SUFFIXES,
    AxesOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    ModelOption,
    OutputOption,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.commands.terminal import count_bar, note
from sam2_plugins.export import write_label_image
from sam2_plugins.files import check_output
from sam2_plugins.model_store import ModelStore

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(auto)


def auto(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    output: OutputOption,
    points_per_side: Annotated[
        int, typer.Option(min=1, metavar="N", help="Clicks per side of the grid.")
    ] = 32,
    min_iou: Annotated[
        float, typer.Option(metavar="0..1", help="Drop masks of a lower predicted IoU.")
    ] = 0.8,
    min_stability: Annotated[
        float, typer.Option(metavar="0..1", help="Drop masks of a lower stability.")
    ] = 0.95,
    min_area: Annotated[
        int, typer.Option(min=0, metavar="N", help="Fill holes and drop islands below this area, pixels.")
    ] = 0,
    crop_layers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Look again in 4, 16, ... crops for small things.")
    ] = 0,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Segment everything on an image, without a prompt."""
    window = parse_contrast(contrast)
    check_output(output, suffixes=TIFF_SUFFIXES, inputs=(image,))
    with open_frames(image, axes=axes, channel=channel, fixed=parse_fixed(fixed), single=True) as frames:
        if len(frames) != 1:
            raise InputError(f"{image} is a stack ({frames.description}); `sam2 auto` takes a single image.")
        generator = AutomaticMaskGenerator(
            ModelStore(device).get(model),
            points_per_side=points_per_side,
            pred_iou_thresh=min_iou,
            stability_score_thresh=min_stability,
            min_mask_region_area=min_area,
            crop_n_layers=crop_layers,
        )
        with count_bar("clicks") as on_progress:
            labels = generator.generate_labels(frames[0], contrast=window, on_progress=on_progress)
    write_label_image(output, labels)
    if not labels.any():
        note("Nothing was found; lower --min-iou or --min-stability, or use more --points-per-side.")
    typer.echo(f"{labels.max()} masks")
    typer.echo(f"{output}")
