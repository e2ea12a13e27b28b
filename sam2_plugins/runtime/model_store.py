"""Loaded models of one application, and the lock of the device they share."""

import threading
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sam2_engine.feature_cache import DEFAULT_BYTES, FeatureCache
from sam2_engine.frames import FrameSource
from sam2_engine.modeling.approximations import FAST, approximations_of
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.precision import choose_dtype
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tracking_session import TrackingSession
from sam2_engine.weights.expected_pixels import expected_pixels
from sam2_engine.weights.hub_names import is_hub_name
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.locations import find
from sam2_engine.weights.registry import REGISTRY
from sam2_plugins.cluster.connection import is_address
from sam2_plugins.runtime.jobs import DeviceLock
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.runtime.out_of_memory import translate_oom
from sam2_plugins.runtime.run_estimate import RunMeasurements

if TYPE_CHECKING:
    from sam2_plugins.cluster.remote_device import RemoteDevice

__all__ = ["ModelStore", "available_devices"]


class ModelStore:
    """Loaded models, each only once, and one lock for their device.

    A host makes one store (napari: one per application; a server: one per process) and passes it along.

    Parameters
    ----------
    device, dtype
        As for :func:`sam2_engine.load_model`; "auto" picks what the machine has. A device may also be the
        address of a dask scheduler or worker, ``tcp://host:port``, on which models then run.
    encoded_bytes
        Cap of the encoded frames that a session keeps in memory.
    measurements
        Measured times of earlier runs, from which the next ones are estimated; None for none yet.

    Attributes
    ----------
    device, encoded_bytes, measurements
        As given; ``encoded_bytes`` may be changed, for sessions that begin later.
    lock
        The device's lock. A thread that computes holds it, a propagation for one frame at a time.

    Examples
    --------
    >>> store = ModelStore("cpu")  # models are loaded when they are needed
    >>> store.device_name
    'cpu'
    >>> with store.lock:
    ...     pass  # compute
    """

    def __init__(
        self,
        device: str = "auto",
        dtype: str = "auto",
        encoded_bytes: int = DEFAULT_BYTES,
        measurements: RunMeasurements | None = None,
    ) -> None:
        self.device = str(device)
        self.encoded_bytes = encoded_bytes
        self.dtype = dtype
        self.lock = DeviceLock()
        self.measurements = RunMeasurements() if measurements is None else measurements
        self._models: dict[ModelName, Sam2] = {}
        self._remote: RemoteDevice | None = None
        self._loading = threading.Lock()

    def get(self, name: str | Path = "nano", image_size: int | None = None) -> Sam2:
        """Return a model by its variant's name or its file, loading it on first use.

        Parameters
        ----------
        name
            ``nano@320`` is nano with an input of 320 x 320 pixels, faster and coarser; ``nano+fast`` is nano
            with approximations.
        image_size
            Side of the input in pixels, if the name does not tell; None for the model's own.

        Raises
        ------
        InputError
            If the name, the size or the device does not exist, or the file is not a model; if it does not
            fit into the device's memory.
        """
        wanted = ModelName.parse(name)
        if wanted.image_size is None:
            wanted = wanted._replace(image_size=image_size)
        exact = wanted._replace(approximations=None)
        with self._loading:
            if exact not in self._models:
                with translate_oom(self.device_name):
                    self._models[exact] = load_model(
                        exact.weights, device=self.device, dtype=self.dtype, image_size=exact.image_size
                    )
            if wanted not in self._models:
                rough = copy(self._models[exact])  # of the same weights
                rough.approximations = approximations_of(wanted.approximations, rough.config)
                self._models[wanted] = rough
            return self._models[wanted]

    def add(self, model: Sam2) -> str:
        """Take a model that is loaded already, and return its name here."""
        weights, image_size = model.loaded_as or (f"{model.config.name} in memory", None)
        rough = model.approximations
        named = FAST if rough == approximations_of(FAST) else next(iter(rough), None)
        name = ModelName(weights, image_size, named).absolute()
        with self._loading:
            self._models[name] = model
        return str(name)

    def load(self, name: str | Path = "nano") -> ModelConfig:
        """Load a model where it runs, unless it is loaded, and return its configuration.

        Raises
        ------
        InputError
            As :meth:`get`; or if the device is elsewhere, and nobody answers there.
        """
        remote = self.remote
        return self.get(name).config if remote is None else remote.load(str(name))

    def intensities(self, name: str | Path) -> str:
        """Return the rule by which a model sees gray levels; it need not be loaded for it.

        Raises
        ------
        InputError
            If its card cannot be read; as :meth:`load` of a model that is elsewhere.
        """
        wanted = ModelName.parse(name)
        loaded = next(
            (model for one, model in [*self._models.items()] if one.weights == wanted.weights), None
        )
        if loaded is not None:
            return loaded.config.intensities
        if wanted.weights in REGISTRY:
            return REGISTRY[wanted.weights].intensities
        if self.remote is not None or (is_hub_name(wanted.weights) and find(wanted.weights) is None):
            return self.load(name).intensities
        return expected_pixels(wanted.weights)

    def open_session(
        self,
        name: str | Path,
        frames: FrameSource,
        window: IntensityWindow | None,
        cache: FeatureCache,
        **options: Any,
    ) -> TrackingSession:
        """Return an engine session with a model, where that runs; as :func:`open_video_session`."""
        remote = self.remote
        if remote is None:
            return open_video_session(self.get(name), frames, window, cache, **options)
        from sam2_plugins.cluster.remote_session import RemoteSession

        return RemoteSession.open(remote, str(name), frames, window, cache, **options)

    @property
    def remote(self) -> "RemoteDevice | None":
        """The device, if it is elsewhere."""
        if not is_address(self.device):
            return None
        if self._remote is None or self._remote.address != self.device:
            from sam2_plugins.cluster.remote_device import RemoteDevice

            self._remote = RemoteDevice(self.device, self.dtype)
        return self._remote

    @property
    def device_name(self) -> str:
        """The device of the models: one of :func:`available_devices`, or one that is not available."""
        devices = list(available_devices())
        if self.device == "auto":
            return devices[min(1, len(devices) - 1)]
        return next((one for one in devices if self.device in (one, one.partition(":")[0])), self.device)

    @property
    def compute_dtype(self) -> str:
        """The type in which the models compute.

        Raises
        ------
        InputError
            If the device or the type does not exist here.
        """
        if (remote := self.remote) is not None:
            return remote.compute_dtype
        return str(choose_dtype(self.dtype, find_device(self.device))).removeprefix("torch.")

    def use_device(self, device: str) -> None:
        """Compute on another device from now on.

        Models are loaded onto it when they are next asked for. A session holds its model: call its
        ``drop_engine``.
        """
        with self._loading:
            self.device = device
            self._models.clear()
            if self._remote is not None:
                self._remote.close()


def available_devices() -> dict[str, str]:
    """Return the devices of this machine: descriptions by the names that ``ModelStore`` takes."""
    devices = {"cpu": "processor"}
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        devices |= {f"cuda:{number}": torch.cuda.get_device_name(number) for number in range(count)}
    if torch.backends.mps.is_available():
        devices["mps:0"] = "Apple's graphics"
    return devices
