"""``sam2 segment``: one object, or one per click, on one image."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_plugins.cli.commands.options import (
    TIFF_SUFFIXES,
    AxesOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    ModelOption,
    OutputOption,
    TableOption,
    parse_box,
    parse_contrast,
    parse_fixed,
    parse_points,
)
from sam2_plugins.cli.commands.terminal import print_stderr, run_with_progress_bar
from sam2_plugins.export import write_label_image
from sam2_plugins.measure import measure
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(segment)


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
        str | None,
        typer.Option(
            "--box", metavar="X0,Y0,X1,Y1", help="First and last column and row of the object, in pixels."
        ),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Every click is an object of its own.")] = False,
    csv: TableOption = None,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Segment one object on an image by clicks and a box; with --each, one object per click."""
    points, labels = parse_points(point or [])
    corners = parse_box(box)
    if not points and corners is None:
        raise InputError("Say where the object is, with --point X,Y or --box X0,Y0,X1,Y1.")
    if each and (corners is not None or 0 in labels):
        raise InputError(
            "With --each every --point is an object of its own, so neither --box nor X,Y,- has a meaning."
        )
    window = parse_contrast(contrast)
    check_output(output, suffixes=TIFF_SUFFIXES, inputs=(image,))
    if csv is not None:
        check_output(csv, suffixes=(".csv",), inputs=(image,))
    with open_frames(image, axes=axes, channel=channel, fixed=parse_fixed(fixed), single=True) as frames:
        if len(frames) != 1:
            raise InputError(
                f"{image} is a stack ({frames.description}); `sam2 track` tracks objects through one."
            )
        session = AnnotationSession(frames, ModelStore(device), model, contrast=window)
        if each:
            for click in points:
                session.add_points(0, session.add_object(), click)
        else:
            object_id = session.add_object()
            if points:
                session.add_points(0, object_id, points, labels, box=corners)
            elif corners is not None:
                session.add_box(0, object_id, corners)
        write_label_image(output, session.label_image(0))
        if csv is not None:
            run_with_progress_bar(measure(session), len(session), "measuring").write_csv(csv, overwrite=True)
        _report(session, output)


def _report(session: AnnotationSession, output: Path) -> None:
    for object_id in session.objects:
        mask, score = session.mask(object_id, 0), session.score(object_id, 0)
        if mask is None or score is None or not mask.any():
            print_stderr(f"Object {object_id} is empty: the model sees nothing there.")
        else:
            typer.echo(f"object {object_id}: {mask.sum()} pixels, predicted IoU {score.predicted_iou:.2f}")
    typer.echo(f"{output}")
