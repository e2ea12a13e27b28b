"""Python's garbage collection, which goes through all objects of a process as many are made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["making_what_stays", "older_objects_left_alone"]


@contextmanager
def making_what_stays() -> Iterator[None]:
    """Collect nothing while many objects are made that stay, and count them as old afterwards.

    A session of 60,000 masks is half a million objects; to go through them over and over as they become
    more takes longer than to make them.

    Examples
    --------
    >>> with making_what_stays():
    ...     masks = [[number] for number in range(1000)]
    >>> gc.isenabled()
    True
    """
    if not gc.isenabled():  # another thread is in here, or somebody wants it so
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        gc.enable()


@contextmanager
def older_objects_left_alone() -> Iterator[None]:
    """Confine the collection to what is made meanwhile.

    To go through all of napari's half a million objects stops every thread, the window's too, for 0.3 s.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
