"""Values that a file of weights says of itself, bound to its weights, so that edited ones are noticed.

A checksum of them stands beside them, which holds for weights of these names and shapes alone: the rank of
an adapter, its strength, the size of the input, or the pixels that a model expects do not become others
silently.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sam2_engine.errors import InputError

__all__ = ["bound", "check_bound"]

_OURS = "sam2_"
_KEY = "sam2_checksum"


def bound(metadata: Mapping[str, str], shapes: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Return metadata of a file with the checksum that binds it to weights of these names and shapes.

    Examples
    --------
    >>> said = bound({"sam2_scale": "2.0"}, {"a": (2, 3)})
    >>> check_bound(said, {"a": (2, 3)}, Path("a.safetensors"))
    >>> check_bound({**said, "sam2_scale": "4.0"}, {"a": (2, 3)}, Path("a.safetensors"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sam2_engine.errors.InputError: What a.safetensors says of itself was edited after it was written: ...
    """
    return {**metadata, _KEY: _checksum(metadata, shapes)}


def check_bound(metadata: Mapping[str, str], shapes: Mapping[str, Sequence[int]], path: Path) -> None:
    """Refuse a file whose metadata was edited; files of other programs, and earlier ones, have no checksum.

    Raises
    ------
    InputError
        If it was.
    """
    if _KEY in metadata and metadata[_KEY] != _checksum(metadata, shapes):
        raise InputError(
            f"What {path} says of itself was edited after it was written: get it again, or write the model "
            "anew."
        )


def _checksum(metadata: Mapping[str, str], shapes: Mapping[str, Sequence[int]]) -> str:
    said = sorted((key, text) for key, text in metadata.items() if key.startswith(_OURS) and key != _KEY)
    digest = hashlib.sha256(repr(said).encode())
    for name, shape in sorted(shapes.items()):
        digest.update(repr((name, *shape)).encode())
    return digest.hexdigest()
