"""Names of models on the Hugging Face hub, ``hf:owner/name``, and where they lie once they were fetched."""

import re
from pathlib import Path
from typing import NamedTuple

from sam2_engine.errors import InputError
from sam2_engine.user_cache import user_cache
from sam2_engine.weights.model_folder import weights_in
from sam2_engine.weights.registry import REGISTRY

__all__ = ["HubName", "cached_hub_models", "is_hub_name"]

_PREFIX = "hf:"
_NAME = re.compile(r"hf:([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?")


def is_hub_name(name: str) -> bool:
    """Whether a name is one of the hub.

    Examples
    --------
    >>> is_hub_name("hf:lab/cells"), is_hub_name("lab/cells")
    (True, False)
    """
    return name.startswith(_PREFIX)


class HubName(NamedTuple):
    """A model on the hub.

    Attributes
    ----------
    repository
        ``owner/name``.
    revision
        Branch, tag or commit; None for what is newest when it is first fetched.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, name: str) -> "HubName":
        """Read a name.

        Raises
        ------
        InputError
            If it is none.

        Examples
        --------
        >>> HubName.parse("hf:lab/cells@v2")
        HubName(repository='lab/cells', revision='v2')
        >>> str(HubName("lab/cells"))
        'hf:lab/cells'
        """
        found = _NAME.fullmatch(name if is_hub_name(name) else f"{_PREFIX}{name}")
        if found is None or ".." in name:
            raise InputError(f"{name!r} is no name of a model on the hub: give hf:owner/name.")
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return f"{_PREFIX}{self.repository}" + ("" if self.revision is None else f"@{self.revision}")

    @property
    def folder(self) -> Path:
        """Where it is stored on this machine."""
        revision = "" if self.revision is None else f"@{self.revision.replace('/', '--')}"
        return _hub_folder() / f"{self.repository.replace('/', '--')}{revision}"

    @property
    def registered(self) -> str | None:
        """The name of the registered model whose repository it is: that is fetched from its own address."""
        return next((one.name for one in REGISTRY.values() if self.repository in one.repositories), None)

    @property
    def weights(self) -> Path | None:
        """The file of its weights on this machine; None if it was not fetched."""
        return weights_in(self.folder)


def cached_hub_models() -> list[HubName]:
    """Return those that were fetched."""
    folders = _hub_folder().glob("*--*") if _hub_folder().is_dir() else ()
    names = [path.name.replace("--", "/", 1) for path in sorted(folders) if weights_in(path) is not None]
    return [HubName.parse(name) for name in names if _NAME.fullmatch(f"{_PREFIX}{name}")]


def _hub_folder() -> Path:
    return user_cache() / "hub"
