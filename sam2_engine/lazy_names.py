"""Names of a package that are loaded when they are first asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec

__all__ = ["lazy_names"]


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a package's ``__getattr__``, which knows its modules, too, and ``__dir__``.

    Parameters
    ----------
    package
        Its name.
    modules
        Of each public name the module that defines it.
    """

    def get(name: str) -> object:
        if name in modules:
            attribute: object = getattr(import_module(modules[name]), name)
            return attribute
        if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted(modules)
