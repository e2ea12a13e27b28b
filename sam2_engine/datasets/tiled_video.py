"""An annotated video of large planes as one video per tile, at the scale at which sessions look at it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets.annotations import Annotation
from sam2_engine.datasets.video import AnnotatedVideo, VideoRecord
from sam2_engine.frames.derived_frames import CroppedFrames
from sam2_engine.tiles import TileGrid, is_large

__all__ = ["in_tiles"]

_LEAST_PART = 0.1
"""A tile that shows less of an object than this part of its area does not tell what it is. One that is no
larger than a tile lies in at most four that cover it, so each is asked for somewhere."""

Window = tuple[slice, slice]


def in_tiles(video: AnnotatedVideo, side: int) -> list[AnnotatedVideo]:
    """Return what is to be learned instead of a video by a model of this input side.

    Each tile in which an object is ever visible is a video with the frames, the ids and the intensity window
    of the whole one. Of an object of which a tile shows only a sliver, the mask is unknown there. An object
    that is larger than a tile is visible in a video of the whole plane alone, as sessions follow it there.

    Parameters
    ----------
    video
        Its annotations are read, each once, if it is large; else it is returned as it is.
    side
        Side of the model's input in pixels.
    """
    if not is_large(video.shape, side):
        return [video]
    height, width = video.shape
    plane = _View((slice(0, height), slice(0, width)))
    regions = TileGrid(video.shape, side, 0).tiles
    tiles = [_View((slice(y0, y1), slice(x0, x1))) for x0, y0, x1, y1 in regions]
    for frame in (frame for frame, ids in video.visible.items() if ids):
        for object_id, corner, mask in video.annotation(frame).crops():
            too_large = max(mask.shape) > side
            plane.note(frame, object_id, too_large)
            for tile in tiles:
                if area := tile.area(corner, mask):
                    sliver = area < _LEAST_PART * int(np.count_nonzero(mask))
                    tile.note(frame, object_id, not too_large and not sliver)
    if len(video.visible) == 1:
        video.close()  # thousands of pictures are not all held open
    return [view.of(video) for view in (plane, *tiles) if view.visible]


@dataclass
class _View:
    """Rows and columns of a plane, and which objects are, by frame, asked for there, and which are not."""

    window: Window
    visible: dict[int, set[int]] = field(default_factory=dict)
    passed_over: dict[int, set[int]] = field(default_factory=dict)

    def note(self, frame: int, object_id: int, asked_for: bool) -> None:
        kind = self.visible if asked_for else self.passed_over
        kind.setdefault(frame, set()).add(object_id)

    def area(self, corner: tuple[int, int], mask: NDArray[np.bool_]) -> int:
        """Return how many pixels of a mask, cropped at (row, column) ``corner``, are seen."""
        inside = (
            slice(max(side.start - first, 0), max(side.stop - first, 0))
            for side, first in zip(self.window, corner, strict=True)
        )
        return int(np.count_nonzero(mask[tuple(inside)]))

    def of(self, whole: AnnotatedVideo) -> AnnotatedVideo:
        """Return what is seen of a video as a video."""
        visible = {frame: frozenset(self.visible.get(frame, ())) for frame in whole.visible}
        rows, columns = self.window

        def annotate(frame: int) -> Annotation:
            known = whole.annotation(frame)
            unknown = known.unknown.union(self.passed_over.get(frame, ()))
            return _CroppedAnnotation(known, self.window, visible[frame], unknown)

        found = VideoRecord(
            f"{whole.name}[{rows.start}:{rows.stop}, {columns.start}:{columns.stop}]",
            lambda: CroppedFrames(whole.frames, rows, columns),
            annotate,
            list(visible),
        )
        return AnnotatedVideo(found, visible, whole)


class _CroppedAnnotation(Annotation):
    """What is seen of the objects of a frame in some rows and columns of it."""

    def __init__(
        self, whole: Annotation, window: Window, ids: frozenset[int], unknown: frozenset[int]
    ) -> None:
        self._whole = whole
        self._window = window
        self._ids = ids
        self.unknown = unknown

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self._window
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def ids(self) -> frozenset[int]:
        return self._ids

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        return self._whole.mask(object_id)[self._window]
