"""Writing of an exported model: a folder with a program for each part, and the card."""

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.model_export.card import CARD, FORMAT_VERSION, describe, rules_checksum
from sam2_engine.model_export.parts import Part, parts_of
from sam2_engine.model_export.precision import PRECISIONS, convert
from sam2_engine.modeling.sam2 import Sam2

__all__ = ["FORMATS", "OPSET", "check_can_export", "export_model", "is_exported_model"]

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
"""What parts are written as, and the endings of their files."""
OPSET = 18
"""Of ONNX: the lowest that has all that is used, so that old runtimes know it."""
_FOLDED = 2**27
"""Numbers that a constant may have, beyond any weight."""
_SHARED = 1 << 22
"""Numbers of a constant up to which equal ones are looked for: the rotation at 2,048 pixels."""


def is_exported_model(folder: Path) -> bool:
    """Whether a folder holds an exported model and nothing else."""
    try:
        files = json.loads((folder / CARD).read_text(encoding="utf-8"))["parts"].values()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    known = {CARD, *(part.get("file") for part in files)}
    return all(one.name in known for one in folder.iterdir())


def check_can_export(model: Sam2 | None, format: str = "onnx", precision: str = "float32") -> None:
    """Refuse what cannot be exported, before any work is done.

    Parameters
    ----------
    model
        A loaded model; None where it is not loaded yet.
    format
        A name of ``FORMATS``.
    precision
        A name of ``PRECISIONS``.

    Raises
    ------
    InputError
        If there is no such format or precision, a package is missing, or the model computes roughly or in
        other weights.
    """
    if format not in FORMATS:
        raise InputError(f"Models are exported as {' or '.join(FORMATS)}, not as {format!r}.")
    if precision not in PRECISIONS:
        raise InputError(f"Models are exported in {', '.join(PRECISIONS)}, not in {precision!r}.")
    if precision != "float32" and format != "onnx":
        raise InputError(f"Programs of PyTorch are exported in float32; {precision} is for onnx alone.")
    needed = {"float32": ("onnx", "onnxscript")}.get(precision, ("onnx", "onnxscript", "onnxruntime"))
    missing = [name for name in needed if format == "onnx" and find_spec(name) is None]
    if missing:
        raise InputError(
            f'Export to ONNX needs {" and ".join(missing)}: pip install "sam2-plugins[onnx]", or export '
            "as torch."
        )
    if model is None:
        return
    if model.approximations:
        raise InputError(
            f"{model.config.name} with {', '.join(sorted(model.approximations))} cannot be exported, as "
            "windows change from frame to frame: leave the approximations out."
        )
    if model.dtype != torch.float32:
        raise InputError("The model's weights were converted, and are exported as float32: load it again.")


def export_model(
    model: Sam2,
    folder: Path | str,
    *,
    video: bool = True,
    format: str = "onnx",
    precision: str = "float32",
    license: str | None = None,
) -> dict[str, Any]:
    """Export a model: a file for each part, and a card that says how they go together.

    Parameters
    ----------
    model
        A loaded model.
    folder
        Made if it is missing; it has to be empty.
    video
        Also export the parts of the memory; without, images alone can be segmented.
    format
        ``onnx``, or ``torch`` for programs of ``torch.export`` (``.pt2``).
    precision
        ``float32``, ``float16``, or ``int8`` for the image encoder's weights.
    license
        Of the weights, for the card; None for what the registry of models says, or the card beside them.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    InputError
        As ``check_can_export``; or if the folder is not empty.

    Examples
    --------
    >>> import tempfile
    >>> from sam2_engine import load_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = load_model("nano", device="cpu", image_size=64)
    ...     card = export_model(model, folder, video=False, format="torch")
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['card.json', 'image_encoder.pt2', 'mask_decoder.pt2']
    """
    folder = Path(folder)
    check_can_export(model, format, precision)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder; choose another name for the exported model.")
    folder.mkdir(exist_ok=True)
    with _evaluating(_on_cpu(model)) as still:
        return _write_parts(still, folder, video, format, precision, license)


def _write_parts(
    model: Sam2, folder: Path, video: bool, format: str, precision: str, license: str | None
) -> dict[str, Any]:
    parts = parts_of(model, video)
    card = describe(model, parts, license) | {"file_format": format}
    if format == "onnx":
        card["opset"] = OPSET
    for part in parts:
        path = folder / f"{part.name}{FORMATS[format]}"
        with replacing(path) as aside, _quiet(), torch.no_grad():
            _WRITERS[format](part, aside, _marks(card, part))
            stored = convert(aside, part.name, precision)
        card["parts"][part.name] |= {"precision": stored} | _file_entry(path)
    with replacing(folder / CARD) as aside:
        aside.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


@contextmanager
def _evaluating(model: Sam2) -> Iterator[Sam2]:
    """Let a model that is being trained be traced as it computes afterwards."""
    training = model.training
    try:
        yield model.eval()
    finally:
        model.train(training)


def _on_cpu(model: Sam2) -> Sam2:
    """Return the model, or a copy of it, where it is traced."""
    if model.device.type == "cpu":
        return model
    with torch.device("meta"):
        copied = Sam2(model.config)
    copied.load_state_dict({name: weight.cpu() for name, weight in model.state_dict().items()}, assign=True)
    return copied.eval()


def _marks(card: dict[str, Any], part: Part) -> dict[str, str]:
    """Return what a file says of itself, so that files of several exports are not mixed up."""
    return {
        "sam2_format_version": str(FORMAT_VERSION),
        "sam2_fingerprint": card["fingerprint"],
        "sam2_model": card["model"],
        "sam2_part": part.name,
        "sam2_rules": rules_checksum(card),
    }


def _file_entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _free_axes(part: Part) -> dict[str, dict[int, Any]]:
    counted = {name for free in part.free.values() for name in free.values()}
    axes = {name: torch.export.Dim(name, min=part.least.get(name, 1)) for name in counted}
    return {name: {axis: axes[what] for axis, what in free.items()} for name, free in part.free.items()}


def _write_onnx(part: Part, path: Path, marks: dict[str, str]) -> None:
    from onnx_ir.passes.common import DeduplicateInitializersPass
    from onnxscript import optimizer

    program = torch.onnx.export(
        part.module,
        kwargs=_copies(part.inputs),
        input_names=list(part.inputs),
        output_names=list(part.outputs),
        dynamic_shapes=_free_axes(part),
        opset_version=OPSET,
        dynamo=True,
        optimize=False,
        verbose=False,
    )
    assert program is not None
    # What follows from weights alone is computed now: products, other orders, positions.
    optimizer.optimize(program.model, input_size_limit=_FOLDED, output_size_limit=_FOLDED)
    # Every layer has folded the rotation of positions for itself.
    DeduplicateInitializersPass(size_limit=_SHARED)(program.model)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in whose files each step was traced
    program.model.metadata_props.clear()
    program.model.metadata_props.update(marks)
    program.save(path, external_data=False)


def _write_torch(part: Part, path: Path, marks: dict[str, str]) -> None:
    program = torch.export.export(part.module, (), _copies(part.inputs), dynamic_shapes=_free_axes(part))
    written = io.BytesIO()  # PyTorch ends the process where a disk is full
    torch.export.save(program, written, extra_files={f"{name}.txt": value for name, value in marks.items()})
    path.write_bytes(written.getbuffer())


_WRITERS = {"onnx": _write_onnx, "torch": _write_torch}


def _copies(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: example.clone() for name, example in inputs.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what exporters say of packages that they would use, and of what they are to do next."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
