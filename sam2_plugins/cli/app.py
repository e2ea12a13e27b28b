"""The command line ``sam2``: its commands, and how each of them ends.

Exit status: 0 done; 1 some of many files failed, or other masks came out of a replay; 2 unusable input, with
one sentence on standard error; 130 stopped by the user, 143 by a scheduler, 129 by a closed terminal.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any, TextIO

import typer
from typer.core import TyperGroup
from typer.main import get_group

from sam2_engine.errors import InputError, InputWarning, OptionError
from sam2_plugins.cli.commands.stopping import STOPPED, exit_status, stoppable, stopped_at_once
from sam2_plugins.cli.commands.streams import lasting_output, print_stderr
from sam2_plugins.runtime.atomic_files import os_error_sentence

__all__ = ["app", "main"]

UNUSABLE = 2
"""Exit status for input that cannot be used."""

COMMAND_GROUP = "sam2_plugins.commands"
"""Entry points by which hosts add commands: each is a function ``register(app)``."""

_COMMANDS = {
    "models": ("models", "List the models, or add one from a file."),
    "download": ("models", "Fetch a model; an interrupted download goes on where it stopped."),
    "export-model": (
        "weights.export_model",
        "Export a model to run without this package: its parts as ONNX, and a card that says how they fit.",
    ),
    "segment": (
        "segment",
        "Segment one object on an image by clicks and a box; with --each, one object per click and box.",
    ),
    "auto": ("auto", "Find everything on an image, without a prompt; a large one in tiles, then joined."),
    "track": (
        "track",
        "Track objects from frame to frame, from masks or clicks and boxes; Ctrl-C keeps finished frames.",
    ),
    "masklets": (
        "masklets.group",
        "Find masklets in many videos, let people verify them, and count: the paper's data engine.",
    ),
    "open": ("sessions", "Begin the session of a stack, or go on with it, and say what is in it."),
    "prompt": (
        "sessions",
        "Click on an object of a session, give its box or its mask; on a tracked frame this corrects it.",
    ),
    "propagate": (
        "sessions",
        "Track objects of a session from their prompts; Ctrl-C keeps finished frames, verified masks stay.",
    ),
    "review": (
        "sessions",
        "List the most doubtful masks of a session first, each with its reason; all of them with --csv.",
    ),
    "verify": (
        "corrections",
        "Say that an object's masks are right on some frames: no click or tracking changes them then.",
    ),
    "divide": (
        "corrections",
        "Let an object of a session end before a frame, and its daughters begin there; prompt them then.",
    ),
    "merge": (
        "corrections",
        "Make two objects of a session one; the other's masks and prompts become the first one's.",
    ),
    "split": ("corrections", "Let what is known of an object from a frame on belong to a new one."),
    "swap": ("corrections", "Exchange two objects of a session from a frame on, as after a mix-up."),
    "absent": ("corrections", "Say that an object is not on some frames; its masks and prompts there go."),
    "end": ("corrections", "Let an object end before a frame; its masks and prompts from there on go."),
    "parents": (
        "corrections",
        "Say which objects one came from: one (a division), several (a fusion) or none.",
    ),
    "carry": (
        "corrections",
        "Carry the objects of a volume at one time on to other times, under their ids; each has its session.",
    ),
    "undo": (
        "corrections",
        "Take back what was done last in a session, here or in a window; a tracking is one action.",
    ),
    "measure": (
        "sessions",
        "Measure every mask of one or many sessions into one table, with a column that names the session.",
    ),
    "export": ("export", "Write the objects of a session to a file or folder of some format."),
    "replay": (
        "replay",
        "Do again everything that was done in a session; exit status 1 if other masks come out.",
    ),
    "train": (
        "train",
        "Fine-tune a model on annotated images or videos; prints the gain on held-out frames.",
    ),
    "evaluate": (
        "evaluate",
        "Compare a model's masks with the ground truth, beside simple methods; prints a table.",
    ),
    "doctor": (
        "doctor",
        "Say what this machine has: versions, device, kernels, memory and space, for a report of a fault.",
    ),
    "demo": (
        "demo",
        "Segment coins, track cells, or track what is in --frames; writes images, an animation, tables.",
    ),
}
"""Of each command its module, which is loaded when it is run, and its line of ``sam2 --help``."""

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _LazyGroup(TyperGroup):
    """Commands whose modules, and PyTorch with them, are loaded when they are run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in _COMMANDS:
            self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)


def load_command(name: str) -> Any:
    """Return one of our own commands."""
    module, _ = _COMMANDS[name]
    alone = typer.Typer(rich_markup_mode=None)
    import_module(f"sam2_plugins.cli.commands.{module}").register(alone)
    alone.callback()(lambda: None)
    return get_group(alone).commands[name]


app = typer.Typer(
    cls=_LazyGroup,
    help="Segment and track objects in images, videos, time-lapses and volumes with SAM 2.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sam2-plugins {version('sam2-plugins')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and leave."
    ),
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _add_host_command(entry_point: EntryPoint) -> None:
    """Let a host add its commands; if it cannot be loaded, its command says why."""
    try:
        entry_point.load()(app)
    except ImportError as error:
        reason = str(error)

        def unavailable(_: typer.Context) -> None:
            raise InputError(f"`sam2 {entry_point.name}` cannot be loaded: {reason}.")

        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(entry_point.name, help="(not installed)", context_settings=settings)(unavailable)


for _name, (_, _summary) in _COMMANDS.items():
    app.command(_name, help=_summary)(lambda: None)
for _entry_point in entry_points(group=COMMAND_GROUP):
    _add_host_command(_entry_point)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    arguments
        Without the program's name; None for those of this process.
    """
    with lasting_output() as output:
        status = _run(arguments)
        if (error := output.error()) and not status:
            return _refuse(f"What is printed here could not be written: {os_error_sentence(error)}")
        return status


def _run(arguments: Sequence[str] | None) -> int:
    with stoppable(), warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = _WarningPrinter()
        try:
            status = app(
                args=list(sys.argv[1:] if arguments is None else arguments),
                prog_name="sam2",
                standalone_mode=False,
            )
        except OptionError as error:
            return _refuse(error.for_command_line())
        except InputError as error:
            return _refuse(str(error))
        except _UsageError as error:
            message: str = getattr(error, "format_message", error.__str__)()
            ended = message if message.endswith("?") else f"{message.rstrip('.')}."
            return _refuse(f"{ended} See `sam2 --help`.")
        except OSError as error:
            return _refuse(os_error_sentence(error))
        except (MemoryError, RuntimeError) as error:
            if str(error).startswith("Symlink loop from "):  # pathlib before Python 3.13
                return _refuse(f"{error}: a link that leads to itself; give another path.")
            from sam2_plugins.runtime.out_of_memory import is_out_of_memory  # imports PyTorch

            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
            return _refuse(f"There is not enough memory ({reason}); use a smaller model or fewer objects.")
        except (KeyboardInterrupt, typer.Abort):
            return _say_stopped()
        if status in STOPPED and stopped_at_once():  # typer makes 130 of every interrupt, and says nothing
            return _say_stopped()
    return status if isinstance(status, int) else 0


def _say_stopped() -> int:
    print_stderr("Stopped.")
    return exit_status()


def _refuse(sentence: str) -> int:
    print_stderr(f"sam2: {' '.join(sentence.split())}")
    return UNUSABLE


class _WarningPrinter:
    """Prints a command's warnings; notes for users once each, however many steps they come from."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, InputWarning):
            print_stderr(warnings.formatwarning(message, category, filename, lineno).rstrip())
        elif str(message) not in self._said:
            self._said.add(str(message))
            print_stderr(f"Note: {message}")
