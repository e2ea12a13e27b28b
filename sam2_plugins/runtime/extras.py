"""Packages of extras: whether they are there, without loading them."""

import sys
from importlib.util import find_spec

__all__ = ["is_installed"]


def is_installed(*modules: str) -> bool:
    """Whether modules can be imported, given by their top-level names.

    Examples
    --------
    >>> is_installed("json"), is_installed("json", "no_such_module")
    (True, False)
    """
    return all(
        sys.modules[one] is not None if one in sys.modules else find_spec(one) is not None for one in modules
    )
