"""``sam2 export-model``: a model's parts as ONNX or PyTorch programs, to run elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from sam2_engine.wording import counted, size_in_words
from sam2_plugins.cli.commands.options import OverwriteOption, examples
from sam2_plugins.runtime.atomic_files import check_output_folder

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    shown = examples(
        "sam2 export-model nano -o nano-onnx", "sam2 export-model sam2.1_hiera_tiny@512 --images -o tiny-onnx"
    )
    app.command("export-model", epilog=shown)(export)


def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A name from `sam2 models`, or a .pt or .safetensors file; NAME@320 for a smaller input.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder to write."),
    ],
    images: Annotated[
        bool, typer.Option("--images", help="Without the parts of the memory: for images alone.")
    ] = False,
    format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="onnx, or torch (.pt2, for PyTorch).")
    ] = "onnx",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="TYPE",
            help="float32; float16 for files of half the size; or int8 for the image encoder's weights.",
        ),
    ] = "float32",
    overwrite: OverwriteOption = False,
) -> None:
    """Export a model to run without this package: its parts as ONNX, and a card that says how they fit."""
    from sam2_engine.model_export.writing import check_can_export, export_model, is_exported_model
    from sam2_plugins.export.targets import new_folder
    from sam2_plugins.runtime.model_store import ModelStore

    check_can_export(None, format, precision)
    check_output_folder(output, is_earlier=is_exported_model, overwrite=overwrite)
    model = ModelStore(device="cpu", dtype="float32").get(name)
    with new_folder(output, is_earlier_export=is_exported_model, overwrite=overwrite) as folder:
        card = export_model(model, folder, video=not images, format=format, precision=precision)
    parts = card["parts"].values()
    size = size_in_words(sum(part["bytes"] for part in parts))
    typer.echo(f"{output}: {counted(len(parts), 'part')} of {card['model']}, {size}.")
