"""Choice of one series of a file or folder that holds several, by its number or its name."""

from collections.abc import Sequence

from sam2_engine.errors import InputError, OptionError

__all__ = ["Series", "choose_series", "left_out", "no_series"]

Series = int | str | None
"""Number of a series, counted from 0, or its name; None for the one that is read by default."""

_MAX_LISTED = 8


def choose_series(name: str, names: Sequence[str], series: Series, default: int = 0) -> int:
    """Return the number of the series that is asked for.

    Parameters
    ----------
    name
        Name of the file or folder for users.
    names
        Names of its series, in their order; they may repeat, but then not choose.
    series
        What is asked for.
    default
        The number of the series that is read where nothing is asked for.

    Raises
    ------
    InputError
        If there is no such series, or several have that name.

    Examples
    --------
    >>> choose_series("slide.svs", ["Baseline", "Label", "Macro"], "label")
    1
    """
    if series is None:
        return default
    found = [number for number, one in enumerate(names) if one.casefold() == str(series).casefold()]
    if not found and str(series).isdecimal():
        found = [number for number in range(len(names)) if number == int(series)]
    if len(found) == 1:
        return found[0]
    problem = f"has {len(found)} series called" if len(found) > 1 else "has no series"
    raise InputError(f"{name} {problem} {series!r}; choose one of {_listed(names, range(len(names)))}.")


def left_out(names: Sequence[str], chosen: int) -> str:
    """Say which series is read and which are not, for a description; empty if there is only one."""
    if len(names) < 2:
        return ""
    others = [number for number in range(len(names)) if number != chosen]
    return f"series {_listed(names, [chosen])} of {len(names)}, left out: {_listed(names, others)}"


def no_series(name: str, series: Series) -> None:
    """Refuse a choice among the series of something that has none.

    Raises
    ------
    InputError
        If ``series`` is given.
    """
    if series is not None:
        raise OptionError(f"{name} holds no series to choose from; leave out {{series}}.", series=None)


def _listed(names: Sequence[str], numbers: Sequence[int]) -> str:
    told = [names[number] not in ("", str(number)) for number in numbers]
    shown = [f"{number} ({names[number]})" if tells else f"{number}" for number, tells in zip(numbers, told)]
    rest = len(shown) - _MAX_LISTED
    return ", ".join(shown[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
