"""Libraries that read files: imported when a file needs them, and without their warnings."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sam2_engine.errors import InputError, InputWarning

__all__ = ["nibabel_for", "pydicom_for", "quiet"]

_QUIET = threading.RLock()


def pydicom_for(name: str) -> Any:
    """Return the module pydicom, with its pixels.

    Raises
    ------
    InputError
        If it is not installed; ``name`` is the file that needs it.
    """
    try:
        import pydicom
        import pydicom.pixels
    except ImportError:
        raise _not_installed(name) from None
    return pydicom


def nibabel_for(name: str) -> Any:
    """Return the module nibabel.

    Raises
    ------
    InputError
        If it is not installed; ``name`` is the file that needs it.
    """
    try:
        import nibabel
    except ImportError:
        raise _not_installed(name) from None
    return nibabel


def _not_installed(name: str) -> InputError:
    return InputError(f'{name} needs an extra package: pip install "sam2-plugins[medical]".')


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Hold back the libraries' warnings, of which few are about what is read here; one thread at a time."""
    logger = logging.getLogger("nibabel.global")
    with _QUIET, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield said
        finally:
            logger.setLevel(level)
    for one in said:
        if issubclass(one.category, InputWarning):  # of another thread: filters are those of all of them
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
