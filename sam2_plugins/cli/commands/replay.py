"""``sam2 replay``: a session done again, and whether the same masks come out."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.wording import counted
from sam2_plugins.cli.commands.options import DeviceOption, OverwriteOption, examples
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, LabelStackWriter
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.label_image import label_dtype
from sam2_plugins.storage import read_manifest
from sam2_plugins.storage.model_files import model_from
from sam2_plugins.storage.opening import read_recording
from sam2_plugins.storage.replay import differences, replay
from sam2_plugins.storage.serialization import window_from_json

__all__ = ["register"]

_DIFFERENT = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", epilog=examples("sam2 replay cells.sam2"))(replay_session)


def replay_session(
    session: Annotated[Path, typer.Argument(metavar="SESSION", help="A session folder.")],
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="FRAMES", help="Its frames, if they are no longer where they were."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="TIFF", help="Also write the label images.")
    ] = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Do again everything that was done in a session; exit status 1 if other masks come out."""
    if output is not None:
        check_output(output, suffixes=TIFF_SUFFIXES, overwrite=overwrite)
    manifest = read_manifest(session)  # as it began; what came later is among the calls
    store = ModelStore(device, manifest.get("computed_in", "auto"))
    recorded, calls = read_recording(session, store, frames)
    with recorded.frames:
        again = AnnotationSession(
            recorded.frames,
            store,
            model_from(manifest, session)[0] or manifest["model"],
            contrast=window_from_json(manifest["window"]),
            cleans_clicked_frames=recorded.cleans_clicked_frames,
            **recorded.memory.given,
        )
        done = list(replay(again, calls))
        typer.echo(f"{counted(len(done), 'action')}, {counted(sum(done), 'frame')} tracked")
        if output is not None:
            _write_labels(output, again)
        different = differences(recorded, again)
    masks = sum(len(recorded.frames_of(object_id)) for object_id in recorded.objects)
    if different:
        object_id, frame = different[0]
        first = recorded.objects[object_id].numbered
        print_stderr(f"{len(different)} of {masks} masks differ, the first: {first} on frame {frame}.")
        raise typer.Exit(_DIFFERENT)
    typer.echo(f"all {masks} masks are the same")


def _write_labels(output: Path, session: AnnotationSession) -> None:
    dtype = label_dtype(max(session.objects, default=0))
    axes = "ZYX" if session.frames.axis == "Z" else "TYX"
    with LabelStackWriter.open(output, (len(session), *session.shape), dtype, axes) as stack:
        for frame in range(len(session)):
            stack.write(frame, session.label_image(frame))
