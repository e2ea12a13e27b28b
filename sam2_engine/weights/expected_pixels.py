"""Expected pixels: the pixel rule of a model, by its name alone.

It stands in the registry, in the configuration in the weights, or in the card beside them.
"""

from sam2_engine.weights.locations import card_of, file_of
from sam2_engine.weights.model_folder import said_of_weights
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
    path = file_of(name_or_path)
    if path is None:
        return "usual"
    said = said_of_weights(path) if path.suffix == ".safetensors" else {}
    if isinstance(rule := said.get("intensities"), str) and rule != "usual":
        return rule
    card = card_of(name_or_path)
    return "usual" if card is None else rule_named(card.preprocessing.window)
