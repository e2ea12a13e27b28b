"""``sam2 open``, ``prompt``, ``propagate``, ``review`` and ``measure``: work on sessions, which are kept."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sam2_engine.errors import InputError
from sam2_engine.frames.spacing.units import LENGTH_UNITS, TIME_UNITS
from sam2_engine.prompts import Prompt
from sam2_engine.wording import begun, counted, in_ranges
from sam2_plugins.batch.job import problem_of
from sam2_plugins.batch.session_job import track_runs
from sam2_plugins.cli.commands.many_files import SOME_FAILED, TerminalHost
from sam2_plugins.cli.commands.options import (
    AlongOption,
    AxesOption,
    BomOption,
    ChannelOption,
    ContrastOption,
    DeviceOption,
    FixedOption,
    IntervalOption,
    LevelOption,
    OverwriteOption,
    PixelSizeOption,
    PlaneSpacingOption,
    SeriesOption,
    examples,
    parse_box,
    parse_contrast,
    parse_fixed,
    parse_points,
    parse_quantity,
)
from sam2_plugins.cli.commands.stopping import exit_status
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.tables import STANDARD_OUTPUT, CsvOption, check_table, print_table, save_table
from sam2_plugins.cli.commands.terminal import run_with_progress_bar
from sam2_plugins.importing.prompts import read_label_image
from sam2_plugins.measure import measure as measure_session
from sam2_plugins.measure import measure_volumes
from sam2_plugins.runtime.csv_files import Value
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.scripting.opening import open as open_work
from sam2_plugins.scripting.session import Session
from sam2_plugins.session.propagation_plan import Direction
from sam2_plugins.storage import open_session, read_manifest, read_session
from sam2_plugins.storage.manifest import scale_in

__all__ = ["ObjectOption", "SessionArgument", "known_object", "register", "working_on"]

SessionArgument = Annotated[
    Path, typer.Argument(metavar="SESSION", help="A session folder, as `sam2 open` or napari makes it.")
]
ObjectOption = Annotated[
    str, typer.Option("--object", metavar="ID|NAME", help="Which object, by its number or name.")
]
MovedFramesOption = Annotated[
    Path | None,
    typer.Option("--frames", metavar="FRAMES", help="Its frames, if they are no longer where they were."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("open", epilog=examples("sam2 open cells.tif", "sam2 open cells.sam2 --csv objects.csv"))(
        open_command
    )
    app.command(
        epilog=examples(
            "sam2 prompt cells.sam2 --frame 0 --point 120,80",
            "sam2 prompt cells.sam2 --frame 30 --object 1 --point 131,84 --point 150,80,-",
        )
    )(prompt)
    app.command(
        epilog=examples(
            "sam2 propagate cells.sam2 --direction both",
            "sam2 propagate cells.sam2 --object 1 --start 30  # after a correction there",
            "sam2 propagate cells.sam2 --missing-only         # goes on where it was interrupted",
        )
    )(propagate)
    app.command(epilog=examples("sam2 review cells.sam2", "sam2 review cells.sam2 --csv doubtful.csv"))(
        review
    )
    app.command(
        epilog=examples("sam2 measure sessions/*.sam2 --csv all.csv --pixel-size 0.65,µm --interval 5,min")
    )(measure)


@contextmanager
def working_on(session: Path, device: str = "auto") -> Iterator[Session]:
    """Open a session folder to change it, and close it; what is done is saved as it happens.

    Raises
    ------
    InputError
        If it is none, or open in another window or process.
    """
    with Session(*open_session(session, ModelStore(device))) as work:
        yield work


@contextmanager
def reading(session: Path, frames: Path | None = None) -> Iterator[Session]:
    """Open a session folder to look at it, also while another window works in it."""
    annotation = read_session(session, ModelStore("cpu"), frames)
    with Session(annotation, None, scale_in(read_manifest(session), annotation.frames)) as work:
        yield work


def known_object(work: Session, said: str) -> int:
    """Return the id of an object by its number or its name.

    Raises
    ------
    InputError
        If there is none, or several have the name.
    """
    objects = work.objects
    if said.isdigit() and int(said) in objects:
        return int(said)
    named = [one.id for one in objects.values() if one.name == said]
    if len(named) == 1:
        return named[0]
    if named:
        raise InputError(
            f"{counted(len(named), 'object')} are called {said!r}; give one of the numbers {named}."
        )
    there = ", ".join(f"{i} ({one.name})" for i, one in objects.items()) or "none"
    raise InputError(f"There is no object {said}; there are: {there}.")


def open_command(
    frames: Annotated[
        Path, typer.Argument(metavar="FRAMES", help="A video, a stack or a folder of images; or a session.")
    ],
    session: Annotated[
        Path | None,
        typer.Option(
            "--session", metavar="FOLDER", help="The session; by default beside FRAMES, as cells.sam2."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="By default the session's own, or nano."),
    ] = None,
    pixel_size: PixelSizeOption = None,
    interval: IntervalOption = None,
    plane_spacing: PlaneSpacingOption = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    fixed: FixedOption = None,
    along: AlongOption = None,
    series: SeriesOption = None,
    level: LevelOption = 0,
    contrast: ContrastOption = None,
    device: DeviceOption = "auto",
    csv: CsvOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Begin the session of a stack, or go on with it, and say what is in it."""
    check_table(csv, overwrite)
    said: dict[str, Any] = {"axes": axes, "channel": channel, "fixed": parse_fixed(fixed), "along": along}
    said = {name: value for name, value in {**said, "series": series, "level": level}.items() if value}
    if channel == 0:
        said["channel"] = 0
    window, sizes = parse_contrast(contrast), _parse_sizes(pixel_size, interval, plane_spacing)
    with open_work(frames, model, session=session, device=device, contrast=window, **said) as work:
        _set_scale(work, sizes)
        header, rows = _objects(work)
        if csv is not None:
            save_table(csv, header, rows, bom=bom)
        if csv != STANDARD_OUTPUT:
            typer.echo(f"{work.path or 'not saved'}: {work.annotation.description}")
            if rows:
                print_table(header, rows)


_Sizes = tuple[tuple[float, str] | None, tuple[float, str] | None, tuple[float, str] | None]


def _parse_sizes(pixel_size: str | None, interval: str | None, planes: str | None) -> _Sizes:
    return (
        parse_quantity(pixel_size, "--pixel-size", LENGTH_UNITS),
        parse_quantity(interval, "--interval", TIME_UNITS),
        parse_quantity(planes, "--plane-spacing", LENGTH_UNITS),
    )


def _set_scale(work: Session, sizes: _Sizes) -> None:
    scale = work.scale.given(*sizes, work.annotation.frames)
    if scale != work.scale:
        work.scale = scale


def _objects(work: Session) -> tuple[list[str], list[list[Value]]]:
    """Return the table of a session's objects."""
    annotation = work.annotation
    header = ["object", "name", "class", "parents", "masks on frames", "prompted on", "verified"]
    return header, [
        [
            *(one.id, one.name, one.label or "", " ".join(map(str, one.parents))),
            in_ranges(annotation.frames_of(one.id)),
            in_ranges(sorted(annotation.prompts_of(one.id))),
            len(annotation.verified(one.id)),
        ]
        for one in work.objects.values()
    ]


def prompt(
    session: SessionArgument,
    frame: Annotated[int, typer.Option("--frame", min=0, metavar="N", help="On which frame, from 0.")],
    object_name: Annotated[
        str | None,
        typer.Option(
            "--object",
            metavar="ID|NAME",
            help="Which object; without it, or by a new number or name, a new one.",
        ),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point", metavar="X,Y[,-]", help="A click inside the object; with ,- outside. Repeatable."
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option("--box", metavar="X0,Y0,X1,Y1", help="First and last column and row of the object."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="IMAGE", help="Its mask: a label image of that frame.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--replace", help="Drop the prompts that it has on this frame.")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Click on an object of a session, give its box or its mask; on a tracked frame this corrects it."""
    points, labels = parse_points(point or [])
    corners = None if box is None else parse_box(box)
    if not points and corners is None and mask is None:
        raise InputError("Say where the object is, with --point X,Y, --box X0,Y0,X1,Y1 or --mask IMAGE.")
    with working_on(session, device) as work:
        shape, is_new = work.annotation.shape, object_name is None
        object_id = None
        if object_name is not None:
            with suppress(InputError):
                object_id = known_object(work, object_name)
            is_new = object_id is None
        pixels = None if mask is None else _mask_of(mask, shape, object_id or 0)
        given = Prompt.of(
            shape, points=points or None, labels=labels or None, box=corners, mask=pixels
        )  # before there is an object
        if object_id is None:
            object_id = _add_object(work, object_name)
        try:
            found = work.add_prompt(frame, object_id, given, replace=again)
        except BaseException:
            if is_new:
                work.remove_object(object_id)
            raise
        score = work.annotation.score(object_id, frame)
        said = "" if score is None else f", predicted IoU {score.predicted_iou:.2f}"
        size, name = int(np.count_nonzero(found)), work.objects[object_id].numbered
    typer.echo(f"{name} on frame {frame}: {size} pixels{said}")
    if not size:
        print_stderr(f"{begun(name)} is empty on frame {frame}: the model sees nothing there.")


def _add_object(work: Session, said: str | None) -> int:
    if said is not None and said.isdigit():
        return work.add_object(object_id=int(said))
    return work.add_object(said)


def _mask_of(path: Path, shape: tuple[int, int], object_id: int) -> Any:
    """Return the pixels of an object in a label image: those of its number, or of the only one."""
    labels = read_label_image(path, shape)
    values = np.unique(labels[labels > 0]).tolist()
    if len(values) > 1 and object_id not in values:
        raise InputError(
            f"{path} has the labels {in_ranges(values)}; give the mask of one object, or its number."
        )
    return labels == (object_id if object_id in values else values[0])


def propagate(
    session: SessionArgument,
    object_name: Annotated[
        list[str] | None,
        typer.Option("--object", metavar="ID|NAME", help="Which object; by default all. Repeatable."),
    ] = None,
    direction: Annotated[
        str, typer.Option("--direction", metavar="forward|backward|both", help="Where to track.")
    ] = "forward",
    start: Annotated[
        int | None,
        typer.Option(
            "--start", min=0, metavar="N", help="First frame; by default each object's first prompt."
        ),
    ] = None,
    stop: Annotated[
        int | None,
        typer.Option("--stop", min=0, metavar="N", help="Last frame, included; by default the end."),
    ] = None,
    missing_only: Annotated[
        bool, typer.Option("--missing-only", help="Leave the masks that are there; track the others.")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Track objects of a session from their prompts; Ctrl-C keeps finished frames, verified masks stay."""
    along = Direction.of(direction)
    if along is Direction.BOTH and stop is not None:
        raise InputError("Both directions have no common last frame; leave --stop out, or track twice.")
    with working_on(session, device) as work:
        ids = tuple(known_object(work, one) for one in object_name or []) or None
        runs = work.annotation.runs(along, ids, start, stop=stop, missing_only=missing_only)
        host = TerminalHost(device)
        if left_out := work.annotation.left_out(runs):
            host.note(f"Note: {left_out}")
        stopped = track_runs(host, work.annotation, runs)
        typer.echo(f"{session}")
    if stopped:
        raise typer.Exit(exit_status())


def review(
    session: SessionArgument,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many are printed.")] = 20,
    frames: MovedFramesOption = None,
    csv: CsvOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """List the most doubtful masks of a session first, each with its reason; all of them with --csv."""
    check_table(csv, overwrite)
    with reading(session, frames) as work:
        found = work.review()
        header = ["object", "name", "frame", "doubt", "reason"]
        rows: list[list[Value]] = [
            [one.object_id, work.objects[one.object_id].name, one.frame, round(one.score, 3), one.reason]
            for one in found
        ]
    if csv is not None:
        save_table(csv, header, rows, bom=bom)
    if csv != STANDARD_OUTPUT:
        print_table(header, rows[:top])
        if len(rows) > top:
            print_stderr(f"and {len(rows) - top} more; --csv writes all")


def measure(
    session: Annotated[list[Path], typer.Argument(metavar="SESSION", help="A session folder, or several.")],
    csv: Annotated[
        Path, typer.Option("--csv", metavar="CSV", help="One table for all of them; - is standard output.")
    ],
    pixel_size: PixelSizeOption = None,
    interval: IntervalOption = None,
    plane_spacing: PlaneSpacingOption = None,
    volumes: Annotated[
        bool,
        typer.Option(
            "--volumes",
            help="One row for each object of a volume: volume and surface, not the area of each mask.",
        ),
    ] = False,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure every mask of one or many sessions into one table, with a column that names the session."""
    check_table(csv, overwrite)
    sizes = _parse_sizes(pixel_size, interval, plane_spacing)
    header: list[str] = ["session"]
    once = {path.resolve() for path in session}
    if len(once) < len(session):
        raise InputError("A session is given twice, so its rows would be, too: give each once.")
    stems = Counter(path.stem for path in session)
    named = {
        path: path.stem if stems[path.stem] == 1 else path.with_suffix("").as_posix() for path in session
    }
    rows: list[dict[str, Value]] = []
    failed: list[tuple[Path, InputError]] = []
    for number, path in enumerate(session, start=1):
        try:
            with reading(path) as work:
                _set_scale(work, sizes)
                chosen = measure_volumes if volumes else measure_session
                steps = chosen.steps(work.annotation, work.scale)
                table = run_with_progress_bar(steps, len(work), f"measuring {number}/{len(session)}")
        except InputError as error:  # the others are measured all the same
            failed.append((path, error))
            continue
        header += [one.header for one in table.columns if one.header not in header]
        columns = [[named[path]] * len(table), *(one.values for one in table.columns)]
        names = ["session", *(one.header for one in table.columns)]
        rows += [dict(zip(names, row)) for row in zip(*columns)]
    if len(failed) == len(session) == 1:
        raise failed[0][1]
    for path, problem in failed:
        print_stderr(f"{path}: {problem_of(problem)}")
    measured = len(session) - len(failed)
    if measured:
        save_table(csv, header, ([row.get(name) for name in header] for row in rows), bom=bom)
    print_stderr(f"{counted(len(rows), 'row')} of {counted(measured, 'session')}")
    if failed:
        raise typer.Exit(SOME_FAILED)
