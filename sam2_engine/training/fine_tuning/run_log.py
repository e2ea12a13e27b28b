"""Log of a run: a table of losses, TensorBoard's curves, figures of predictions beside the ground truth."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.disk import replacing, when_full
from sam2_engine.errors import InputError

__all__ = ["RunLog", "save_comparison"]

_COLUMNS = ("step", "rate", "loss", "mask", "iou", "presence", "seconds")


class _Writer(Protocol):
    def add_scalar(self, tag: str, value: float, step: int) -> None: ...

    def close(self) -> None: ...


class RunLog:
    """``log.csv`` with a line per step, and the same for TensorBoard where it is installed.

    Parameters
    ----------
    folder
        The run's folder.
    step
        Steps that are done; later lines, of a run that was killed after its last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "log.csv"
        rows = self._earlier_rows(step)
        with replacing(self.path) as aside, aside.open("w", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *rows])
        self._file = self.path.open("a", newline="")
        self._board = _tensorboard_writer(folder / "tensorboard", step)

    @property
    def hint(self) -> str | None:
        """Message for users without TensorBoard."""
        if self._board is not None:
            return None
        return (
            'TensorBoard is not installed, so losses are only in log.csv: pip install "sam2-plugins[train]".'
        )

    def _earlier_rows(self, step: int) -> list[list[str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        return [row for row in rows if len(row) == len(_COLUMNS) and int(row[0]) <= step]

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step, counted from 1."""
        numbers = [repr(float(values[name])) for name in _COLUMNS[1:-1]]
        with when_full(self.path):
            csv.writer(self._file).writerow([step, *numbers, f"{values['seconds']:.3f}"])
            self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"train/{name}", value, step)

    def close(self) -> None:
        """Finish all files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _tensorboard_writer(folder: Path, step: int) -> _Writer | None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorBoard's own, about the libraries that it uses
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        board: _Writer = SummaryWriter(folder, purge_step=step + 1 if step else None)
    return board


def read_losses(folder: Path) -> list[tuple[int, float]]:
    """Return the step and the loss of every line of a run's ``log.csv``."""
    with (folder / "log.csv").open(newline="") as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


_OUTLINE_COLORS = np.array(
    [[230, 60, 60], [60, 200, 90], [70, 120, 255], [240, 190, 40], [200, 80, 220], [40, 210, 220]], np.uint8
)


def save_comparison(
    path: Path, rgb: NDArray[np.float32], ground_truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
) -> None:
    """Write a PNG: the image, the ground truth masks on it, and the predicted ones, side by side.

    Parameters
    ----------
    path
        File to write; replaced when it is complete.
    rgb
        (H, W, 3) in 0..1.
    ground_truth, predicted
        (N, H, W) masks of the same objects.
    """
    image = (np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    panels = [image, _with_masks(image, ground_truth), _with_masks(image, predicted)]
    gap = np.full((image.shape[0], 4, 3), 255, np.uint8)
    wide = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside:
            Image.fromarray(wide).save(aside, format="PNG")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); make space there.") from None


def _with_masks(image: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    result: NDArray[Any] = image.copy()
    for i, mask in enumerate(masks):
        color = _OUTLINE_COLORS[i % len(_OUTLINE_COLORS)]
        result[mask] = (result[mask] * 0.55 + color * 0.45).astype(np.uint8)
    return result
