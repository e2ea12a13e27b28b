"""The models of one application, and the lock of the device they share."""

import threading
from pathlib import Path

from sam2_engine.checkpoints import load_model
from sam2_engine.modeling.sam2 import Sam2
from sam2_plugins.jobs import DeviceLock

__all__ = ["ModelStore"]


class ModelStore:
    """Loaded models, each once, and one lock for their device.

    A host makes one store (napari: one per application; a server: one per process) and passes it along.

    Parameters
    ----------
    device, dtype
        As for :func:`sam2_engine.load_model`; "auto" picks what the machine has.

    Attributes
    ----------
    lock
        The device's lock. Whoever computes holds it, a propagation for one frame at a time.
    """

    def __init__(self, device: str = "auto", dtype: str = "auto") -> None:
        self.device = device
        self.dtype = dtype
        self.lock = DeviceLock()
        self._models: dict[tuple[str, int | None], Sam2] = {}
        self._loading = threading.Lock()

    def get(self, name: str | Path = "nano", image_size: int | None = None) -> Sam2:
        """Return a model by its variant's name or its file, loading it on first use.

        Parameters
        ----------
        name
            ``nano@320`` is nano with an input of 320 x 320 pixels: faster, and coarser.
        image_size
            Side of the input in pixels, if the name does not tell; None for the model's own.

        Raises
        ------
        InputError
            If the name, the size or the device is not one that there is, or the file is not a model.
        """
        plain, _, size = str(name).rpartition("@")
        if plain and size.isdigit() and not Path(name).exists():
            name, image_size = plain, int(size)
        key = (str(name), image_size)
        with self._loading:
            if key not in self._models:
                self._models[key] = load_model(
                    name, device=self.device, dtype=self.dtype, image_size=image_size
                )
            return self._models[key]
