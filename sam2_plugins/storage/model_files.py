"""Files of a session's own models: which weights they hold, and where they are by now."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sam2_engine.weights.model_folder import file_sha256, weights_in
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.storage.source_files import path_from, places_from

__all__ = ["describe_model", "model_from", "with_model_file", "with_model_of_now"]


def describe_model(path: Path, name: str) -> dict[str, Any]:
    """Return what the session folder at ``path`` remembers of a model: its name, and which file it is."""
    weights = Path(ModelName.parse(name).absolute().weights)
    checksum = _checksum(weights) if weights.is_absolute() else None
    if checksum is None:
        return {"model": name}
    return {"model": name, "model_file": {"from_here": path_from(path, str(weights)), "checksum": checksum}}


def with_model_file(path: Path, call: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked of a session, as its folder at ``path`` remembers it: a model by its file."""
    return {**call, **describe_model(path, call["model"])} if call["do"] == "use_model" else call


def with_model_of_now(path: Path, call: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked of a session, as it can be asked again: a model by where its file is by now."""
    if "model_file" not in call:
        return call
    plain = {name: value for name, value in call.items() if name != "model_file"}
    return {**plain, "model": model_from(call, path)[0]}


def model_from(described: Mapping[str, Any], path: Path) -> tuple[str | None, str]:
    """Return the name of the model that the session folder at ``path`` remembers, where its file is by now.

    That is a file with the same weights: one that lies as it lay to the original session, beside this one or
    in it, or where it was.

    Parameters
    ----------
    described
        As :func:`describe_model` returned it, perhaps in an earlier version, which knew the name alone.

    Returns
    -------
    name, note
        The name of before where none has these weights, and a sentence that says so; else an empty one.
    """
    name, file = described.get("model"), described.get("model_file")
    if name is None or file is None:
        return name, ""
    wanted = ModelName.parse(name).absolute()
    before = Path(wanted.weights)
    for place in places_from(before, file["from_here"], path):
        if _checksum(place) == file["checksum"]:
            is_same = place.resolve() == before.resolve()
            return name if is_same else str(wanted._replace(weights=str(place.absolute()))), ""
    if before.exists():
        note = f"{before} holds other weights by now; what is computed from here on is computed by them."
    else:
        note = (
            f"Its model is no longer {before}, nor is a file {before.name} with the same weights in or "
            "beside the session. Its masks open, and none can be computed: put it back, or choose a model."
        )
    return name, note


def _checksum(place: Path) -> str | None:
    """Return the checksum of a model's weights, a file or in a folder; None if there are none."""
    file = weights_in(place) if place.is_dir() else place
    if file is None or not file.is_file():
        return None
    stat = file.stat()
    return _checksum_then(file.absolute(), stat.st_size, stat.st_mtime_ns)


@lru_cache(64)
def _checksum_then(file: Path, size: int, written: int) -> str:
    return file_sha256(file)
