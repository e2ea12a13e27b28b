"""One object under review: its masks, their features, what people said of them, and its review items."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from sam2_plugins.review.cues import (
    PROMPTED_FACTOR,
    Beside,
    CueInputs,
    Neighbor,
    ReviewItem,
    against_neighbors,
)
from sam2_plugins.review.encounters import Encounter
from sam2_plugins.review.families import DivisionDoubt
from sam2_plugins.review.jumps import REACH, Jump, Seen, jump_to
from sam2_plugins.review.mask_features import MaskFeatures, Overlap
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

__all__ = ["ReviewedObject"]


@dataclass
class ReviewedObject:
    """What is known of one object: its masks and their features by frame, and what people said of them."""

    masks: dict[int, AcceptedMask] = field(default_factory=dict)
    features: dict[int, MaskFeatures] = field(default_factory=dict)
    frames: list[int] = field(default_factory=list)
    reviewed: list[int] = field(default_factory=list)
    confirmed: set[int] = field(default_factory=set)
    items: dict[int, ReviewItem] = field(default_factory=dict)
    beside: dict[int, Beside] = field(default_factory=dict)

    def change(self, frame: int, mask: AcceptedMask | None, verified: bool) -> set[int]:
        """Take over a mask of a frame, or that there is none; return the frames whose items depend on it."""
        before = self.masks.get(frame)
        confirmed = mask is not None and (verified or mask.origin == MaskOrigin.PAINTED)
        if mask is before and confirmed == (frame in self.confirmed):
            return set()
        prompted = mask is not None and mask.origin == MaskOrigin.PROMPTED
        if mask is before and prompted:  # confirmed or no more: it is reviewed all the same
            (self.confirmed.add if confirmed else self.confirmed.discard)(frame)
            return {frame}
        touched = self._around(frame)
        if mask is not before:
            for other in self._beside(frame):
                self.beside.pop(other, None)
        if mask is None:
            for known in (self.masks, self.features, self.items):
                known.pop(frame, None)
        else:
            self.masks[frame] = mask
            if mask is not before:
                self.features[frame] = MaskFeatures.of(mask)
        (self.confirmed.add if confirmed else self.confirmed.discard)(frame)
        _keep(self.frames, frame, mask is not None)
        _keep(self.reviewed, frame, confirmed or prompted)
        return (touched | self._around(frame) | {frame}) & self.masks.keys()

    def _around(self, frame: int) -> set[int]:
        """Return the frames near one, and if it is reviewed those nearest to it of all reviewed ones."""
        touched = {frame, *self._beside(frame, REACH)}
        index = bisect_left(self.reviewed, frame)
        if self.reviewed[index : index + 1] == [frame]:
            before, after = self.reviewed[max(index - 1, 0) : index], self.reviewed[index + 1 : index + 2]
            first = bisect_left(self.frames, (before[0] + frame) / 2) if before else 0
            last = bisect_right(self.frames, (frame + after[0]) / 2) if after else None
            touched.update(before, self.frames[first:last], after)
        return touched

    def _beside(self, frame: int, reach: int = 1) -> list[int]:
        """Return a frame, if it is known, and so many before and after it."""
        number = bisect_left(self.frames, frame)
        is_known = self.frames[number : number + 1] == [frame]
        return self.frames[max(number - reach, 0) : number + reach + is_known]

    def _jump(self, frame: int, reviewed: int | None) -> Jump | None:
        """Return the jump by which the object came to a mask, from the side of a reviewed frame."""
        mask = Seen(frame, self.features[frame])
        if not mask.features.area:
            return None
        near = [Seen(other, self.features[other]) for other in self._beside(frame, REACH) if other != frame]
        seen = [one for one in near if one.features.area]
        before, after = (
            [one for one in seen if one.frame < frame][::-1],
            [one for one in seen if one.frame > frame],
        )
        return jump_to(mask, after, before) if (reviewed or 0) > frame else jump_to(mask, before, after)

    def inputs(
        self, frame: int, overlap: Overlap, division: DivisionDoubt | None, encounter: Encounter | None
    ) -> CueInputs:
        """Return the inputs of the cues of a mask."""
        reviewed = self.reviewed
        index = bisect_left(reviewed, frame)
        is_reviewed = index < len(reviewed) and reviewed[index] == frame
        nearest = reviewed[index - 1] if index else None
        after = index + is_reviewed
        if after < len(reviewed) and (nearest is None or reviewed[after] - frame < frame - nearest):
            nearest = reviewed[after]
        if frame not in self.beside:
            neighbors = [self._neighbor(other, frame) for other in self._beside(frame) if other != frame]
            self.beside[frame] = against_neighbors(self.features[frame], neighbors)
        return CueInputs(
            frame,
            self.features[frame],
            0.0 if frame in self.confirmed else PROMPTED_FACTOR if is_reviewed else 1.0,
            self.beside[frame],
            None if nearest is None else self._neighbor(nearest, frame),
            overlap,
            division,
            self._jump(frame, nearest),
            encounter,
        )

    def _neighbor(self, other: int, frame: int) -> Neighbor:
        return Neighbor(other, abs(other - frame), self.features[other])


def _keep(frames: list[int], frame: int, wanted: bool) -> None:
    """Put a frame into a sorted list, or take it out."""
    index = bisect_left(frames, frame)
    is_there = frames[index : index + 1] == [frame]
    if wanted and not is_there:
        frames.insert(index, frame)
    elif is_there and not wanted:
        del frames[index]
