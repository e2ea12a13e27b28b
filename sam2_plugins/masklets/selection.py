"""Selection of masklets: which are dropped, by the paper's rules, and how good each one is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from sam2_engine.masks import remove_small_regions
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.wording import counted
from sam2_plugins.masklets.search_progress import SearchProgress
from sam2_plugins.masklets.seeds import boxes_meet, shared_and_union
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.review.queue import Review
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

__all__ = ["Dropped", "drop_masklets", "found_in_words", "masklet_overlap", "masklet_qualities", "shown_mask"]

Masks = Mapping[int, AcceptedMask]
"""Masks of a masklet by frame."""


@dataclass(frozen=True)
class Dropped:
    """How many masklets were dropped by which rule."""

    small: int = 0
    unstable: int = 0
    duplicates: int = 0
    surplus: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.small + self.unstable + self.duplicates + self.surplus

    def __str__(self) -> str:
        parts = {
            "unstable": self.unstable,
            "too small": self.small,
            "duplicate": self.duplicates,
            "beyond the limit": self.surplus,
        }
        return ", ".join(f"{number} {name}" for name, number in parts.items() if number)


def drop_masklets(session: AnnotationSession, progress: SearchProgress, settings: MaskletSettings) -> Dropped:
    """Remove from a session the masklets that are too small, unstable, duplicates or too many.

    Parameters
    ----------
    session
        With all masklets tracked.
    progress
        Of the search: its masklets may go, unless a person verified them; the others are known, and what
        duplicates one of them goes.
    settings
        The rules.
    """
    if progress.dropped is None:
        progress.drop(_chosen(session, progress.scores, settings))
    dropped = progress.dropped or {}
    for one in (one for ones in dropped.values() for one in ones):
        if one in session.objects:
            session.remove_object(one)
    return Dropped(**{rule: len(ones) for rule, ones in dropped.items()})


def _chosen(
    session: AnnotationSession, seeds: Mapping[int, float], settings: MaskletSettings
) -> dict[str, list[int]]:
    """Return what is to be dropped, by the rules of :class:`Dropped`."""
    candidates = [one for one in seeds if one in session.objects and not session.verified(one)]
    masks = {one: session.annotations.masks_of(one) for one in session.objects}
    small = [one for one in candidates if _largest(masks[one]) < max(settings.min_area, 1)]
    rest = [one for one in candidates if one not in small]
    least = _least_stability(session) if settings.min_stability is None else settings.min_stability
    unstable = [one for one in rest if _stability(masks[one]) < least]
    rest = [one for one in rest if one not in unstable]
    qualities = masklet_qualities(session, seeds)
    known = [one for one in session.objects if one not in candidates]
    kept, duplicates = list(known), list[int]()
    for one in sorted(rest, key=lambda i: qualities[i], reverse=True):
        is_known = any(masklet_overlap(masks[one], masks[other]) > settings.max_overlap for other in kept)
        (duplicates if is_known else kept).append(one)
    surplus = kept[len(known) :][settings.max_masklets :]
    return {"small": small, "unstable": unstable, "duplicates": duplicates, "surplus": surplus}


def masklet_qualities(session: AnnotationSession, seeds: Mapping[int, float]) -> dict[int, float]:
    """Return how right each masklet probably is, 0..1: one minus the mean doubt of its tracked masks.

    The doubt is that of the review (``docs/review.md``). A masklet with nothing tracked has its seed's score.
    """
    masks = {one: session.annotations.masks_of(one) for one in session.objects}
    doubts: dict[int, list[float]] = {one: [] for one in masks}
    for item in Review().review_items(masks):
        if item.frame not in session.annotations.prompts_of(item.object_id):
            doubts[item.object_id].append(item.score)
    return {one: 1 - fmean(found) if found else seeds.get(one, 1.0) for one, found in doubts.items()}


def masklet_overlap(one: Masks, other: Masks) -> float:
    """Return the IoU of two masklets: of all their pixels on all frames."""
    if not any(frame in other and boxes_meet(mine.mask, other[frame].mask) for frame, mine in one.items()):
        return 0.0
    shared = union = 0
    for frame in one.keys() | other.keys():
        first, second = one.get(frame), other.get(frame)
        if first is not None and second is not None:
            more, either = shared_and_union(first.mask, second.mask)
            shared, union = shared + more, union + either
        elif (alone := first or second) is not None:
            union += int(np.count_nonzero(alone.mask.crop()))
    return shared / union if union else 0.0


def shown_mask(accepted: AcceptedMask | None, min_area: int) -> NDArray[np.bool_] | None:
    """Return a masklet's mask on a frame as it is shown and written, (H, W).

    A tracked one is without small components and holes, which the model leaves and nobody asked for.
    """
    if accepted is None:
        return None
    mask = accepted.mask.to_array()
    is_tracked = accepted.origin is MaskOrigin.TRACKED and not accepted.mask.is_empty
    return remove_small_regions(mask, min_area) if is_tracked else mask


def _largest(masks: Masks) -> int:
    return max((int(np.count_nonzero(one.mask.crop())) for one in masks.values()), default=0)


def _least_stability(session: AnnotationSession) -> float:
    """Return what the model of a session counts as stable; elsewhere its weights are not here to be asked."""
    store = session.store
    known = VARIANTS["nano"] if store.remote is not None else store.get(session.model_name).config
    return known.stability_score_thresh


def _stability(masks: Masks) -> float:
    """Return the mean stability over the tracked frames with a mask; 0 if there are none."""
    tracked = [one for one in masks.values() if one.logits is not None]
    if len(masks) == 1:
        return 1.0  # an image: its seed has passed already
    return fmean(one.scores.stability for one in tracked) if tracked else 0.0


def found_in_words(kept: Sequence[float], dropped: Dropped) -> str:
    """Say how many masklets there are, how good, and how many were dropped."""
    quality = f", quality {fmean(kept):.2f}" if kept else ""
    left = f"; dropped: {dropped}" if dropped.total else ""
    return f"{counted(len(kept), 'masklet')}{quality}{left}"
