"""Refusals of the drop-in names: errors of the engine that scripts for the official package catch as well."""

from collections.abc import Iterable, Mapping

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.weights.pixel_rules import rule_of
from sam2_engine.wording import did_you_mean

__all__ = ["StateError", "UnsupportedError", "refuse_other_pixels", "refuse_unknown"]


class StateError(InputError, RuntimeError):
    """A call that comes too early or for something unknown; the official package raises a RuntimeError."""


class UnsupportedError(InputError, NotImplementedError):
    """Input of a kind that is not read; the official package raises a NotImplementedError."""


def refuse_other_pixels(config: ModelConfig) -> None:
    """Refuse a model that sees images of 8 bits in another way than the official package shows them.

    What rules say of more than 8 bits is no hindrance: images of those are refused, videos go by the rule.

    Raises
    ------
    InputError
        If it was taught on padded planes, or on stretched gray levels of 8 bits.
    """
    ways = ["padded to a square, not squashed"] if config.keeps_aspect_ratio else []
    if rule_of(config.intensities).eight_bits:
        ways.append("with their gray levels stretched")
    if ways:
        raise UnsupportedError(
            f"This {config.name} was taught on images {' and '.join(ways)}, which the official predictors "
            "cannot do: use sam2_engine.ImagePredictor, VideoSession or AutomaticMaskGenerator, which do."
        )


def refuse_unknown(function: str, unknown: Mapping[str, object], known: Iterable[str]) -> None:
    """Refuse arguments that the official package swallows without a word.

    Raises
    ------
    InputError
        If there are any.
    """
    if unknown:
        known = [*known]
        names = ", ".join(f"{name}{did_you_mean(name, known)}" for name in unknown)
        raise InputError(f"{function} has no argument {names}; its arguments are: {', '.join(known)}.")
