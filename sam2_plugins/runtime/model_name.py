"""Names of models that say how these compute: ``nano@320`` with a smaller input, ``nano+fast`` roughly."""

from pathlib import Path
from typing import NamedTuple

from sam2_engine.modeling.approximations import APPROXIMATIONS, FAST
from sam2_engine.weights.locations import find
from sam2_engine.weights.model_folder import weights_in

__all__ = ["ModelName"]


class ModelName(NamedTuple):
    """What a model's name consists of.

    Attributes
    ----------
    weights
        Name of a variant, or a file.
    image_size
        Side of the input in pixels; None for the model's own.
    approximations
        What is computed roughly, as for ``load_model``; None for nothing.
    """

    weights: str
    image_size: int | None = None
    approximations: str | None = None

    @classmethod
    def parse(cls, name: str | Path) -> "ModelName":
        """Read a name, whatever the order of its parts; whatever a file is called is its name.

        Examples
        --------
        >>> ModelName.parse("nano@320+fast")
        ModelName(weights='nano', image_size=320, approximations='fast')
        >>> str(ModelName("nano", None, "fast")), str(ModelName("nano", 320))
        ('nano+fast', 'nano@320')
        """
        weights, size, approximations = str(name), None, None
        while not Path(weights).exists():  # in either order, each once
            plain, _, last = weights.rpartition("+")
            if plain and approximations is None and last in (FAST, *APPROXIMATIONS):
                weights, approximations = plain, last
                continue
            plain, _, last = weights.rpartition("@")
            if not plain or size is not None or not last.isdigit():
                break
            weights, size = plain, int(last)
        return cls(weights, size, approximations)

    def absolute(self) -> "ModelName":
        """Return the name for whoever has another working directory: of a file or folder, its full path."""
        path = Path(self.weights)
        is_folder = path.is_dir() and weights_in(path) is not None and find(self.weights) is None
        return self._replace(weights=str(path.absolute())) if path.is_file() or is_folder else self

    def __str__(self) -> str:
        size = "" if self.image_size is None else f"@{self.image_size}"
        return f"{self.weights}{size}" + ("" if self.approximations is None else f"+{self.approximations}")
