"""``sam2 train``: adapt a model to one's own annotated pictures or videos."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.distributed import join_process_group
from sam2_engine.training.fine_tuning.run import fine_tune
from sam2_plugins.cli.commands.terminal import INTERRUPTED
from sam2_plugins.cli.commands.training_lines import JsonLines, TerminalLines
from sam2_plugins.runtime.atomic_files import check_output

__all__ = ["register"]

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Weights to write; by default model.safetensors in --run."
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="FOLDER", help="Checkpoint, log and pictures; a run that is there is continued."
    ),
]
JsonLinesOption = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="For programs: progress and outcome as lines of JSON; stops when standard input ends.",
    ),
]
_ASIDE = ("data", "run", "output", "device", "as_video")
"""What a configuration file holds beside the recipe's own settings."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="A TOML file of settings; options go before it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="Where to start: a name from `sam2 models`, or a file."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Pictures or videos, and their masks.")
    ] = None,
    output: OutputOption = None,
    run: RunOption = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="How long.")] = None,
    everything: Annotated[
        bool | None,
        typer.Option("--everything", help="Teach the image encoder too; slower, needs more data."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", metavar="RATE", help="Highest rate.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Pictures or clips per step.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="PIXELS", help="Side of the model's input.")
    ] = None,
    as_video: Annotated[
        bool | None,
        typer.Option(
            "--video/--pictures", help="Whether image files are frames of one video; else looked at."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="For another run.")] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps.")
    ] = None,
    json_lines: JsonLinesOption = False,
) -> int:
    """Adapt a model to annotated pictures or videos; says what it gained on frames kept aside."""
    given = {
        "model": model,
        "data": data,
        "output": output,
        "run": run,
        "steps": steps,
        "train_image_encoder": everything,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "image_size": image_size,
        "as_video": as_video,
        "seed": seed,
        "device": device,
    }
    settings = {**_read(config), **{name: value for name, value in given.items() if value is not None}}
    aside = {name: settings.pop(name) for name in _ASIDE if name in settings}
    if "data" not in aside:
        raise InputError("Say what to learn from, with --data FOLDER.")
    return _train(settings, aside, JsonLines() if json_lines else TerminalLines())


def _train(settings: dict[str, Any], aside: dict[str, Any], lines: TerminalLines) -> int:
    config = TrainingConfig.from_dict(settings)
    folder = Path(aside["data"])
    run = Path(aside.get("run", Path("runs") / f"{folder.resolve().name}-{Path(config.model).stem}"))
    output = Path(aside["output"]) if "output" in aside else None
    if output is not None:
        check_output(output, suffixes=(".safetensors",), inputs=(Path(config.model),))
    group = join_process_group(str(aside.get("device", "auto")))
    with lines.bar("reading") as progress:
        found = find_dataset(
            folder, as_video=aside.get("as_video"), progress=progress if group.is_main_process else None
        )
    say = lines.say if group.is_main_process else lambda line: None
    say(f"{folder}: {found.description}")
    with found, lines.stoppable() as token, lines.bar("learning") as progress:
        outcome = fine_tune(
            config,
            found,
            run,
            output,
            group=group,
            say=say,
            progress=progress,
            should_stop=lambda: token.cancelled,
        )
    group.leave()
    if group.is_main_process:
        lines.end(outcome)
    return 0 if outcome.finished else INTERRUPTED


def _read(config: Path | None) -> dict[str, Any]:
    """Read a configuration file; ``from`` is the model to start from, as on the command line."""
    if config is None:
        return {}
    try:
        settings = tomllib.loads(config.read_text())
    except OSError as error:
        raise InputError(f"{config} cannot be read ({error.strerror}); check the path.") from None
    except ValueError as error:
        raise InputError(f"{config} is not valid TOML ({error}).") from None
    if "from" in settings:
        settings["model"] = settings.pop("from")
    return settings
