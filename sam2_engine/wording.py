"""Numbers and sizes in sentences that people read."""

from collections.abc import Iterable
from difflib import SequenceMatcher

__all__ = ["begun", "counted", "did_you_mean", "duration_in_words", "in_ranges", "plural", "size_in_words"]

_NEAR = 0.6
"""Least likeness of names, 0 to 1, of which one may be meant by the other; as of Python's ``difflib``."""


def begun(words: str) -> str:
    """Return words as they begin a sentence.

    Examples
    --------
    >>> begun("object 3 (HeLa)")
    'Object 3 (HeLa)'
    """
    return words[:1].upper() + words[1:]


def plural(count: int, noun: str) -> str:
    """Return a noun as it stands with a number, without the number.

    Examples
    --------
    >>> plural(1, "object"), plural(3, "object")
    ('object', 'objects')
    """
    return noun if count == 1 else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """Return a number and its noun.

    Examples
    --------
    >>> counted(1, "frame"), counted(0, "frame")
    ('1 frame', '0 frames')
    """
    return f"{count} {plural(count, noun)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return what follows an unknown name in a sentence: the nearest known one, or nothing if none is near.

    Examples
    --------
    >>> f"There is no model 'nan0'{did_you_mean('nan0', ['nano', 'large'])}: give another."
    "There is no model 'nan0' (did you mean 'nano'?): give another."
    """
    likeness = {
        each: SequenceMatcher(a=each.casefold(), b=name.casefold(), autojunk=False).ratio() for each in known
    }
    nearest = max(likeness, key=likeness.__getitem__, default=None)  # of equals the first
    near = nearest is not None and likeness[nearest] >= _NEAR
    return f" (did you mean {nearest!r}?)" if near else ""


def in_ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers in order, those in a row as their first and last.

    Examples
    --------
    >>> in_ranges([9, 7, 8, 3, 12, 13])
    '3, 7 to 9, 12 to 13'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first} to {last}" if last > first else f"{first}" for first, last in runs)


def size_in_words(num_bytes: float) -> str:
    """Return a size in the unit in which it is at least 1.

    Examples
    --------
    >>> [size_in_words(size) for size in (0, 800, 9_740, 512e6, 2_349e6, 999_990, 45e12)]
    ['0 bytes', '800 bytes', '9.7 kB', '512 MB', '2.3 GB', '1 MB', '45 TB']
    """
    if num_bytes < 1000:
        return counted(int(num_bytes), "byte")
    size, units = float(num_bytes), iter(("kB", "MB", "GB", "TB", "PB", "EB"))
    unit = ""
    while float(f"{size:.3g}") >= 1000 or not unit:
        size, unit = size / 1000, next(units)
    return f"{size:.1f}".removesuffix(".0") + f" {unit}" if size < 99.95 else f"{size:.0f} {unit}"


def duration_in_words(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> [duration_in_words(seconds) for seconds in (0.2, 40, 200, 9_000)]
    ['1 s', '40 s', '3 min', '2.5 h']
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
