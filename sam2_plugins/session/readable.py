"""The reading half of a session, for measuring and export, and their long work step by step."""

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames import FrameSource
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["LongWork", "ReadableSession", "ResultGenerator", "known_by_frame", "run_to_end"]

P = ParamSpec("P")
T = TypeVar("T")


class ReadableSession(Protocol):
    """The reading half of an ``AnnotationSession``."""

    @property
    def frames(self) -> FrameSource:
        """The stack."""

    @property
    def objects(self) -> Mapping[int, AnnotatedObject]:
        """All objects by id."""

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, sorted; it may be absent there."""

    def verified(self, object_id: int) -> frozenset[int]:
        """Return the frames on which a person has said that an object's mask is right."""

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask as it is stored, None where nothing is known."""

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_] | None:
        """Return an object's (H, W) mask, None where nothing is known."""

    def label_image(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) label image of a frame: object ids, 0 is background."""


def known_by_frame(session: ReadableSession) -> dict[int, list[int]]:
    """Return by frame, ascending, the objects of which something is known there, ascending."""
    by_frame: dict[int, list[int]] = {}
    for object_id in sorted(session.objects):
        for frame in session.frames_of(object_id):
            by_frame.setdefault(frame, []).append(object_id)
    return dict(sorted(by_frame.items()))


class ResultGenerator(Generic[T]):
    """Long work that is done by iterating, and its result.

    Parameters
    ----------
    generator
        Of measuring, export or import.

    Attributes
    ----------
    result
        What the generator returned; there once the iteration has ended.
    """

    result: T

    def __init__(self, generator: Generator[object, None, T]) -> None:
        self._generator = generator

    def __iter__(self) -> Iterator[object]:
        self.result = yield from self._generator


def run_to_end(steps: Generator[object, None, T]) -> T:
    """Do all the steps of long work at once and return what it returns."""
    work = ResultGenerator(steps)
    for _ in work:
        pass
    return work.result


class LongWork(Generic[P, T]):
    """A function that does its work when it is called, and can do it step by step.

    Parameters
    ----------
    steps
        A generator function, which yields after every frame.

    Attributes
    ----------
    steps
        The same: a host shows progress between two frames, and stops the work by closing the generator.

    Examples
    --------
    >>> @LongWork
    ... def count(last: int) -> Generator[int, None, str]:
    ...     yield from range(last)
    ...     return "done"
    >>> count(3), list(count.steps(3))
    ('done', [0, 1, 2])
    """

    def __init__(self, steps: Callable[P, Generator[Any, None, T]]) -> None:
        update_wrapper(self, steps)
        self.steps = steps

    def __call__(self, *arguments: P.args, **options: P.kwargs) -> T:
        """Do all of it, and return its result."""
        return run_to_end(self.steps(*arguments, **options))
