"""Model class for the ``label-studio-ml`` package, around the same predictor.

>>> from label_studio_ml.api import init_app
>>> from labelstudio_backend.http.ml_backend import Sam2Backend
>>> app = init_app(model_class=Sam2Backend)

The package is optional and its pins are old, so it is imported only when the class is imported.
"""

from functools import cache
from typing import Any

from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError

__all__ = ["Sam2Backend", "backend_class"]  # noqa: F822 - Sam2Backend is made by __getattr__


def __getattr__(name: str) -> type[Any]:
    if name == "Sam2Backend":
        return backend_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _predictor() -> Predictor:
    """Return the process's predictor: the package makes a new model object for every request."""
    predictor = Predictor(Settings.from_environment())
    predictor.load()
    return predictor


@cache
def backend_class() -> type[Any]:
    """Return a subclass of ``LabelStudioMLBase`` that works under versions 1.0.9 and 2.0 of the package.

    Raises
    ------
    InputError
        If ``label-studio-ml`` is not installed.
    """
    try:
        from label_studio_ml.model import LabelStudioMLBase
    except ImportError as error:
        raise InputError(
            f"label-studio-ml cannot be imported ({error}); "
            "install it with: pip install 'sam2-plugins[label-studio-ml]', or use: sam2 serve"
        ) from None

    class Sam2Backend(LabelStudioMLBase):  # type: ignore[misc]  # the package is not typed
        @property
        def model_version(self) -> str:
            """The one version of all predictions, known without loading the weights."""
            return Settings.from_environment().model_version

        @model_version.setter
        def model_version(self, _: object) -> None:
            """Leave it as it is: 1.0.9 assigns one; to 2.0 it is a property, too."""

        def predict(self, tasks: list[Any], context: Any = None, **kwargs: Any) -> list[Any]:
            return _predictor().predict(tasks, self.label_config, context)

        def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            """Do nothing: training is started by people."""
            return {}

    # 1.0.9 sends the class to another process at every webhook, so it must be found again by its name.
    Sam2Backend.__qualname__ = "Sam2Backend"
    return Sam2Backend
