"""Model folder: weights, the card that says what they are, and how pixels come to them.

``model.safetensors`` or ``adapter.safetensors``; ``card.json``, which programs read; ``README.md``, the same
for people and for the Hugging Face hub.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any

from safetensors import SafetensorError, safe_open

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.weights.pixel_rules import AS_THEY_ARE, rule_of
from sam2_engine.weights.registry import REGISTRY
from sam2_engine.wording import counted

__all__ = [
    "ADAPTER_FILE",
    "CARD_FILE",
    "MODEL_FILES",
    "WEIGHTS_FILE",
    "ModelCard",
    "Preprocessing",
    "checked_folder",
    "file_sha256",
    "read_card",
    "said_of_weights",
    "weights_in",
    "write_card",
]

WEIGHTS_FILE, ADAPTER_FILE, CARD_FILE = "model.safetensors", "adapter.safetensors", "card.json"
_README = "README.md"
MODEL_FILES = (WEIGHTS_FILE, ADAPTER_FILE, CARD_FILE, _README)
"""All that is of the model in a folder, which may hold a run's checkpoint and log beside them."""
_FORMAT = 1
_HUB_LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"}


@dataclass(frozen=True)
class Preprocessing:
    """What the model was taught on, and so expects.

    Attributes
    ----------
    channels
        ``gray`` or ``RGB``.
    pixels
        Type of the pixels, ``uint16``.
    window
        What is black and white, in words.
    input_size
        Side of the model's input in pixels, to which frames are resized.
    axes
        ``YX`` for images, ``TYX`` or ``ZYX`` where it was taught to track.
    """

    channels: str
    pixels: str
    window: str
    input_size: int
    axes: str


@dataclass(frozen=True)
class ModelCard:
    """What a model is: where it comes from, what it gained, and what it allows.

    Attributes
    ----------
    name, architecture
        Of the model; of what it was made from, as in its weights.
    sha256
        Of the file of weights.
    base, base_digest, base_license
        The model that it was trained from, the checksum of its weights, and their license; "not known" for a
        model of one's own.
    trained
        What was trained, in words.
    steps
        How long.
    data
        Annotated images, frames and objects that it was trained on, by these names.
    before, after
        Scores on what was held out, as in a run's ``held_out.json``.
    gain
        The same in a sentence.
    license
        Of the weights; None if nobody said.
    software
        That wrote it.
    citation
        What to cite.
    preprocessing
        What pixels it expects.
    """

    name: str
    architecture: str
    sha256: str
    base: str
    base_digest: str
    base_license: str
    trained: str
    steps: int
    data: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    gain: str
    software: str
    citation: str
    preprocessing: Preprocessing
    license: str | None = None
    format: int = field(default=_FORMAT, kw_only=True)

    @property
    def needs_consent(self) -> bool:
        """Whether its license is asked for: nobody said one, or it or the base's forbids commercial use."""
        base = REGISTRY.get(self.base)
        return not allows_commercial_use(self.license) or (base is not None and base.needs_consent)

    @property
    def commercial(self) -> bool | None:
        """Whether its license and the base's allow commercial use; None where that is not known."""
        base = REGISTRY.get(self.base)
        if (base is not None and base.commercial is False) or _forbids_commercial_use(self.license):
            return False
        return None if self.needs_consent or base is None else True

    @property
    def terms(self) -> str:
        """Return a sentence on its license."""
        own = "not stated" if self.license is None else self.license
        return f"License: {own}; of the base model {self.base}: {self.base_license}."

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What there is to say, as names and values."""
        taught = self.preprocessing
        counts = ", ".join(
            counted(self.data[f"{what}s"], what)
            for what in ("image", "frame", "object")
            if f"{what}s" in self.data
        )
        return [
            ("made from", f"{self.base} ({self.base_license}), weights {self.base_digest[:12]}…"),
            ("trained", f"{self.trained}; {counted(self.steps, 'step')}"),
            ("on", f"{counts}. {self.data.get('description', '')}".strip()),
            ("gain", self.gain),
            ("pixels", f"{taught.channels}, {taught.pixels}; {taught.window}; axes {taught.axes}"),
            ("input", f"{taught.input_size} pixels"),
            ("license", self.terms.removeprefix("License: ")),
            ("cite", self.citation),
            ("written by", self.software),
        ]


def allows_commercial_use(license_name: str | None) -> bool:
    """Whether a license, by its usual short name, is known to allow commercial use.

    Examples
    --------
    >>> [allows_commercial_use(name) for name in ("Apache-2.0", "cc-by-nc-4.0", "ask me", None)]
    [True, False, False, False]
    """
    return (license_name or "").casefold() in _HUB_LICENSES and not _forbids_commercial_use(license_name)


def _forbids_commercial_use(license_name: str | None) -> bool:
    return "-nc-" in (license_name or "").casefold()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_in(folder: Path) -> Path | None:
    """Return the file of weights in a folder; None if it is no model folder."""
    return next((folder / one for one in (WEIGHTS_FILE, ADAPTER_FILE) if (folder / one).is_file()), None)


def write_card(folder: Path, card: ModelCard) -> None:
    """Write ``card.json`` beside the weights, and ``README.md`` unless there is one.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    for name, text in ((CARD_FILE, json.dumps(asdict(card), indent=2) + "\n"), (_README, _readme(card))):
        if name == _README and (folder / name).exists():
            continue
        try:
            with replacing(folder / name) as aside:
                aside.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{folder / name} cannot be written ({error.strerror}); make space.") from None


def read_card(folder: Path) -> ModelCard | None:
    """Return what the card in a folder says; None if there is none.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if _CONTROL.search(json.dumps(values)):
            raise ValueError("signs that would steer a terminal")
        known = {one.name for one in fields(ModelCard)}
        taught = Preprocessing(**values.pop("preprocessing"))
        card = ModelCard(**{k: v for k, v in values.items() if k in known}, preprocessing=taught)
        usual = _of_usual_kinds(card) and _of_usual_kinds(taught) and card.format <= _FORMAT
    except (OSError, TypeError, ValueError, AttributeError, RecursionError):
        usual = False
    if not usual:
        raise InputError(
            f"The card {path} cannot be read (it is damaged, or of another version of this software): get "
            "the folder again, or update sam2-plugins."
        )
    return card


_CONTROL = re.compile(r"(?<!\\)\\(?:b|f|u00[01][0-9a-f]|u007f|u00[89][0-9a-f])")
"""Of control characters but the ends of lines and tabs, as JSON spells them."""
_KINDS: Mapping[Any, type | UnionType] = {
    str: str,
    int: int,
    str | None: str | None,
    Preprocessing: Preprocessing,
    Mapping[str, Any]: Mapping,
}


def _of_usual_kinds(described: ModelCard | Preprocessing) -> bool:
    return all(isinstance(getattr(described, one.name), _KINDS[one.type]) for one in fields(described))


def checked_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the file of weights of a model folder, if it is what its card says.

    Raises
    ------
    InputError
        If there are no weights; or the card says what is not so: it is of other weights, of another base
        model, or of another size of input.
    """
    folder = Path(folder)
    weights = weights_in(folder)
    if weights is None:
        raise InputError(
            f"There is no model in the folder {folder}: it should hold {WEIGHTS_FILE} or {ADAPTER_FILE}, as "
            "sam2 train writes them."
        )
    card = read_card(folder)
    if card is not None:
        _check(card, weights, folder)
    return weights


def _check(card: ModelCard, weights: Path, folder: Path) -> None:
    lie = f"The card of {folder} is not that of its {weights.name}: it "
    mend = "; get the folder again, or delete card.json if you trust the weights."
    if file_sha256(weights) != card.sha256:
        raise InputError(f"{lie}says another checksum (SHA-256){mend}")
    config, base = _described(weights)
    base_model = REGISTRY.get(card.base)
    if config.get("name", card.architecture) != card.architecture:
        raise InputError(f"{lie}says {card.architecture}, and the weights are of {config['name']}{mend}")
    if base_model is not None and base_model.config.name != card.architecture:
        raise InputError(
            f"{lie}says that it was made from {card.base}, which is a {base_model.config.name}, and the "
            f"weights are of {card.architecture}{mend}"
        )
    if base and (base.get("name"), base.get("digest")) != (card.base, card.base_digest):
        raise InputError(f"{lie}says another base model than the adapter does{mend}")
    rank = re.search(r"\brank (\d+)", card.trained)
    if base and rank is not None and _ranks(weights) != {int(rank[1])}:
        ranks = ", ".join(map(str, sorted(_ranks(weights))))
        raise InputError(f"{lie}says adapters of rank {rank[1]}, and these are of rank {ranks}{mend}")
    size = config.get("image_size", card.preprocessing.input_size)
    if size != card.preprocessing.input_size:
        raise InputError(
            f"{lie}says an input of {card.preprocessing.input_size} pixels, and the weights say {size}{mend}"
        )
    rule, words = config.get("intensities", "usual"), card.preprocessing.window
    if rule != "usual" and words not in (AS_THEY_ARE, rule_of(str(rule)).words):
        raise InputError(f"{lie}says other gray levels ({words:.80}), and the weights say {rule}{mend}")


def said_of_weights(path: Path) -> dict[str, Any]:
    """Return the configuration that a file of safetensors says, as plain values; empty if it says none.

    Raises
    ------
    InputError
        If it is damaged.
    """
    return _described(path)[0]


def _described(weights: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration, and the base of an adapter, that a file of weights says, as plain values."""
    try:
        with safe_open(weights, framework="np") as file:
            metadata = file.metadata() or {}
        adapter = json.loads(metadata.get("sam2_adapter", "{}"))
        config = adapter.get("config") or json.loads(metadata.get("sam2_config", "{}"))
        return dict(config), dict(adapter)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights} is damaged or incomplete ({error}): get it again.") from None
    except (TypeError, ValueError, AttributeError, RecursionError):
        return {}, {}  # whoever reads the weights says why


def _ranks(weights: Path) -> set[int]:
    """Return the ranks of an adapter's matrices, which their shapes say."""
    with safe_open(weights, framework="np") as file:
        return {file.get_slice(name).get_shape()[0] for name in file.keys() if ".lora_A." in name}  # noqa: SIM118


def _readme(card: ModelCard) -> str:
    """Return the card for people, with the front matter that the Hugging Face hub reads."""
    named = (card.license or "").casefold()
    license_lines = [f"license: {named}"] if named in _HUB_LICENSES else ["license: other"]
    if named not in _HUB_LICENSES:
        license_lines.append(f"license_name: {json.dumps(card.license or 'not stated')}")
    front = ["---", "library_name: sam2-plugins", "pipeline_tag: mask-generation", *license_lines]
    front += ["tags: [sam2, segmentation]", "---", ""]
    table = [f"| {name} | {value} |" for name, value in card.rows]
    usage = [
        "",
        "```python",
        "from sam2_engine import load_model",
        'model = load_model("FOLDER")  # this folder, or "hf:owner/name"',
        "```",
        "",
        f"In a terminal, `sam2 models add FOLDER --name {card.name}`; then `--model {card.name}` everywhere.",
        "",
    ]
    return "\n".join([*front, f"# {card.name}", "", "| | |", "|---|---|", *table, *usage])
