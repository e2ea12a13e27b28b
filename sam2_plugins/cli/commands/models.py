"""``sam2 models`` and ``sam2 download``: the list of models, and their download."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sam2_engine.errors import InputError
from sam2_engine.weights.downloads import add, download
from sam2_engine.weights.hub import fetch_from_hub, find_on_hub, push
from sam2_engine.weights.hub_names import HubName, is_hub_name
from sam2_engine.weights.locations import ModelStatus, cache_folder, find, list_models, name_of
from sam2_engine.weights.model_folder import ModelCard, checked_folder, read_card
from sam2_engine.weights.registry import REGISTRY
from sam2_engine.wording import did_you_mean, size_in_words
from sam2_plugins.cli.commands.options import BomOption, OverwriteOption, examples
from sam2_plugins.cli.commands.tables import CsvOption, check_table, save_table
from sam2_plugins.cli.commands.terminal import byte_bar
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.csv_files import Value
from sam2_plugins.runtime.model_name import ModelName

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(help="List the models, or add one from a file.", rich_markup_mode=None)
    models.callback(invoke_without_command=True)(show_models)
    models.command("add", epilog=examples("sam2 models add runs/cells/model.safetensors --name cells"))(
        add_model
    )
    models.command("show", epilog=examples("sam2 models show medsam2_latest"))(show_model)
    models.command("push", epilog=examples("sam2 models push runs/cells lab/cells"))(push_model)
    models.command("export-bioimage", epilog=examples("sam2 models export-bioimage runs/cells -o cells.zip"))(
        export_bioimage_model
    )
    shown = examples("sam2 models", "sam2 models --find microscopy", "sam2 models --device")
    app.add_typer(models, name="models", epilog=shown)
    app.command("download", epilog=examples("sam2 download sam2.1_hiera_tiny"))(download_model)


def show_models(
    context: typer.Context,
    device: Annotated[
        bool, typer.Option("--device", help="Show what this machine computes on, and by which kernels.")
    ] = False,
    find: Annotated[
        str | None,
        typer.Option(
            "--find", metavar="WORDS", help="Only those with these in name, family, purpose or license."
        ),
    ] = None,
    commercial: Annotated[
        bool,
        typer.Option(
            "--commercial",
            help="Only those whose license allows commercial use, as far as it is known: not your own.",
        ),
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
    listed = [one for one in list_models() if _is_wanted(one, find, commercial)]
    if csv is not None:
        save_table(csv, [*_HERE, *_KNOWN], [_row(one) for one in listed], bom=bom)
        return
    if not listed:
        raise InputError("No model is like that: `sam2 models` lists all of them.")
    table = Table(box=None, pad_edge=False, header_style=None)
    table.add_column("name", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("license", no_wrap=True)
    table.add_column("file", overflow="fold")
    for status in listed:
        location = str(status.path) if status.path else "not here"
        table.add_row(status.name, size_in_words(status.megabytes * 1e6), _short_license(status), location)
    Console(soft_wrap=True).print(table)
    typer.echo(
        "`sam2 models show NAME` says what one is for, `sam2 download NAME` fetches it; downloaded and added "
        f"models are stored in {cache_folder()}."
    )


_HERE = ("name", "size (MB)", "file")
_KNOWN = ("family", "license", "commercial use", "purpose", "pixels", "citation", "page")


def _row(status: ModelStatus) -> list[Value]:
    known = status.registered
    here: list[Value] = [status.name, status.megabytes, str(status.path or "")]
    if known is None:
        return [*here, *[""] * len(_KNOWN)]
    allowed = {True: "yes", False: "no", None: "not stated"}[known.commercial]
    said = (
        known.family,
        known.license,
        allowed,
        known.purpose,
        known.pixels,
        known.citation,
        known.page or "",
    )
    return [*here, *said]


def _is_wanted(status: ModelStatus, text: str | None, commercial: bool) -> bool:
    known = status.registered
    if commercial and (known is None or not known.commercial):
        return False
    said = (status.name,) if known is None else (status.name, known.family, known.purpose, known.license)
    whole = " ".join(said).casefold()
    return text is None or all(word in whole for word in text.casefold().split())


def _short_license(status: ModelStatus) -> str:
    known = status.registered
    if known is None:
        return "your own"
    if known.commercial:
        return known.license
    return "not stated" if known.commercial is None else "not commercial"


def show_model(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name from `sam2 models`, or a folder of `sam2 train`.")
    ],
) -> None:
    """Show what a model is for, what pixels it expects, its license and what to cite."""
    asked = ModelName.parse(name)  # of nano@384, nano
    status = next((one for one in list_models() if one.name in (name, asked.weights)), None)
    if status is None and Path(name).is_dir():
        weights = checked_folder(name)
        return _print_rows([("file", str(weights)), *_card_rows(read_card(Path(name)))])
    if status is None:
        names = [one.name for one in list_models()]
        raise InputError(f"There is no model {name!r}{did_you_mean(name, names)}: `sam2 models` lists them.")
    known = status.registered
    rows = [("name", name), ("file", str(status.path or "not here"))]
    rows += _card_rows(status.card)
    if known is not None:
        config = known.config if asked.image_size is None else known.config.with_image_size(asked.image_size)
        rows += [
            ("family", f"{known.family}; architecture {config.name}, input {config.image_size} pixels"),
            ("for", known.purpose),
            ("pixels", known.pixels),
            ("license", known.terms.removeprefix("License: ")),
            ("cite", known.citation),
        ]
        rows += [("page", known.page)] if known.page else []
        if status.path is None:
            get = (
                f"sam2 download {name}"
                if known.path
                else f"from its page, then sam2 models add FILE --name {name}"
            )
            rows.append(("get it", get))
    return _print_rows(rows)


def _card_rows(card: ModelCard | None) -> list[tuple[str, str]]:
    return [] if card is None else card.rows


def _print_rows(rows: list[tuple[str, str]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


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
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .pt or .safetensors file, or a folder that `sam2 train` wrote."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What it is called from now on; by default as its file."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Take a model from a file: one of your own, or an official one where there is no network."""
    path = add(file, name, overwrite=overwrite)
    added = name_of(path)
    typer.echo(f"{added} is now at {path}; use it with --model {added}.")


def download_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `sam2 models`, or hf:owner/name.")],
    accept_license: Annotated[
        bool,
        typer.Option(
            "--accept-license", help="Accept a license that forbids commercial use, or is not stated."
        ),
    ] = False,
) -> None:
    """Fetch a model; an interrupted download goes on where it stopped."""
    if is_hub_name(name):
        name = HubName.parse(name).registered or name
    known = REGISTRY.get(name)
    if known is not None and known.needs_consent and known.path is not None and not accept_license:
        accept_license = _is_accepted(f"{known.terms} It is described at {known.page}.")
    if is_hub_name(name) and find(name) is None:
        _download_from_hub(name, accept_license)
        return
    with byte_bar(name) as on_progress:
        path = download(name, on_progress, accept_license=accept_license)
    typer.echo(f"{name} is at {path}.")


def _download_from_hub(name: str, accept_license: bool) -> None:
    model = find_on_hub(name)
    if model.needs_consent and not accept_license:
        accept_license = _is_accepted(f"{model.terms} It is described at {model.page}.")
    else:
        typer.echo(model.terms)
    with byte_bar(name) as on_progress:
        path = fetch_from_hub(model, on_progress, accept_license=accept_license)
    typer.echo(f"{name} is at {path}, as of commit {model.commit[:12]}; use it with --model {name}.")


def push_model(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that `sam2 train` wrote, with its card.")
    ],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where to, on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new one for yourself alone.")] = False,
) -> None:
    """Share a model that you trained on the Hugging Face hub."""
    page = push(folder, repository, private=private)
    name = HubName.parse(repository)
    typer.echo(f"It is at {page}; elsewhere `sam2 download {name}` fetches it, and --model {name} uses it.")


def export_bioimage_model(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that `sam2 train` wrote, with its card.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The .zip to write.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write a package of the BioImage Model Zoo: from an image and boxes to masks, for other programs."""
    from sam2_engine.weights.bioimage import export_bioimage, zoo_problem

    check_output(output, suffixes=(".zip",), overwrite=overwrite)
    export_bioimage(folder, output)
    test = zoo_problem() or 'Test it with `bioimageio test`, of pip install "sam2-plugins[bioimage]".'
    typer.echo(f"{output}: masks in boxes; clicks, corrections, tracking and larger images stay here. {test}")


def _is_accepted(terms: str) -> bool:
    """Ask whether a license is accepted, where somebody can answer."""
    if not sys.stdin.isatty():
        return False
    typer.echo(terms)
    if not typer.confirm("Do you accept it?"):
        raise InputError("Nothing was downloaded.")
    return True
