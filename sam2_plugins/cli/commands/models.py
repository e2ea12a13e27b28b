"""``sam2 models`` and ``sam2 download``: the list of models, and their download."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sam2_engine.errors import InputError
from sam2_engine.weights.downloads import add, download
from sam2_engine.weights.locations import cache_folder, list_models
from sam2_engine.wording import size_in_words
from sam2_plugins.cli.commands.options import BomOption, OverwriteOption, examples
from sam2_plugins.cli.commands.tables import CsvOption, check_table, save_table
from sam2_plugins.cli.commands.terminal import byte_bar
from sam2_plugins.runtime.csv_files import Value

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(help="List the models, or add one from a file.", rich_markup_mode=None)
    models.callback(invoke_without_command=True)(show_models)
    models.command("add", epilog=examples("sam2 models add runs/cells/model.safetensors --name cells"))(
        add_model
    )
    shown = examples("sam2 models", "sam2 models --device", "sam2 models --csv -")
    app.add_typer(models, name="models", epilog=shown)
    app.command("download", epilog=examples("sam2 download sam2.1_hiera_tiny"))(download_model)


def show_models(
    context: typer.Context,
    device: Annotated[
        bool, typer.Option("--device", help="Show what this machine computes on, and by which kernels.")
    ] = False,
    csv: CsvOption = None,
    bom: BomOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """List the models, or add one from a file."""
    if context.invoked_subcommand is not None:
        return
    check_table(csv, overwrite)
    if device:
        if csv is not None:
            raise InputError("--csv writes the list of models; leave --device out.")
        _show_device()
        return
    if csv is not None:
        rows: list[list[Value]] = [[one.name, one.megabytes, str(one.path or "")] for one in list_models()]
        save_table(csv, ["name", "size (MB)", "file"], rows, bom=bom)
        return
    table = Table(box=None, pad_edge=False, header_style=None)
    table.add_column("name")
    table.add_column("size", justify="right")
    table.add_column("file", overflow="fold")
    for status in list_models():
        location = str(status.path) if status.path else f"not here; `sam2 download {status.name}`"
        table.add_row(status.name, size_in_words(status.megabytes * 1e6), location)
    Console(soft_wrap=True).print(table)
    typer.echo(f"Downloaded and added models are stored in {cache_folder()}.")


def _show_device() -> None:
    from sam2_plugins.runtime.computing import (
        describe_computing,  # imports PyTorch, which the list does without
    )

    lines, kernels = describe_computing()
    typer.echo("\n".join(lines))
    if not kernels:
        return
    table = Table(box=None, pad_edge=False, header_style=None)
    for heading in ("attention (1,024-pixel model)", "chosen", "measured on a part of it"):
        table.add_column(heading, overflow="fold")
    for work, chosen, times in kernels:
        measured = ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in times.items())
        table.add_row(work, chosen, measured or "not measured: nothing is to choose")
    Console(soft_wrap=True).print(table)


def add_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pt or .safetensors file.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What it is called from now on; by default as its file."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Take a model from a file: one of your own, or an official one where there is no network."""
    path = add(file, name, overwrite=overwrite)
    typer.echo(f"{path.stem} is now at {path}; use it with --model {path.stem}.")


def download_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `sam2 models`.")],
) -> None:
    """Fetch an official model; an interrupted download goes on where it stopped."""
    with byte_bar(name) as on_progress:
        path = download(name, on_progress)
    typer.echo(f"{name} is at {path}.")
