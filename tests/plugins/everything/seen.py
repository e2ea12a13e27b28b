"""Sightings drawn for tests."""

import numpy as np

from sam2_engine.masks import PackedMask
from sam2_plugins.everything.sightings import Sighting

SHAPE = (60, 80)


def seen(x: float, y: float, radius: float = 6, score: float = 0.9, found: bool = True) -> Sighting:
    """A disc."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    mask = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    return Sighting(PackedMask.from_array(mask), int(mask.sum()), score, found)
