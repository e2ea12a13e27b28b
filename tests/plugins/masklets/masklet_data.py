"""What tests of masklets share."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sam2_plugins.masklets.dataset import MaskletDataset

Maker = Callable[[Mapping[str, int]], MaskletDataset]


def square(left: int, top: int, side: int = 10) -> NDArray[np.bool_]:
    mask = np.zeros((60, 80), bool)
    mask[top : top + side, left : left + side] = True
    return mask
