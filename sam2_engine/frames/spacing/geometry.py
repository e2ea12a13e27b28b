"""Geometry of a volume: where its pixels lie in the patient or the world."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry"]

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a stack lie, x to the patient's left, y to the back, z to the head (LPS, as DICOM).

    Attributes
    ----------
    origin
        Center of the first pixel of the first frame.
    steps
        From one position to the next along the stack's axes X, Y and Z, as its frames name them.
    order
        Those three as the file has them, the axis that varies fastest first.
    unit
        Of lengths.

    Examples
    --------
    >>> steps = {"X": (0.5, 0, 0), "Y": (0, 0.5, 0), "Z": (0, 0, 2)}
    >>> Geometry((10, 20, 30), steps).affine("XYZ")[:3].tolist()
    [[0.5, 0.0, 0.0, 10.0], [0.0, 0.5, 0.0, 20.0], [0.0, 0.0, 2.0, 30.0]]
    """

    origin: Vector
    steps: Mapping[str, Vector]
    order: str = "XYZ"
    unit: str = "mm"

    def affine(self, axes: str) -> NDArray[np.float64]:
        """Return the (4, 4) matrix from positions on three axes, in that order, to the world."""
        matrix = np.eye(4)
        for column, letter in enumerate(axes):
            matrix[:3, column] = self.steps[letter]
        matrix[:3, 3] = self.origin
        return matrix

    def at(self, fixed: Mapping[str, int]) -> "Geometry":
        """Return the geometry of what lies at fixed positions of the axes."""
        origin = np.array(self.origin, float)
        for letter, position in fixed.items():
            if letter in self.steps:
                origin += position * np.array(self.steps[letter])
        return Geometry(vector(origin), self.steps, self.order, self.unit)


def vector(values: "NDArray[np.float64]") -> Vector:
    """Return three numbers as a vector."""
    x, y, z = (float(value) for value in values)
    return x, y, z
