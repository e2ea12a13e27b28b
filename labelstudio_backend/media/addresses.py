"""Addresses of media, as tasks write them, as Label Studio serves them, and as messages may name them."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from sam2_engine.errors import InputError

__all__ = [
    "file_name",
    "is_in_cloud_storage",
    "is_inside_page",
    "redacted",
    "referred",
    "refuse_path_traversal",
    "served_address",
    "suffix_of",
]

_REFERENCE = re.compile(r"\$[\w\[\].{}]+")
_STEP = re.compile(r"[^.\[\]]+")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_OTHER_SCHEMES = ("http", "https", "file", "ftp")
_LONGEST = 200
"""Of an address, the characters that a message shows; of a file's name, the bytes."""


def referred(reference: str, data: Mapping[str, Any]) -> Any:
    """Return what an attribute of the labeling configuration stands for in a task's data.

    ``$image``, ``$image.url`` and ``$images[0]`` stand for a value of any kind, ``/data/upload/4/$f`` for a
    text with values in it, and a text without ``$`` for itself; None for what is not there.

    Examples
    --------
    >>> referred("$images[1].url", {"images": ["a.png", {"url": "b.png"}]})
    'b.png'
    >>> referred("/data/upload/4/$f", {"f": "c.png"})
    '/data/upload/4/c.png'
    """
    if reference.startswith("$") and reference[1:] in data:  # whatever characters the key is made of
        return data[reference[1:]]
    if _REFERENCE.fullmatch(reference):
        return _value_at(reference[1:], data)
    found = {name: _value_at(name[1:], data) for name in _REFERENCE.findall(reference)}
    if any(value is None for value in found.values()):
        return None
    return _REFERENCE.sub(lambda match: str(found[match.group()]), reference)


def _value_at(path: str, data: Mapping[str, Any]) -> Any:
    value: Any = data
    if path in data:
        return data[path]
    for step in _STEP.findall(path):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def served_address(written: str, task: object) -> str:
    """Return where Label Studio serves what a task's data names; other addresses are as they are.

    What lies in cloud storage (``s3://``, ``gs://``, ``azure-blob://`` and whatever storage it has) is got
    through its endpoint for that, which redirects to a signed address or hands the file through.

    Parameters
    ----------
    task
        Label Studio's id of the task.

    Examples
    --------
    >>> served_address("s3://cells/a.png", 7)
    '/tasks/7/resolve/?fileuri=czM6Ly9jZWxscy9hLnBuZw=='
    >>> served_address("/data/upload/4/a.png", 7)
    '/data/upload/4/a.png'
    """
    address = written.strip()
    scheme = _SCHEME.match(address)
    if scheme is None or scheme.group(1).lower() in _OTHER_SCHEMES:
        return address
    if not re.fullmatch(r"\d{1,18}", str(task)):
        raise InputError(
            f"{redacted(address)} lies in cloud storage, which Label Studio opens by the task's number, but "
            "the request names none; request it from within Label Studio."
        )
    return f"/tasks/{task}/resolve/?fileuri={base64.urlsafe_b64encode(address.encode()).decode()}"


def is_inside_page(address: str) -> bool:
    """Whether an address is a data URI, which holds the file itself."""
    return address[:5].lower() == "data:"


def is_in_cloud_storage(address: str) -> bool:
    """Whether an address is one by which Label Studio serves what lies in cloud storage."""
    return _stored_address(address) is not None


def redacted(address: str) -> str:
    """Return an address for messages and logs: without a query that could hold a signature.

    What is no address may be anything that a task holds, and is not shown.
    """
    if is_inside_page(address):
        return "the file within the task (a data URI)"
    if (stored := _stored_address(address)) is not None:
        return redacted(stored)
    parts = _split(address)
    if parts is None or not (_SCHEME.match(address) or address.startswith("/")):
        return "a text that is no address"
    local_path = parse_qs(parts.query).get("d")
    shown = parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()
    shown += f"?d={local_path[0]}" if local_path else ""
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2]}…{shown[-_LONGEST // 2 :]}"


def file_name(address: str) -> str:
    """Return the name of the file that an address leads to, of letters that any file may have.

    Examples
    --------
    >>> file_name("/data/local-files/?d=films/my cell.mp4")
    'my cell.mp4'
    """
    if is_inside_page(address):
        kind = address[5:].partition(";")[0].partition(",")[0].partition("/")[2].lower()
        return f"image.{kind}" if kind.isalnum() and len(kind) < 6 else "image"
    parts = _split(_stored_address(address) or address)
    if parts is None:
        return "file"
    name = PurePosixPath(parse_qs(parts.query).get("d", [unquote(parts.path)])[0]).name
    plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).encode(errors="replace")[-_LONGEST:]
    return plain.decode(errors="ignore").lstrip(".") or "file"


def suffix_of(address: str) -> str:
    """Return the ending of the file that an address leads to, by which readers know its format."""
    suffix = PurePosixPath(file_name(address)).suffix.lower()
    return suffix if suffix[1:].isalnum() and len(suffix) <= 6 else ""


def refuse_path_traversal(address: str) -> None:
    """Refuse ``..`` in a path, however it is written, without a request to Label Studio.

    Raises
    ------
    InputError
        If there is one.
    """
    plain = _stored_address(address) or address
    for _ in range(3):
        plain = unquote(plain)
    if ".." in plain.replace("\\", "/").replace("?", "/").replace("=", "/").replace("&", "/").split("/"):
        raise InputError("The task's address climbs out of its folder with '..', which is not allowed.")


def _stored_address(address: str) -> str | None:
    """Return the address in cloud storage that one of Label Studio's for it leads to."""
    parts = _split(address)
    if parts is None or not parts.path.endswith(("/resolve/", "/resolve", "/presign/", "/presign")):
        return None
    written = parse_qs(parts.query).get("fileuri", [""])[0]
    try:
        return base64.b64decode(written, altchars=b"-_", validate=True).decode() or None
    except (binascii.Error, ValueError):
        return unquote(written) or None


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:
        return None
