"""``sam2 track``: objects through a video, a time-lapse or a volume."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
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
    TableOption,
    parse_contrast,
    parse_fixed,
)
from sam2_plugins.cli.commands.stopping import exit_status, interruptible
from sam2_plugins.cli.commands.terminal import run_with_progress_bar, with_progress_bar
from sam2_plugins.export import LabelStackWriter
from sam2_plugins.importing.prompts import place_labels, place_prompts, read_label_image, read_prompts
from sam2_plugins.measure import measure
from sam2_plugins.runtime.atomic_files import check_output, os_error_sentence
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.label_image import label_dtype

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(track)


def track(
    frames: Annotated[
        Path,
        typer.Argument(metavar="FRAMES", help="A video, a TIFF or OME-Zarr stack, or a folder of images."),
    ],
    output: OutputOption,
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks", metavar="LABELS", help="Label image of the first frame: frame 0, or --start."
        ),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="JSON", help="Clicks and boxes on any frames.")
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="First frame; by default the earliest prompted one."),
    ] = None,
    stop: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Last frame, included; by default the end.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Go backwards.")] = False,
    csv: TableOption = None,
    model: ModelOption = "nano",
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Track objects from frame to frame, from masks or clicks and boxes; Ctrl-C keeps finished frames."""
    if (masks is None) == (prompts is None):
        raise InputError("Say what to track, with either --masks LABELS or --prompts JSON.")
    window = parse_contrast(contrast)
    inputs = (frames, masks, prompts)
    check_output(output, suffixes=TIFF_SUFFIXES, inputs=inputs)
    if csv is not None:
        check_output(csv, suffixes=(".csv",), inputs=inputs)
    with open_frames(
        frames, axes=axes, channel=channel, fixed=parse_fixed(fixed), series=series, level=level
    ) as source:
        session = AnnotationSession(source, ModelStore(device), model, contrast=window, history=None)
        typer.echo(f"{frames}: {source.description}")
        if masks is not None:
            place_labels(session, start or 0, read_label_image(masks, session.shape))
        elif prompts is not None:
            place_prompts(session, read_prompts(prompts, session.shape, source.length))
        stopped = _write_tracked(session, output, start, stop, reverse)
        typer.echo(f"{output}")
        if csv is not None:
            run_with_progress_bar(measure(session), len(session), "measuring").write_csv(csv, overwrite=True)
    if stopped:
        raise typer.Exit(exit_status())


def _write_tracked(
    session: AnnotationSession, output: Path, start: int | None, stop: int | None, reverse: bool
) -> bool:
    """Propagate into ``output`` frame by frame; return whether the user stopped it.

    Raises
    ------
    NoSpaceError
        If the disk is full; the frames before are kept.
    """
    visits = session.frames_to_visit(None, start, stop, reverse)
    dtype = label_dtype(max(session.objects))
    shape = (len(session), *session.shape)
    check_output(output, suffixes=TIFF_SUFFIXES, num_bytes=math.prod(shape) * dtype.itemsize)
    axes = "ZYX" if session.frames.axis == "Z" else "TYX"
    full: OSError | None = None
    finished, total = 0, None if visits is None else len(visits)
    with LabelStackWriter.open(output, shape, dtype, axes) as stack, interruptible() as cancel:
        steps = session.propagate(None, start, stop, reverse, cancel)
        # A second Ctrl-C breaks off the current frame; those before it are on disk already.
        with suppress(KeyboardInterrupt):
            for result in with_progress_bar(steps, total, "tracking"):
                try:
                    stack.write(result.frame, session.label_image(result.frame))
                except OSError as error:
                    full = error
                    break
                finished += 1
        if not finished and full is not None:
            raise full
    typer.echo(f"{finished} of {total} frames, {counted(len(session.objects), 'object')}")
    if full is not None:
        typer.echo(f"{output}")
        raise InputError(
            f"{os_error_sentence(full, output).rstrip('.')}. The frames that were finished before are saved."
        )
    return finished != total and cancel.cancelled
