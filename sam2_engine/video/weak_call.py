"""Method of an object that is called as long as the object lives, without keeping it alive."""

import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["WeakCall"]

T = TypeVar("T")
R = TypeVar("R")


class WeakCall(Generic[T, R]):
    """A bound method of one argument; it is pickled together with its object."""

    def __init__(self, method: Callable[[T], R]) -> None:
        self._reference = weakref.WeakMethod(method)

    def __call__(self, argument: T) -> R:
        """Call the method."""
        alive = self._reference()
        assert alive is not None, "the session is gone"
        return alive(argument)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._reference(),)
