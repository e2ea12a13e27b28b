"""Locations of weights on this machine, and checksums of the official ones."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sam2_engine.modeling.config import VARIANTS
from sam2_engine.user_cache import user_cache

__all__ = ["SOURCES", "WEIGHT_SUFFIXES", "ModelStatus", "Source", "cache_folder", "find", "list_models"]

WEIGHT_SUFFIXES = (".pt", ".safetensors")
_SHIPPED = Path(__file__).parent

_HUGGING_FACE = "https://huggingface.co"

Origin = Literal["shipped", "cache", "hugging face"]


@dataclass(frozen=True)
class Source:
    """Source of an official checkpoint, or of a relative's.

    Attributes
    ----------
    folder
        Folder on the server, as the date of the release.
    megabytes
        Size of the ``.pt`` file, about.
    sha256
        Checksum of the ``.pt`` file; None where none is known: its names and shapes are checked in any case.
    server
        Where the folder is.
    repositories
        Where else it is at Hugging Face, whose client may have fetched it.
    """

    folder: str
    megabytes: int
    sha256: str | None
    server: str = "https://dl.fbaipublicfiles.com/segment_anything_2"
    repositories: tuple[str, ...] = ()


def _efficient(megabytes: int, sha256: str | None = None) -> Source:
    repository = "yunyangx/efficient-track-anything"
    return Source(f"{repository}/resolve/main", megabytes, sha256, _HUGGING_FACE, (repository,))


SOURCES: dict[str, Source] = {
    "sam2.1_hiera_tiny": Source(
        "092824", 156, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
    ),
    "sam2.1_hiera_small": Source(
        "092824", 184, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
    ),
    "sam2.1_hiera_base_plus": Source(
        "092824", 324, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"
    ),
    "sam2.1_hiera_large": Source(
        "092824", 898, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
    ),
    "sam2_hiera_tiny": Source(
        "072824", 156, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"
    ),
    "sam2_hiera_small": Source(
        "072824", 184, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"
    ),
    "sam2_hiera_base_plus": Source(
        "072824", 324, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"
    ),
    "sam2_hiera_large": Source(
        "072824", 898, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"
    ),
    "efficienttam_ti": _efficient(72, "acbb17b28cca1f860acee09c9ecb6efdb732080dc7a85a07292c31813175fa7d"),
    "efficienttam_ti_512x512": _efficient(
        72, "7d4d652a465f0081391050932f45d8a66768ccc99c8ea393ce8a5927e83f3b9b"
    ),
    "efficienttam_ti_1": _efficient(72),
    "efficienttam_ti_2": _efficient(72),
    "efficienttam_s": _efficient(136, "2b572be30d9e96ee29c8d785fe157c6b079ede7d56fbc8a3671d4120e63c89cd"),
    "efficienttam_s_512x512": _efficient(
        136, "67b5840012737ed2c94a4cb8787c5c1b27b3a946045d2e602e65ef77230b6085"
    ),
    "efficienttam_s_1": _efficient(136),
    "efficienttam_s_2": _efficient(136),
    "edgetam": Source(
        "facebook/EdgeTAM/resolve/main",
        56,
        "ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
        _HUGGING_FACE,
        ("facebook/EdgeTAM", "yonigozlan/EdgeTAM-hf"),
    ),
}


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


def cache_folder() -> Path:
    """Return the folder of downloaded and added checkpoints; ``SAM2_CACHE`` overrides the user's cache."""
    return user_cache() / "checkpoints"


def find(name: str) -> Path | None:
    """Return the file of a shipped, downloaded or added model, or of one in the Hugging Face cache."""
    located = _locate(name)
    return located[0] if located else None


def list_models() -> list[ModelStatus]:
    """Return every variant, and after them the models that the user added under names of their own.

    Examples
    --------
    >>> [status.name for status in list_models() if status.origin == "shipped"]
    ['nano']
    >>> find("nano").name
    'nano.safetensors'
    """
    cached = cache_folder().glob("*") if cache_folder().is_dir() else ()
    own = sorted({path.stem for path in cached if path.suffix in WEIGHT_SUFFIXES} - set(VARIANTS))
    return [_status(name) for name in (*VARIANTS, *own)]


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
    """Return where the Hugging Face client caches an official model, the official file first."""
    if name not in SOURCES:
        return []
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    repositories = SOURCES[name].repositories or (f"facebook/{name.replace('_', '-')}",)
    snapshots = [hub / f"models--{one.replace('/', '--')}" / "snapshots" for one in repositories]
    return [
        file
        for pattern in (f"*/{name}.pt", "*/model.safetensors")
        for folder in snapshots
        for file in sorted(folder.glob(pattern))
    ]


def _status(name: str) -> ModelStatus:
    located = _locate(name)
    if located is None:
        return ModelStatus(name, None, None, SOURCES[name].megabytes if name in SOURCES else 0.0)
    path, origin = located
    return ModelStatus(name, path, origin, path.stat().st_size / 1e6)
