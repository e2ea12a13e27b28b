"""``sam2 verify``, ``divide``, ``merge``, ``swap``, ``absent``, ``undo`` and others: a person's decisions."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.wording import counted, in_ranges
from sam2_plugins.cli.commands.options import DeviceOption, examples, parse_frames
from sam2_plugins.cli.commands.sessions import ObjectOption, SessionArgument, known_object, working_on
from sam2_plugins.scripting.opening import open as open_work
from sam2_plugins.scripting.session import Session
from sam2_plugins.storage import reading_of

__all__ = ["register"]

FrameOption = Annotated[
    int, typer.Option("--frame", min=0, metavar="N", help="The first frame on which it is so, from 0.")
]
OtherOption = Annotated[str, typer.Option("--with", metavar="ID|NAME", help="The other object.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command, example in (
        (verify, "sam2 verify cells.sam2 --object 1 --frames 0-29,31"),
        (divide, "sam2 divide cells.sam2 --object 1 --frame 12"),
        (merge, "sam2 merge cells.sam2 --object 1 --with 7"),
        (split, "sam2 split cells.sam2 --object 1 --frame 12"),
        (swap, "sam2 swap cells.sam2 --object 1 --with 2 --frame 12"),
        (absent, "sam2 absent cells.sam2 --object 1 --frame 12 --last 20"),
        (end, "sam2 end cells.sam2 --object 1 --frame 40"),
        (parents, "sam2 parents cells.sam2 --object 5 --of 2"),
        (carry, 'sam2 carry "cells T0.sam2" --times 1-9'),
        (undo, "sam2 undo cells.sam2"),
    ):
        app.command(epilog=examples(example))(command)


def verify(
    session: SessionArgument,
    object_name: ObjectOption,
    frames: Annotated[
        str | None,
        typer.Option("--frames", metavar="FRAMES", help="Such as 0-29,31; by default all with a mask."),
    ] = None,
    no_longer: Annotated[bool, typer.Option("--not", help="Take it back.")] = False,
) -> None:
    """Say that an object's masks are right on some frames: no click or tracking changes them then."""
    wanted = parse_frames(frames)
    with working_on(session) as work:
        object_id = known_object(work, object_name)
        work.verify(object_id, wanted, verified=not no_longer)
        known, said = sorted(work.annotation.verified(object_id)), work.objects[object_id].numbered
    typer.echo(f"{said} is verified on {f'frames {in_ranges(known)}' if known else 'no frame'}")


def divide(
    session: SessionArgument,
    object_name: ObjectOption,
    frame: FrameOption,
    daughters: Annotated[int, typer.Option("--daughters", min=2, metavar="N", help="How many.")] = 2,
) -> None:
    """Let an object of a session end before a frame, and its daughters begin there; prompt them then."""
    with working_on(session) as work:
        object_id = known_object(work, object_name)
        ids = work.divide(object_id, frame, daughters)
        said = work.objects[object_id].numbered
    typer.echo(
        f"{said} ends before frame {frame}; its daughters are "
        f"{', '.join(map(str, ids))}: `sam2 prompt {session} --frame {frame} --object {ids[0]} --point X,Y`"
    )


def merge(session: SessionArgument, object_name: ObjectOption, other: OtherOption) -> None:
    """Make two objects of a session one; the other's masks and prompts become the first one's."""
    with working_on(session) as work:
        object_id, other_id = known_object(work, object_name), known_object(work, other)
        said, gone = (work.objects[one].numbered for one in (object_id, other_id))
        work.merge(object_id, other_id)
        frames = work.annotation.frames_of(object_id)
    typer.echo(f"{said} has what {gone} had: masks on frames {in_ranges(frames)}")


def split(session: SessionArgument, object_name: ObjectOption, frame: FrameOption) -> None:
    """Let what is known of an object from a frame on belong to a new one."""
    with working_on(session) as work:
        object_id = known_object(work, object_name)
        new = work.split(object_id, frame)
        said = work.objects[object_id].numbered
    typer.echo(f"{said} ends before frame {frame}; from there on it is object {new}")


def swap(session: SessionArgument, object_name: ObjectOption, other: OtherOption, frame: FrameOption) -> None:
    """Exchange two objects of a session from a frame on, as after a mix-up."""
    with working_on(session) as work:
        object_id, other_id = known_object(work, object_name), known_object(work, other)
        work.swap(object_id, other_id, frame)
        said, other_said = (work.objects[one].numbered for one in (object_id, other_id))
    typer.echo(f"{said} and {other_said} are exchanged from frame {frame} on")


def absent(
    session: SessionArgument,
    object_name: ObjectOption,
    frame: FrameOption,
    last: Annotated[
        int | None,
        typer.Option("--last", min=0, metavar="N", help="Last frame, included; by default the same."),
    ] = None,
) -> None:
    """Say that an object is not on some frames; its masks and prompts there go."""
    with working_on(session) as work:
        object_id = known_object(work, object_name)
        work.mark_absent(object_id, frame, last)
        said = work.objects[object_id].numbered
    frames = f"frames {frame} to {last}" if last is not None and last > frame else f"frame {frame}"
    typer.echo(f"{said} is absent on {frames}")


def end(session: SessionArgument, object_name: ObjectOption, frame: FrameOption) -> None:
    """Let an object end before a frame; its masks and prompts from there on go."""
    with working_on(session) as work:
        object_id = known_object(work, object_name)
        work.delete_from(object_id, frame)
        said = work.objects[object_id].numbered
    typer.echo(f"{said} ends before frame {frame}")


def parents(
    session: SessionArgument,
    object_name: ObjectOption,
    of: Annotated[
        list[str] | None,
        typer.Option("--of", metavar="ID|NAME", help="A parent; repeatable for a fusion, none: it has none."),
    ] = None,
) -> None:
    """Say which objects one came from: one (a division), several (a fusion) or none."""
    with working_on(session) as work:
        object_id = known_object(work, object_name)
        chosen = [known_object(work, one) for one in of or []]
        work.set_parents(object_id, chosen)
        said, named = (
            work.objects[object_id].numbered,
            [work.objects[i].numbered for i in sorted(set(chosen))],
        )
    came = " and ".join(named) or "no other"
    typer.echo(f"{said} came from {came}")


def carry(
    session: SessionArgument,
    times: Annotated[
        str, typer.Option("--times", metavar="TIMES", help="Such as 1-9: one after the other, from 0.")
    ],
    device: DeviceOption = "auto",
) -> None:
    """Carry the objects of a volume at one time on to other times, under their ids; each has its session."""
    wanted = sorted(parse_frames(times, "--times") or [])
    with working_on(session, device) as work:
        source, reading = reading_of(work.frames)
        here = reading.get("fixed", {}).get("T")
        if source is None or here is None:
            raise InputError(f"{session} is not of one time of a volume in a file; there is no other time.")
        if wanted == [here]:
            raise InputError(f"{session} is that of time {here} itself; name other --times.")
        open_frames(source, **_at(reading, wanted[-1])).close()  # before anything is done at the others
        before = [time for time in reversed(wanted) if time < here]
        for run in ([time for time in wanted if time > here], before):
            _carry_on(work, run, source, reading, device)


def _at(reading: dict[str, Any], time: int) -> dict[str, Any]:
    """Return how another time of the same volume is read."""
    return {**reading, "fixed": {**reading["fixed"], "T": time}}


def _carry_on(work: Session, times: list[int], source: Path, reading: dict[str, Any], device: str) -> None:
    """Carry objects on from each time to the next, of which two sessions are open at once."""
    with ExitStack() as earlier:
        for time in times:
            with ExitStack() as opened:
                later = opened.enter_context(
                    open_work(source, work.annotation.model_name, device=device, **_at(reading, time))
                )
                typer.echo(f"{later.path or 'not saved'}: {work.carry_to(later)}")
                earlier.close()  # the one before; the first is closed by its own command
                earlier.push(opened.pop_all())
                work = later


def undo(
    session: SessionArgument,
    steps: Annotated[int, typer.Option("--steps", min=1, metavar="N", help="How many actions.")] = 1,
    redo: Annotated[bool, typer.Option("--redo", help="Do again what was undone last.")] = False,
) -> None:
    """Take back what was done last in a session, here or in a window; a tracking is one action."""
    with working_on(session) as work:
        done = []
        for _ in range(steps):
            name = work.redo() if redo else work.undo()
            if name is None:
                break
            done.append(name)
    if not done:
        raise InputError(f"There is nothing to {'redo' if redo else 'undo'} in {session}.")
    typer.echo(f"{'done again' if redo else 'undone'}: {', '.join(done)}")
    if len(done) < steps:
        typer.echo(f"that was all: {counted(len(done), 'action')}")
