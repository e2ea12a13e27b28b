"""Card of an exported model, read and checked."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FORMAT_VERSION", "ModelFolderError", "checksum_of_rules", "read_card"]

FORMAT, FORMAT_VERSION = "sam2-plugins exported model", 1
_RULES = ("image_size", "mean", "std", "keeps_aspect_ratio", "masks", "memory")


class ModelFolderError(ValueError):
    """A folder that holds no exported model, or one that does not fit together; the message is a sentence."""


def checksum_of_rules(card: Mapping[str, Any]) -> str:
    """Return the checksum of all that a card says by which pixels become masks."""
    said = {name: card.get(name) for name in _RULES}
    said["outputs"] = {name: part["outputs"] for name, part in card["parts"].items()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_card(path: Path) -> dict[str, Any]:
    """Return what the card of an exported model says.

    Raises
    ------
    ModelFolderError
        If there is none that this runner can follow.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelFolderError(
            f"{path.parent} holds no card.json: give the folder that `sam2 export-model` wrote."
        ) from None
    except ValueError as error:
        raise ModelFolderError(f"{path} is no card of a model ({error}): export it again.") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ModelFolderError(f"{path} is no card of an exported model: export it again.")
    if card.get("format_version") != FORMAT_VERSION:
        raise ModelFolderError(
            f"{path} is of version {card.get('format_version')} of exported models, and this runner knows "
            f"{FORMAT_VERSION}: export the model again, or take the runner of that version."
        )
    if card.get("file_format") != "onnx":
        raise ModelFolderError(
            f"{path.parent} was exported as {card.get('file_format')}, for PyTorch: export it as onnx."
        )
    if not _is_whole(card):
        raise ModelFolderError(f"{path} is damaged or was edited: export it again.")
    return card


_MASK_RULES = {"stride", "several_for_one_click", "best_where_unstable"} | {
    *("stability_offset", "stability_threshold", "logit_clamp", "no_object_logit")
}


def _is_whole(card: dict[str, Any]) -> bool:
    """Whether a card says, in values that can be, what the runner reads of it."""
    try:
        files = [(Path(one["file"]).name == one["file"], *one["outputs"]) for one in card["parts"].values()]
        numbers = [*card["mean"], *card["std"], *card["masks"].values(), *card.get("memory", {}).values()]
        numbers = [one for one in numbers if one != "bfloat16"]
        size, stride = card["image_size"], card["masks"]["stride"]
        return (
            all(plain for plain, *_ in files)
            and all(isinstance(one, int | float) for one in numbers)
            and len(card["mean"]) == len(card["std"]) == 3
            and card["masks"].keys() >= _MASK_RULES
            and isinstance(card["model"], str)
            and isinstance(card["fingerprint"], str)
            and type(size) is type(stride) is int
            and size >= stride > 0
        )
    except (KeyError, TypeError, AttributeError):
        return False
