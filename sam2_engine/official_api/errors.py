"""Refusals of the drop-in names: errors of the engine that scripts for the official package catch as well."""

from collections.abc import Iterable, Mapping

from sam2_engine.errors import InputError
from sam2_engine.wording import did_you_mean

__all__ = ["StateError", "UnsupportedError", "refuse_unknown"]


class StateError(InputError, RuntimeError):
    """A call that comes too early or for something unknown; the official package raises a RuntimeError."""


class UnsupportedError(InputError, NotImplementedError):
    """Input of a kind that is not read; the official package raises a NotImplementedError."""


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
