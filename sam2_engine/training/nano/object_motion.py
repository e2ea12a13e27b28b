"""Motion for the objects of a labeled image: each drifts its own way, and everything deforms.

Labeled videos are rare, labeled images are not. In a view that only pans, neighbors would always have the
same distance; cells do not.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

__all__ = ["elastic_deformation", "object_motion"]

_DEFORMATION_SPACING = 28.0
_FIRST_DEFORMATION, _DEFORMATION_PER_FRAME, _DRIFT_PER_FRAME = 2.0, 0.9, 2.2
_SOFT_EDGE = 5.0


def elastic_deformation(rng: np.random.Generator, num_frames: int, size: int, scale: float) -> Tensor:
    """Draw smooth displacements that grow over the frames like a random walk.

    Parameters
    ----------
    rng
        Source of randomness.
    num_frames, size
        Frames T and side S of the view in pixels.
    scale
        Magnification of the view; the displacements are as many times larger and wider.

    Returns
    -------
    displacements
        (T, 2, S, S) float32, ``(x, y)`` in pixels of the view.
    """
    side = max(3, round(size / (_DEFORMATION_SPACING * scale)))
    strengths = [rng.uniform(0, _FIRST_DEFORMATION)] + [rng.uniform(0, _DEFORMATION_PER_FRAME)] * (
        num_frames - 1
    )
    steps = rng.standard_normal((num_frames, 2, side, side), dtype=np.float32)
    steps *= np.array(strengths, np.float32)[:, None, None, None] * scale
    walk = torch.from_numpy(np.cumsum(steps, axis=0, dtype=np.float32))
    return F.interpolate(walk, size=(size, size), mode="bicubic", align_corners=False)


def object_motion(
    rng: np.random.Generator, labels: NDArray[np.int32], num_frames: int, scale: float
) -> Tensor:
    """Draw a steady drift for each object; between objects it fades.

    Parameters
    ----------
    rng
        Source of randomness.
    labels
        (S, S), the view in its first frame.
    num_frames, scale
        As in ``elastic_deformation``.

    Returns
    -------
    displacements
        (T, 2, S, S) float32, ``(x, y)`` in pixels of the view, 0 in the first frame.
    """
    ids, inverse = np.unique(labels, return_inverse=True)
    velocity = rng.normal(0, rng.uniform(0, _DRIFT_PER_FRAME) * scale, (len(ids), 2)).astype(np.float32)
    velocity[ids == 0] = 0.0
    field = torch.from_numpy(velocity[inverse.reshape(labels.shape)]).permute(2, 0, 1)[None]
    reach = max(1, round(_SOFT_EDGE * scale / 2))
    for _ in range(2):
        field = F.avg_pool2d(field, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    return field * torch.arange(num_frames).view(-1, 1, 1, 1)
