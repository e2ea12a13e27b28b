"""Parameters of a project: the "extra params" of its connection to the backend, as Label Studio calls them.

Label Studio sends them with ``/setup`` only, so they are stored by project, also over a restart.
"""

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from labelstudio_backend.schema.labeling_config import FORMS
from sam2_engine.disk import replacing
from sam2_engine.errors import InputError

__all__ = ["BATCHES", "DIRECTIONS", "ProjectParameterStore", "ProjectParameters"]

DIRECTIONS = ("forward", "backward", "both")
BATCHES = ("automatic", "always", "prompts", "off")
_MAX_PROJECTS = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProjectParameters:
    """The settings of one project; what is left out has the server's value or the one given here.

    Attributes
    ----------
    model
        Name of one of the server's models; None for its first.
    tolerance
        0 to 100. On images: **pixels** by which a simplified polygon may be off; None for a thousandth of the
        longer side, at least 1. On videos: **percent of the image** by which a side of a rectangle may be off
        between two keyframes, the unit of Label Studio's rectangles; None for 1.
    direction
        Which way a video is tracked from the keyframes: one of ``DIRECTIONS``.
    time_budget
        Seconds until a response goes out with what is done, 1 to 3600; None for the server's.
    batch
        What "Retrieve predictions" does on images: ``"automatic"`` (prompts if the task holds any, else
        everything on the image, but not where a person may just be opening a single task), ``"always"``
        (then, too), ``"prompts"`` (only from prompts), ``"off"``. On videos: rectangles that a task holds
        are tracked; only ``"always"`` finds and tracks everything where it holds none.
    label
        The label of automatic masks; None for the first label of the configuration.
    answer
        The preferred form of predictions where the configuration has several; None for the first of
        ``labeling_config.FORMS``.
    confidence, min_area, max_objects, points_per_side
        What automatic masks are to be, as in ``AutomaticSettings`` of the automatic segmentation.
    """

    model: str | None = None
    tolerance: float | None = None
    direction: str = "forward"
    time_budget: float | None = None
    batch: str = "automatic"
    label: str | None = None
    answer: str | None = None
    confidence: float | None = None
    min_area: int = 20
    max_objects: int = 50
    points_per_side: int = 16

    def polygon_tolerance(self, shape: tuple[int, int]) -> float:
        """Return the pixels by which a polygon may be off, on an image of ``shape`` (H, W)."""
        return max(1.0, max(shape) / 1000) if self.tolerance is None else self.tolerance

    @property
    def keyframe_tolerance(self) -> float:
        """Percent of the image by which a rectangle may be off between two keyframes."""
        return 1.0 if self.tolerance is None else self.tolerance

    @classmethod
    def parse(cls, extra_params: object, models: Collection[str]) -> Self:
        """Read extra params: an object, or a JSON string of one; nothing or null for the defaults.

        Parameters
        ----------
        models
            The names that ``model`` may have.

        Raises
        ------
        InputError
            If a key is unknown or its value is not one that it takes.
        """
        values = _object(extra_params)
        readers = {**_READERS, "model": _one_of(models)}
        for key in values:
            if key not in readers:
                raise InputError(f"Unknown extra param {key!r:.60}; there are {', '.join(sorted(readers))}.")
        return cls(**{key: readers[key](key, value) for key, value in values.items() if value is not None})


class ProjectParameterStore:
    """The parameters of all projects that this server was connected to; it may be used from many threads.

    Parameters
    ----------
    models
        The names that a project may choose from.
    file
        Where they outlive the process, JSON; None not to store them.
    """

    def __init__(self, models: Collection[str], file: Path | None = None) -> None:
        self._models = tuple(models)
        self._file = file
        self._lock = threading.Lock()
        self._extra_params = self._read()
        self._parsed: dict[str, ProjectParameters] = {}
        for project, values in list(self._extra_params.items()):
            try:
                self._parsed[project] = ProjectParameters.parse(values, self._models)
            except InputError as error:
                _log.warning("parameters of project %s are dropped: %s", project, error)
                del self._extra_params[project]

    def set(self, project: object, extra_params: object) -> ProjectParameters:
        """Store the parameters of a project and return them.

        Raises
        ------
        InputError
            As :meth:`ProjectParameters.parse`; what was known of the project stays.
        """
        parsed, values = ProjectParameters.parse(extra_params, self._models), _object(extra_params)
        name = str(project)
        with self._lock:
            if values == self._extra_params.get(name, {}):
                return parsed
            for mapping in (self._extra_params, self._parsed):
                mapping.pop(name, None)
            if values:
                self._extra_params[name], self._parsed[name] = values, parsed
            while len(self._extra_params) > _MAX_PROJECTS:
                oldest = next(iter(self._extra_params))
                del self._extra_params[oldest], self._parsed[oldest]
            self._write()
        return parsed

    def get(self, project: object) -> ProjectParameters:
        """Return the parameters of a project; the defaults if it never sent any."""
        return self._parsed.get(str(project), ProjectParameters())

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._file is None or not self._file.is_file():
            return {}
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(project): dict(values) for project, values in found.items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            _log.warning("%s cannot be read (%s); projects start with the defaults", self._file, error)
            return {}

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file) as temporary:
                temporary.write_text(json.dumps(self._extra_params, indent=1), encoding="utf-8")
        except OSError as error:
            _log.warning("%s cannot be written (%s); a restart forgets the parameters", self._file, error)


def _object(extra_params: object) -> dict[str, Any]:
    found = extra_params
    if isinstance(extra_params, str):
        try:
            found = json.loads(extra_params) if extra_params.strip() else None
        except (ValueError, RecursionError):
            raise InputError(
                f"The extra params are not JSON: {extra_params[:60]!r}; "
                'write an object, for example {"tolerance": 2}.'
            ) from None
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InputError('The extra params must be a JSON object, for example {"tolerance": 2}.')
    return {str(key): value for key, value in found.items()}


def _one_of(choices: Collection[str]) -> Callable[[str, object], str]:
    def read(key: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InputError(f"The extra param {key} is {value!r:.60}; it may be {' or '.join(choices)}.")
        return value

    return read


def _number(
    low: float, high: float, kind: type[int] | type[float], unit: str = ""
) -> Callable[[str, object], float]:
    def read(key: str, value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= float(str(value)) <= high or kind(float(str(value))) != value:
            whole = "a whole number" if kind is int else "a number"
            raise InputError(
                f"The extra param {key} is {value!r:.60}; it must be {whole} from {low:g} to {high:g}{unit}."
            )
        return kind(float(str(value)))

    return read


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"The extra param {key} is {value!r:.60}; it must be a text.")
    return value


_READERS: dict[str, Callable[[str, object], Any]] = {
    "tolerance": _number(
        0, 100, float, ": on images pixels (polygons), on videos percent of the image (rectangles)"
    ),
    "direction": _one_of(DIRECTIONS),
    "time_budget": _number(1, 3600, float),
    "batch": _one_of(BATCHES),
    "label": _text,
    "answer": _one_of(FORMS),
    "confidence": _number(0, 1, float),
    "min_area": _number(0, 1e6, int),
    "max_objects": _number(1, 1000, int),
    "points_per_side": _number(1, 64, int),
}
