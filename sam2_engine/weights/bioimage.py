"""BioImage Model Zoo packages: a model folder as a TorchScript program from an image and boxes to masks.

Programs that read the zoo's packages run it without this software. A package says which tensors go in and
come out, so what needs more stays here: clicks and corrections, tracking, planes larger than the input.
"""

import json
import re
import tempfile
import warnings
import zipfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import normalize
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.model_folder import ModelCard, checked_folder, file_sha256, read_card
from sam2_engine.weights.pixel_rules import rule_of

__all__ = ["BoxedMasks", "export_bioimage"]

_BOX_CORNERS = 2, 3
_SIDE_OF_LOGITS = 4
_PAPER = "https://arxiv.org/abs/2408.00714"
_SPDX = re.compile(r"[A-Za-z][A-Za-z0-9.+-]+")
_LICENSES = (
    "Apache-2.0",
    "MIT",
    "BSD-3-Clause",
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
)


_FIRST_FOR_PYDANTIC_2_14 = (0, 5, 13)
"""Of bioimageio.spec: 0.5.12 reads nothing there, 0.5.14 does."""


def zoo_problem() -> str | None:
    """Return why the zoo's own reader cannot read any package here; None if nothing is known."""
    try:
        reader, pydantic = (_numbers(version(name)) for name in ("bioimageio.spec", "pydantic"))
    except PackageNotFoundError:
        return None
    if reader >= _FIRST_FOR_PYDANTIC_2_14 or pydantic < (2, 14):
        return None
    return (
        f"bioimageio.spec {version('bioimageio.spec')} cannot read any package with pydantic "
        f"{version('pydantic')}, which are both installed here: test it in another environment, with "
        'pip install "sam2-plugins[bioimage]".'
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


class BoxedMasks(nn.Module):
    """Masks of what is in boxes, from an image to probabilities, with all preprocessing but the gray window.

    Parameters
    ----------
    model
        In float32, on the CPU.
    """

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        """Map (1, 1 or 3, S, S) from 0 to 1 and (1, N, 4) x0, y0, x1, y1 in pixels to (1, N, S, S)."""
        pixels = normalize(image.expand(-1, 3, -1, -1))
        corners = torch.tensor(_BOX_CORNERS, dtype=torch.int32).expand(1, boxes.shape[1], 2)
        logits, _, _ = self.model(pixels, boxes.reshape(1, -1, 2, 2), corners, multimask=False)
        return F.interpolate(logits[:, :, 0], scale_factor=float(_SIDE_OF_LOGITS), mode="bilinear").sigmoid()


def export_bioimage(folder: str | Path, output: str | Path) -> Path:
    """Write a model folder as a BioImage Model Zoo package.

    Parameters
    ----------
    folder
        As ``sam2 train`` writes it, with its card.
    output
        The ``.zip`` to be.

    Returns
    -------
    Path
        The package.

    Raises
    ------
    InputError
        If there is no card, or one without a license of spdx.org, the model expects gray levels that
        packages cannot say, or the file cannot be written.
    """
    folder, output = Path(folder), Path(output)
    weights, card = checked_folder(folder), read_card(folder)
    if card is None:
        raise InputError(f"{folder} has no card that says what it is: export a folder that sam2 train wrote.")
    if output.suffix != ".zip":
        raise InputError(f"{output} must end in .zip, as packages of the BioImage Model Zoo do.")
    license_id = _license(card, folder)
    model = load_model(weights, "cpu", "float32").requires_grad_(False)
    if model.config.intensities != "usual":
        raise InputError(
            f"{folder} expects gray levels that a package of the BioImage Model Zoo cannot say "
            f"({rule_of(model.config.intensities).words}): share the folder itself."
        )
    with tempfile.TemporaryDirectory() as made, replacing(output) as aside:
        _write_package(Path(made), aside, model, card, license_id)
    return output


def _write_package(made: Path, target: Path, model: Sam2, card: ModelCard, license_id: str) -> None:
    program = BoxedMasks(model).eval()
    channels, side = 1 if card.preprocessing.channels == "gray" else 3, model.image_size
    image, boxes = _example(channels, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about sizes that are fixed, as they shall be
        # With gradients on, nothing is computed in parts whose number would be fixed, too.
        with torch.enable_grad():
            trace: Any = torch.jit.trace
            traced = trace(program, (_prepared(image, card), boxes), check_trace=False)
        traced.save(str(made / "weights.pt"))
    with torch.no_grad():
        masks = traced(_prepared(image, card), boxes)
    for name, tensor in (("image", image), ("boxes", boxes), ("masks", masks)):
        np.save(made / f"{name}.npy", tensor.numpy())
    (made / "README.md").write_text(_documentation(card, side), encoding="utf-8")
    described = json.dumps(_description(made, card, channels, side, license_id), indent=2)
    (made / "bioimageio.yaml").write_text(described, encoding="utf-8")  # JSON is YAML, too
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sorted(made.iterdir()):
            package.write(path, path.name)


def _example(channels: int, side: int) -> tuple[Tensor, Tensor]:
    """Return an image from 0 to 255 with two discs, and a box around each."""
    y, x = np.mgrid[:side, :side] / side
    discs = (np.hypot(x - 0.3, y - 0.3) < 0.12) | (np.hypot(x - 0.7, y - 0.6) < 0.16)
    pixels = np.broadcast_to((40 + 160 * discs).astype(np.float32), (1, channels, side, side))
    boxes = np.array([[[0.18, 0.18, 0.42, 0.42], [0.54, 0.44, 0.86, 0.76]]], np.float32) * side
    return torch.from_numpy(pixels.copy()), torch.from_numpy(boxes)


def _is_8_bit(card: ModelCard) -> bool:
    return card.preprocessing.pixels in ("uint8", "bool")


def _prepared(image: Tensor, card: ModelCard) -> Tensor:
    """Return what the package's preprocessing makes of an image."""
    if _is_8_bit(card):
        return image / 255
    low, high = torch.quantile(image, 0.001), torch.quantile(image, 0.999)
    return (image - low) / (high - low + 1e-6)


def _license(card: ModelCard, folder: Path) -> str:
    """Return the license as the zoo calls it, by its name at spdx.org.

    Raises
    ------
    InputError
        If there is none, or none with such a name.
    """
    stated = (card.license or "").strip()
    known = next((one for one in _LICENSES if one.casefold() == stated.casefold()), stated)
    if not _SPDX.fullmatch(known):
        raise InputError(
            f"{folder} has the license {stated or 'not stated'!r}, and the BioImage Model Zoo wants one of "
            "spdx.org, such as CC-BY-4.0: write it into card.json, or train with --license."
        )
    return known


def _description(made: Path, card: ModelCard, channels: int, side: int, license_id: str) -> dict[str, Any]:
    """Return the package's description, as the zoo's specification 0.5 asks for."""
    percentiles = {"axes": ["channel", "y", "x"], "min_percentile": 0.1, "max_percentile": 99.9}
    window = (
        {"id": "scale_linear", "kwargs": {"gain": 1 / 255}}
        if _is_8_bit(card)
        else {"id": "scale_range", "kwargs": percentiles}
    )
    names = ["gray"] if channels == 1 else ["red", "green", "blue"]
    plane = [{"type": "space", "id": axis, "size": side} for axis in "yx"]
    batch = {"type": "batch", "size": 1}
    inputs = [
        {
            "id": "image",
            "description": f"an image of {side} x {side} pixels",
            "axes": [batch, {"type": "channel", "channel_names": names}, *plane],
            "test_tensor": _file(made / "image.npy"),
            "data": {"type": "float32"},
            "preprocessing": [window],
        },
        {
            "id": "boxes",
            "description": "a box around each object, in pixels of the image",
            "axes": [
                batch,
                {"type": "index", "id": "object", "size": {"min": 1, "step": 1}},
                {"type": "channel", "id": "corner", "channel_names": ["x0", "y0", "x1", "y1"]},
            ],
            "test_tensor": _file(made / "boxes.npy"),
            "data": {"type": "float32"},
        },
    ]
    output = {
        "id": "masks",
        "description": "of each object the probability that a pixel is of it",
        "axes": [
            batch,
            {"type": "index", "id": "object", "size": {"tensor_id": "boxes", "axis_id": "object"}},
            *plane,
        ],
        "test_tensor": _file(made / "masks.npy"),
        "data": {"type": "float32"},
    }
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": f"{card.name} masks in boxes",
        "description": f"{card.architecture} taught from {card.base}. {card.gain}"[:1024],
        "authors": [{"name": "the people who trained it"}],
        "cite": [{"text": card.citation, "url": _PAPER}],
        "license": license_id,
        "documentation": _file(made / "README.md"),
        "timestamp": datetime.now(UTC).isoformat(),
        "tags": ["segment-anything", "instance-segmentation", "2d", "pytorch"],
        "inputs": inputs,
        "outputs": [output],
        "weights": {
            "torchscript": {**_file(made / "weights.pt"), "pytorch_version": _version(torch.__version__)}
        },
    }


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": file_sha256(path)}


def _version(text: str) -> str:
    return text.partition("+")[0]


def _documentation(card: ModelCard, side: int) -> str:
    rows = "\n".join(f"- **{name}**: {value}" for name, value in card.rows)
    return (
        f"# {card.name}\n\nFrom an image of {side} x {side} pixels and a box around each object to masks.\n\n"
        f"{rows}\n\n## Validation\n\n{card.gain} By one click, as `sam2 train` measures it; boxes were not "
        "measured.\n\nClicks, corrections, tracking and larger images need sam2-plugins.\n"
    )
