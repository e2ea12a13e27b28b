"""Expected pixels: the pixel rule of a model, by its name alone.

It stands in the registry, in the configuration in the weights, or in the card beside them.
"""

from pathlib import Path

from sam2_engine.weights.hub_names import is_hub_name
from sam2_engine.weights.locations import find
from sam2_engine.weights.model_folder import read_card, said_of_weights, weights_in
from sam2_engine.weights.pixel_rules import rule_named
from sam2_engine.weights.registry import registered

__all__ = ["expected_pixels"]


def expected_pixels(name_or_path: str) -> str:
    """Return the rule of a model by its name, file or folder; its weights are not read.

    Examples
    --------
    >>> expected_pixels("medsam2_latest"), expected_pixels("nano")
    ('medical', 'usual')
    """
    known = registered(name_or_path)
    if known is not None:
        return known.intensities
    path = find(name_or_path)
    if path is None and not is_hub_name(name_or_path):
        given = Path(name_or_path)
        path = weights_in(given) if given.is_dir() else given
    if path is None or not path.is_file():
        return "usual"
    said = said_of_weights(path) if path.suffix == ".safetensors" else {}
    if isinstance(rule := said.get("intensities"), str) and rule != "usual":
        return rule
    if weights_in(path.parent) != path or (card := read_card(path.parent)) is None:
        return "usual"
    return rule_named(card.preprocessing.window)
