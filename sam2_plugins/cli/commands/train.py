"""``sam2 train``: a model fine-tuned on one's own annotated images or videos."""

import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_engine.text_files import read_text
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.distributed import join_process_group
from sam2_engine.training.fine_tuning.run import fine_tune
from sam2_engine.weights.model_folder import MODEL_FILES
from sam2_plugins.cli.commands.options import OverwriteOption, examples
from sam2_plugins.cli.commands.stopping import exit_status
from sam2_plugins.cli.commands.training_output import JsonLinesOutput, TerminalOutput
from sam2_plugins.runtime.atomic_files import check_output, check_output_folder
from sam2_plugins.runtime.model_name import ModelName

__all__ = ["register"]

FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME",
        help="Where to start: a name from `sam2 models` (nano@256: another input), or a file.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Weights to write, or a folder for them and their card; by default --run.",
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="FOLDER", help="Checkpoint, log and figures; a run that is there is continued."
    ),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", metavar="N", help="How long; by default what fits the data.")
]
JsonLinesOption = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="For programs: progress and outcome as lines of JSON; stops when standard input ends.",
    ),
]
EverythingOption = Annotated[
    bool | None, typer.Option("--everything", help="Train the image encoder too; slower, needs more data.")
]
AsVideoOption = Annotated[
    bool | None,
    typer.Option(
        "--video/--pictures",
        help="Whether image files are frames of a video or images; by default detected.",
    ),
]
ConfigArgument = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG]", help="A TOML file of settings; options go before it.")
]
LoraOption = Annotated[
    int | None,
    typer.Option(
        "--lora", min=1, metavar="RANK", help="Train low-rank adapters alone: a small file, 4 or 8 is usual."
    ),
]
LoraBlocksOption = Annotated[
    str | None,
    typer.Option(
        "--lora-blocks",
        metavar="BLOCKS",
        help="trunk, decoder, memory, or blocks of the trunk: 8-11,decoder.",
    ),
]
LicenseOption = Annotated[
    str | None, typer.Option("--license", metavar="NAME", help="License of the new weights, for their card.")
]
_OTHER_SETTINGS = ("data", "run", "output", "device", "as_video", "license")
"""What a configuration file holds beside the settings of ``TrainingConfig``."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "sam2 train --data cells/ -o cells.safetensors", "sam2 train settings.toml --steps 2000"
        )
    )(train)


def train(
    config: ConfigArgument = None,
    model: FromOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Images or videos, and their masks.")
    ] = None,
    output: OutputOption = None,
    run: RunOption = None,
    steps: StepsOption = None,
    everything: EverythingOption = None,
    lora: LoraOption = None,
    lora_blocks: LoraBlocksOption = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", metavar="RATE", help="Highest rate.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Images or clips per step.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", metavar="PIXELS", help="Side of the model's input.")
    ] = None,
    as_video: AsVideoOption = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="For another run.")] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps.")
    ] = None,
    license: LicenseOption = None,
    overwrite: OverwriteOption = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Fine-tune a model on annotated images or videos; prints the gain on held-out frames."""
    given = {
        "model": model,
        "data": data,
        "output": output,
        "run": run,
        "steps": steps,
        "train_image_encoder": everything,
        "lora": lora,
        "lora_blocks": lora_blocks,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "image_size": image_size,
        "as_video": as_video,
        "seed": seed,
        "device": device,
        "license": license,
    }
    settings = {**_read(config), **{name: value for name, value in given.items() if value is not None}}
    others = {name: settings.pop(name) for name in _OTHER_SETTINGS if name in settings}
    settings = _with_plain_model(settings)
    if "data" not in others:
        raise InputError("Say what to train on, with --data FOLDER.")
    _check_weights(others.get("output"), settings.get("model", ""), overwrite)
    if "run" in others:
        check_output_folder(Path(others["run"]), overwrite=True, with_parents=True)  # one there is continued
    return _train(settings, others, JsonLinesOutput() if json_lines else TerminalOutput())


def _with_plain_model(settings: dict[str, Any]) -> dict[str, Any]:
    """Take a model's name apart: ``nano@256`` is nano with an input of 256 pixels."""
    name = settings.get("model")
    if not isinstance(name, str):
        return settings
    weights, size, approximations = ModelName.parse(name)
    if approximations is not None:
        raise InputError(
            f"{name} cannot be trained, as +{approximations} computes roughly: start from {weights}."
        )
    if size is None:
        return settings
    given = settings.get("image_size")
    if given not in (None, size):
        raise InputError(
            f"--from {name} says an input of {size} pixels, and --image-size {given}: leave one out."
        )
    return {**settings, "model": weights, "image_size": size}


def _check_weights(output: str | Path | None, started_from: str, overwrite: bool) -> None:
    """Refuse weights that cannot be written, before any work."""
    if output is not None and not Path(output).suffix:
        check_output_folder(Path(output), is_earlier=_is_model_folder, overwrite=overwrite, with_parents=True)
    elif output is not None:
        inputs = (Path(started_from),)
        check_output(Path(output), suffixes=(".safetensors",), inputs=inputs, overwrite=overwrite)


def _is_model_folder(folder: Path) -> bool:
    return {one.name for one in folder.iterdir()} <= set(MODEL_FILES)


def _train(settings: dict[str, Any], others: dict[str, Any], terminal: TerminalOutput) -> int:
    config = TrainingConfig.from_dict(settings)
    folder = Path(others["data"])
    run = Path(others.get("run", Path("runs") / f"{folder.resolve().name}-{Path(config.model).stem}"))
    output = Path(others["output"]) if "output" in others else None
    group = join_process_group(str(others.get("device", "auto")))
    with terminal.stages() as show:
        reading = partial(show, "reading") if group.is_main_process else None
        found = find_dataset(folder, as_video=others.get("as_video"), progress=reading)
    say = terminal.say if group.is_main_process else lambda line: None
    say(f"{folder}: {found.description}")
    with found, terminal.stoppable() as token, terminal.stages() as show:
        outcome = fine_tune(
            config,
            found,
            run,
            output,
            license=others.get("license"),
            group=group,
            say=say,
            progress=partial(show, "learning"),
            measuring=partial(show, "measuring"),
            should_stop=lambda: token.cancelled,
        )
    group.leave()
    if group.is_main_process:
        terminal.end(outcome)
    return 0 if outcome.finished else exit_status()


def _read(config: Path | None) -> dict[str, Any]:
    """Read a configuration file; ``from`` is the model to start from, as on the command line."""
    if config is None:
        return {}
    try:
        settings = tomllib.loads(read_text(config))
    except OSError as error:
        raise InputError(f"{config} cannot be read ({error.strerror}); check the path.") from None
    except ValueError as error:
        raise InputError(f"{config} is not valid TOML ({error}).") from None
    if "from" in settings:
        settings["model"] = settings.pop("from")
    return settings
