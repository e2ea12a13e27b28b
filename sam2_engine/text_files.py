"""Text files that people write, in whatever Unicode their editor saves."""

import codecs
from pathlib import Path

__all__ = ["read_text"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, errors: str = "strict") -> str:
    """Return the text of a file in UTF-8, or in what its byte order mark says.

    Notepad and PowerShell write such marks; without one, text is UTF-8.

    Raises
    ------
    UnicodeDecodeError
        If it is no such text, unless ``errors`` is that of ``bytes.decode``.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "prompts.json"
    ...     _ = path.write_bytes("[]".encode("utf-8-sig"))
    ...     read_text(path)
    '[]'
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors).replace("\r\n", "\n")
