"""Nouns that agree with their number, for sentences that people read."""

__all__ = ["counted", "plural"]


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
