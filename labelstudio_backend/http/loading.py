"""Loading of a server's models, downloaded once where they are not here, and how far it is."""

import logging
import threading
import time

from filelock import FileLock

from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError
from sam2_engine.weights.downloads import download
from sam2_engine.weights.locations import cache_folder, find
from sam2_engine.weights.registry import REGISTRY
from sam2_engine.wording import size_in_words
from sam2_plugins.runtime.model_name import ModelName

__all__ = ["Loading"]

_LOG_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Loading:
    """The way of a server's models into memory, gone in any thread.

    Parameters
    ----------
    predictor
        Whose models are loaded.

    Attributes
    ----------
    waits_for
        A sentence on what is not there yet; None once all is loaded.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.waits_for: str | None = "The model is still being loaded; try again in a minute."

    def run(self) -> None:
        """Download what is missing, load it, and try Label Studio's key.

        Raises
        ------
        InputError
            If a model is not there, cannot be downloaded, or is not usable.
        """
        for name in missing_models(self._predictor.settings):
            self._download(name)
        self.waits_for = "The model is still being loaded; try again in a minute."
        self._predictor.load()
        self.waits_for = None
        threading.Thread(target=self._try_label_studio, name="sam2-key", daemon=True).start()

    def _download(self, name: str) -> None:
        """Download a model; another server that shares the folder is waited for."""
        last = float("-inf")

        def tell(done: int, total: int | None) -> None:
            nonlocal last
            self.waits_for = f"The model {name} is being downloaded: {_progress(done, total)}."
            if time.monotonic() - last >= _LOG_SECONDS or done == total:
                last = time.monotonic()
                _log.info("model=%s downloaded=%r", name, _progress(done, total))

        _log.info("model=%s is not here, and is downloaded to %s", name, cache_folder())
        self.waits_for = f"The model {name} is being downloaded; try again in some minutes."
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            with FileLock(cache_folder() / f"{name}.lock"):
                download(name, tell)
        except OSError as error:
            raise InputError(
                f"The model {name} cannot be stored in {cache_folder()} ({error.strerror or error}); "
                "set SAM2_CACHE to a folder that can be written."
            ) from None
        except InputError as error:
            raise InputError(
                f"The model {name} is not on this machine and could not be downloaded. {error} Or give the "
                "path of its file as MODEL, for example on a volume."
            ) from None

    def _try_label_studio(self) -> None:
        try:
            self._predictor.check_label_studio()
        except InputError as error:
            _log.warning("%s", error)


def missing_models(settings: Settings) -> list[str]:
    """Return the official models that a server needs and this machine has not, each once."""
    names = (ModelName.parse(model).weights for model in settings.model_names.values())
    return [name for name in dict.fromkeys(names) if name in REGISTRY and find(name) is None]


def _progress(done: int, total: int | None) -> str:
    return size_in_words(done) + (f" of {size_in_words(total)}" if total else "")
