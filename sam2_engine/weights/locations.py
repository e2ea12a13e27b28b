"""Locations of weights on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_engine.user_cache import user_cache
from sam2_engine.weights.registry import REGISTRY, RegisteredModel

__all__ = ["WEIGHT_SUFFIXES", "ModelStatus", "cache_folder", "find", "list_models"]

WEIGHT_SUFFIXES = (".pt", ".pth", ".safetensors")
_SHIPPED = Path(__file__).parent

Origin = Literal["shipped", "cache", "hugging face"]


@dataclass(frozen=True)
class ModelStatus:
    """One line of ``sam2 models``.

    Attributes
    ----------
    name
        As ``load_model`` takes it.
    path
        Its file on this machine, or None.
    origin
        Where that file comes from, or None.
    megabytes
        Size of the file, or about that of its download.
    """

    name: str
    path: Path | None
    origin: Origin | None
    megabytes: float

    @property
    def available(self) -> bool:
        """Whether it can be loaded without a network."""
        return self.path is not None

    @property
    def registered(self) -> RegisteredModel | None:
        """What is known of it, unless it is one of the user's own."""
        return REGISTRY.get(self.name)


def cache_folder() -> Path:
    """Return the folder of downloaded and added checkpoints; ``SAM2_CACHE`` overrides the user's cache."""
    return user_cache() / "checkpoints"


def find(name: str) -> Path | None:
    """Return the file of a shipped, downloaded or added model, or of one in the Hugging Face cache."""
    located = _locate(name)
    return located[0] if located else None


def list_models() -> list[ModelStatus]:
    """Return every registered model, and after them those that the user added under names of their own.

    Examples
    --------
    >>> [status.name for status in list_models() if status.origin == "shipped"]
    ['nano']
    >>> find("nano").name
    'nano.safetensors'
    """
    cached = cache_folder().glob("*") if cache_folder().is_dir() else ()
    own = sorted({path.stem for path in cached if path.suffix in WEIGHT_SUFFIXES} - set(REGISTRY))
    return [_status(name) for name in (*REGISTRY, *own)]


def _locate(name: str) -> tuple[Path, Origin] | None:
    if Path(name).name != name:
        return None
    candidates: tuple[tuple[Origin, list[Path]], ...] = (
        ("shipped", [_SHIPPED / f"{name}.safetensors"]),
        ("cache", [cache_folder() / f"{name}{suffix}" for suffix in WEIGHT_SUFFIXES]),
        ("hugging face", _huggingface_files(name)),
    )
    return next(((path, origin) for origin, paths in candidates for path in paths if path.is_file()), None)


def _huggingface_files(name: str) -> list[Path]:
    """Return where the Hugging Face client caches a registered model, its authors' own file first."""
    if name not in REGISTRY:
        return []
    model = REGISTRY[name]
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = [hub / f"models--{one.replace('/', '--')}" / "snapshots" for one in model.repositories]
    return [
        file
        for pattern in (f"*/{model.file_name}", *(("*/model.safetensors",) if model.is_variant else ()))
        for folder in snapshots
        for file in sorted(folder.glob(pattern))
    ]


def _status(name: str) -> ModelStatus:
    located = _locate(name)
    if located is None:
        return ModelStatus(name, None, None, REGISTRY[name].megabytes)
    path, origin = located
    return ModelStatus(name, path, origin, path.stat().st_size / 1e6)
