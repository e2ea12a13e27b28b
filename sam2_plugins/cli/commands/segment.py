"""``sam2 segment``: one object, or one per click and box, on one image."""

from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.prompts import Prompt
from sam2_plugins.cli.commands.options import (
    AxesOption,
    BomOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    LevelOption,
    ModelOption,
    OutputOption,
    OverwriteOption,
    SeriesOption,
    TableOption,
    examples,
    parse_box,
    parse_contrast,
    parse_fixed,
    parse_points,
)
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.terminal import run_with_progress_bar, say_note
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, write_label_image
from sam2_plugins.measure import PhysicalScale, measure
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 segment cell.tif --point 120,80 --point 150,80,- -o cell_labels.tif",
            "sam2 segment coins.png --each --point 45,54 --point 100,56 -o coins_labels.tif",
        )
    )(segment)


def segment(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    output: OutputOption,
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point", metavar="X,Y[,-]", help="A click inside the object; with ,- outside. Repeatable."
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box", metavar="X0,Y0,X1,Y1", help="First and last column and row of the object, in pixels."
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Every click and every box is an object of its own.")
    ] = False,
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
) -> None:
    """Segment one object on an image by clicks and a box; with --each, one object per click and box."""
    prompts = _prompts_of(point or [], box or [], each)
    window = parse_contrast(contrast)
    check_output(output, suffixes=TIFF_SUFFIXES, inputs=(image,), overwrite=overwrite)
    if csv is not None:
        check_output(csv, suffixes=CSV_SUFFIXES, inputs=(image,), overwrite=overwrite)
    with open_frames(
        image, axes=axes, channel=channel, fixed=parse_fixed(fixed), series=series, level=level, single=True
    ) as frames:
        if len(frames) != 1:
            raise InputError(
                f"{image} is a stack ({frames.description}); `sam2 track` tracks objects through one."
            )
        say_note(image.name, frames)
        session = AnnotationSession(frames, ModelStore(device), model, contrast=window)
        for prompt in prompts:
            session.add_prompt(0, session.add_object(), Prompt.of(session.shape, **prompt))
        labels = session.label_image(0)
        write_label_image(output, labels, PhysicalScale.of(frames))
        _report(session, labels, output)
        if csv is not None:
            table = run_with_progress_bar(measure.steps(session), len(session), "measuring")
            table.write_csv(csv, overwrite=True, bom=bom)


def _prompts_of(points: list[str], boxes: list[str], each: bool) -> list[dict[str, Any]]:
    """Read the clicks and boxes of each object, as arguments of ``Prompt.of``."""
    clicks, labels = parse_points(points)
    corners = [parse_box(text) for text in boxes]
    if not clicks and not corners:
        raise InputError("Say where the object is, with --point X,Y or --box X0,Y0,X1,Y1.")
    if each:
        if 0 in labels:
            raise InputError("With --each every --point is an object of its own, so X,Y,- has no meaning.")
        return [*({"points": click} for click in clicks), *({"box": box} for box in corners)]
    if len(corners) > 1:
        raise InputError(
            f"--box is given {len(corners)} times, but one object has one box; with --each every box is an "
            "object of its own."
        )
    said = {"points": clicks, "labels": labels} if clicks else {}
    return [said | ({"box": corners[0]} if corners else {})]


def _report(session: AnnotationSession, labels: NDArray[Any], output: Path) -> None:
    for object_id in session.objects:
        mask, score = session.mask(object_id, 0), session.score(object_id, 0)
        if mask is None or score is None or not mask.any():
            print_stderr(f"Object {object_id} is empty: the model sees nothing there.")
        else:
            size, seen = int(mask.sum()), int((labels == object_id).sum())
            typer.echo(f"object {object_id}: {size} pixels, predicted IoU {score.predicted_iou:.2f}")
            if seen < size:  # a label image has one number for each pixel
                print_stderr(
                    f"Note: {seen} of the {size} pixels of object {object_id} have its number in "
                    f"{output.name}; other objects lie over the rest."
                )
    typer.echo(f"{output}")
