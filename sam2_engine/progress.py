"""Progress of long work, shown where somebody looks: in a terminal or a notebook."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["with_bar"]

T = TypeVar("T")


def with_bar(steps: Iterable[T], title: str, total: int | None, progress: bool | None = None) -> Iterator[T]:
    """Pass steps through, and show on standard error how many are done.

    Parameters
    ----------
    steps
        The work.
    title
        What is done.
    total
        How many steps there are; None if nobody knows.
    progress
        Whether to show it; None: in a notebook, and where standard error is a terminal.

    Examples
    --------
    >>> sum(with_bar(range(4), "adding", 4))
    6
    """
    if progress is None and _is_notebook():
        progress = True
    disable = None if progress is None else not progress  # tqdm's None: off where it is no terminal
    with tqdm(desc=title, total=total, unit="frame", disable=disable) as bar:
        for step in steps:
            yield step
            bar.update()


def _is_notebook() -> bool:
    """Whether this is a kernel of Jupyter or the like, whose output is read though it is no terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")
