"""Arguments of public functions: what cannot be one is refused in a sentence."""

import os
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from types import FunctionType
from typing import NoReturn, ParamSpec, TypeGuard, TypeVar, cast

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.wording import did_you_mean

__all__ = ["as_path", "is_whole", "suggests_arguments"]

P = ParamSpec("P")
R = TypeVar("R")


def as_path(path: object, what: str) -> Path:
    """Return a path that somebody gave.

    Parameters
    ----------
    path
        A text or a path.
    what
        What it leads to, as the subject of the message.

    Raises
    ------
    InputError
        If it is neither.

    Examples
    --------
    >>> as_path("cells.tif", "A stack").suffix
    '.tif'
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{what} is given by its path, not as {path!r}.")
    return Path(path)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number of Python or NumPy; no float, no bool (a mask instead of numbers)."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def suggests_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that is called with an unknown argument say which is meant, as Python 3.13 does.

    Examples
    --------
    >>> @suggests_arguments
    ... def load(path, device="cpu"):
    ...     return path
    >>> load("model.pt", devise="cpu")
    Traceback (most recent call last):
        ...
    TypeError: load() has no argument 'devise' (did you mean 'device'?); its arguments are: path, device.
    """
    parameters = signature(function).parameters.values()
    known = {one.name: one for one in parameters if one.kind is not Parameter.POSITIONAL_ONLY}

    def refuse(given: Iterable[str], known: Collection[str]) -> NoReturn:
        name = next(one for one in given if one not in known)
        called = function.__qualname__.removesuffix(".__init__")
        arguments = ", ".join(one for one in known if one != "self")
        raise TypeError(
            f"{called}() has no argument {name!r}{did_you_mean(name, known)}; its arguments are: {arguments}."
        )

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not known.keys() >= kwargs.keys():
            refuse(kwargs, known)
        return function(*args, **kwargs)

    # Within the function's own module, where doctest looks for examples.
    own = FunctionType(call.__code__, function.__globals__, closure=call.__closure__)
    return cast(Callable[P, R], wraps(function)(own))
