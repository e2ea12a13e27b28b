"""Ways to track faster at a small cost in the masks, each off unless it is asked for."""

from collections.abc import Iterable

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.wording import did_you_mean

__all__ = ["APPROXIMATIONS", "FAST", "WINDOWS", "approximations_of"]

WINDOWS = "windows"
APPROXIMATIONS = {
    WINDOWS: "objects that are small on the frame are looked for around their last mask, and remembered so",
}
"""What can be computed roughly, and how."""
FAST = "fast"
"""All of them."""


def approximations_of(names: str | Iterable[str] | None, config: ModelConfig | None = None) -> frozenset[str]:
    """Return a set of approximations from their names.

    Parameters
    ----------
    names
        Some of ``APPROXIMATIONS``, or one; ``fast`` for all, None for none.
    config
        Of the model that is to compute so, if it is known.

    Raises
    ------
    InputError
        If there is no such approximation, or the model cannot compute so.

    Examples
    --------
    >>> sorted(approximations_of("fast"))
    ['windows']
    """
    wanted = {names} if isinstance(names, str) else set(names or ())
    if wanted == {FAST}:
        wanted = set(APPROXIMATIONS)
    unknown = sorted(wanted - APPROXIMATIONS.keys())
    if unknown:
        known = FAST, *APPROXIMATIONS
        raise InputError(
            f"There is no approximation {unknown[0]!r}{did_you_mean(unknown[0], known)}: give some of "
            f"{', '.join(known)}."
        )
    if config is not None and WINDOWS in wanted and not config.remembers_windows:
        raise InputError(
            f"{config.name} cannot look in windows ({WINDOWS}), as its memories are of whole frames: leave "
            "the approximation out."
        )
    return frozenset(wanted)
