"""The label image of masks that may overlap."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["compose_labels", "label_dtype"]


def label_dtype(largest_id: int) -> "np.dtype[Any]":
    """Return the type of labels up to ``largest_id``: uint16, or uint32 if needed.

    Raises
    ------
    InputError
        If the id does not fit into 32 bits.
    """
    if largest_id > np.iinfo(np.uint32).max:
        raise InputError(
            f"Object id {largest_id} does not fit into a label image; the largest is {2**32 - 1}."
        )
    return np.dtype(np.uint16 if largest_id <= np.iinfo(np.uint16).max else np.uint32)


def compose_labels(
    shape: tuple[int, int], masks: Mapping[int, AcceptedMask], largest_id: int
) -> NDArray[Any]:
    """Return the (H, W) label image of ``masks`` by object id, 0 is background.

    Where masks overlap, the higher origin wins (painted, prompted, tracked), then the higher logit, then
    the higher id. ``largest_id`` decides the type, which so is the same for all frames of a stack.
    """
    labels = np.zeros(shape, label_dtype(largest_id))
    for object_id, accepted in sorted(masks.items()):
        claimed = accepted.mask.crop()
        crop = labels[accepted.mask.box]
        for rival_id in np.unique(crop[claimed & (crop > 0)]):
            contested = claimed & (crop == rival_id)
            claimed[contested] = _wins(accepted, masks[int(rival_id)], contested)
        crop[claimed] = object_id
    return labels


def _wins(newer: AcceptedMask, older: AcceptedMask, contested: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each contested pixel, given in the newer object's box, whether the newer object has it."""
    rows, columns = np.nonzero(contested)
    if newer.origin != older.origin:
        return np.full(len(rows), newer.origin > older.origin)
    rows, columns = rows + newer.mask.box[0].start, columns + newer.mask.box[1].start
    return newer.strength(rows, columns) >= older.strength(rows, columns)
