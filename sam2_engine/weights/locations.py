"""Locations of weights on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_engine.user_cache import user_cache
from sam2_engine.weights.hub_names import HubName, cached_hub_models, is_hub_name
from sam2_engine.weights.model_folder import WEIGHTS_FILE, ModelCard, read_card, weights_in
from sam2_engine.weights.registry import REGISTRY, RegisteredModel

__all__ = [
    "WEIGHT_SUFFIXES",
    "ModelStatus",
    "cache_folder",
    "cached_files",
    "card_of",
    "file_of",
    "find",
    "list_models",
    "name_of",
]

WEIGHT_SUFFIXES = (".pt", ".pth", ".safetensors")
_SHIPPED = Path(__file__).parent

Origin = Literal["shipped", "cache", "hugging face", "hub"]


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
    def card(self) -> ModelCard | None:
        """The card of a model of one's own, if it has one.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        own = self.path is not None and self.origin in ("cache", "hub")
        return read_card(self.path.parent) if own and self.path is not None else None

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


def file_of(name_or_path: str) -> Path | None:
    """Return the file of weights of a model by its name, file or folder, if it is on this machine."""
    path = find(name_or_path)
    if path is None and not is_hub_name(name_or_path):
        given = Path(name_or_path)
        path = weights_in(given) if given.is_dir() else given
    return path if path is not None and path.is_file() else None


def card_of(name_or_path: str) -> ModelCard | None:
    """Return the card beside a model's weights; None if there is none.

    Examples
    --------
    >>> card_of("nano") is None  # the registry of models knows it
    True

    Raises
    ------
    InputError
        If it cannot be read.
    """
    path = file_of(name_or_path)
    return read_card(path.parent) if path is not None and weights_in(path.parent) == path else None


def list_models() -> list[ModelStatus]:
    """Return every registered model, then those that the user added by names of their own, or from the hub.

    Examples
    --------
    >>> [status.name for status in list_models() if status.origin == "shipped"]
    ['nano']
    >>> find("nano").name
    'nano.safetensors'
    """
    cached = [*cache_folder().glob("*")] if cache_folder().is_dir() else []
    own = {path.stem for path in cached if path.suffix in WEIGHT_SUFFIXES and path.is_file()}
    own |= {path.name for path in cached if weights_in(path) is not None}
    names = *REGISTRY, *sorted(own - set(REGISTRY)), *map(str, cached_hub_models())
    return [_status(name) for name in names]


def _locate(name: str) -> tuple[Path, Origin] | None:
    if is_hub_name(name):
        fetched = HubName.parse(name)
        if fetched.registered is not None:
            return _locate(fetched.registered)
        return None if fetched.weights is None else (fetched.weights, "hub")
    if Path(name).name != name:
        return None
    candidates: tuple[tuple[Origin, list[Path]], ...] = (
        ("shipped", [_SHIPPED / f"{name}.safetensors"]),
        ("cache", cached_files(name)),
        ("hugging face", _huggingface_files(name)),
    )
    return next(((path, origin) for origin, paths in candidates for path in paths if path.is_file()), None)


def cached_files(name: str) -> list[Path]:
    """Return where a model of this name lies in the cache, or would lie: as one file, or in a folder."""
    folder = cache_folder() / name
    files = [cache_folder() / f"{name}{suffix}" for suffix in WEIGHT_SUFFIXES]
    return [*files, weights_in(folder) or folder / WEIGHTS_FILE]


def name_of(path: Path) -> str:
    """Return what a model in the cache is called, by the file of its weights."""
    return path.stem if path.parent == cache_folder() else path.parent.name


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
