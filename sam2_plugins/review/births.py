"""Objects that perhaps came from another one, and how probably, by the masks of now."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from sam2_engine.masks import PackedMask
from sam2_plugins.everything.divisions import LATE, ProposedDivision, is_near, late_probability
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.review.mask_features import MaskFeatures
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["SeenObject", "birth_of"]


class SeenObject(Protocol):
    """What is known of one object."""

    masks: dict[int, AcceptedMask]
    features: dict[int, MaskFeatures]
    frames: list[int]


def birth_of(object_id: int, frame: int, objects: Mapping[int, SeenObject]) -> ProposedDivision | None:
    """Return the most probable division by which an object may begin on a frame; None if nothing is near.

    The mother may go on as the other daughter; else that one begins on the same frame. A mother's mask that
    still holds this one is the other one without it.
    """
    features = objects[object_id].features[frame]
    if not features.area:
        return None
    daughter = Sighting.of(objects[object_id].masks[frame])
    near = [other for other, one in objects.items() if other != object_id and _is_near(one, frame, features)]
    found: list[ProposedDivision] = []
    for mother in near:
        sightings = _sightings(objects[mother], range(frame - LATE, frame))
        for sister in near if sightings else ():
            if sister != mother and _sightings(objects[sister], range(frame - LATE, frame)):
                continue  # she was there before
            for whole in _sightings(objects[sister], range(frame, frame + 1)).values():
                other = _without(whole, daughter) if sister == mother else whole
                if not other.area:
                    continue
                probability = late_probability(sightings, frame, (daughter, other))
                found.append(ProposedDivision(mother, (object_id, sister), frame, probability))
    return max(found, key=lambda one: one.probability, default=None)


def _is_near(one: SeenObject, frame: int, daughter: MaskFeatures) -> bool:
    """Whether an object is near a daughter on her first frame, or on one shortly before."""
    seen = (one.features.get(other) for other in range(frame - LATE, frame + 1))
    return any(
        is_near((known.y, known.x), known.area, (daughter.y, daughter.x), daughter.area)
        for known in seen
        if known is not None and known.area
    )


def _without(whole: Sighting, daughter: Sighting) -> Sighting:
    """Return what is left of a mask without another one."""
    mask = whole.mask
    pixels = mask.crop() & ~daughter.mask.within(mask.box)
    left = PackedMask.from_array(pixels, mask.shape, (mask.box[0].start, mask.box[1].start))
    return Sighting(left, int(np.count_nonzero(pixels)), whole.score)


def _sightings(one: SeenObject, frames: range) -> dict[int, Sighting]:
    masks = {frame: one.masks[frame] for frame in frames if frame in one.masks}
    return {frame: Sighting.of(mask) for frame, mask in masks.items() if not mask.mask.is_empty}
