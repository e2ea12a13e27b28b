"""Tiles of an annotated video of large planes, as videos of the scale at which sessions predict."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets.annotations import Annotation
from sam2_engine.datasets.video import AnnotatedVideo, VideoRecord
from sam2_engine.frames.derived_frames import CroppedFrames
from sam2_engine.tiles import TileGrid, is_large

__all__ = ["split_into_tiles"]

_MIN_PART = 0.1
"""A tile with less of an object than this part of its area does not show what it is. An object that is no
larger than a tile lies in at most four that cover it, so each is prompted somewhere."""

Window = tuple[slice, slice]


def split_into_tiles(video: AnnotatedVideo, side: int) -> list[AnnotatedVideo]:
    """Return the videos to train on instead of a video, for a model of this input side.

    Each tile in which an object is ever visible is a video with the frames, the ids and the intensity window
    of the whole one. Of an object of which a tile has only a sliver, the mask is unknown there. An object
    that is larger than a tile is visible in a video of the whole plane alone, where sessions track it.

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
    plane = _Crop((slice(0, height), slice(0, width)))
    regions = TileGrid(video.shape, side, 0).tiles
    tiles = [_Crop((slice(y0, y1), slice(x0, x1))) for x0, y0, x1, y1 in regions]
    for frame in (frame for frame, ids in video.visible.items() if ids):
        for object_id, corner, mask in video.annotation(frame).crops():
            too_large = max(mask.shape) > side
            plane.add(frame, object_id, too_large)
            for tile in tiles:
                if area := tile.area(corner, mask):
                    sliver = area < _MIN_PART * int(np.count_nonzero(mask))
                    tile.add(frame, object_id, not too_large and not sliver)
    if len(video.visible) == 1:
        video.close()  # thousands of images are not all held open
    return [crop.video(video) for crop in (plane, *tiles) if crop.visible]


@dataclass
class _Crop:
    """Rows and columns of a plane, and which objects are, by frame, prompted there, and which are not."""

    window: Window
    visible: dict[int, set[int]] = field(default_factory=dict)
    skipped: dict[int, set[int]] = field(default_factory=dict)

    def add(self, frame: int, object_id: int, is_prompted: bool) -> None:
        objects = self.visible if is_prompted else self.skipped
        objects.setdefault(frame, set()).add(object_id)

    def area(self, corner: tuple[int, int], mask: NDArray[np.bool_]) -> int:
        """Return how many pixels of a mask, cropped at (row, column) ``corner``, lie within."""
        inside = (
            slice(max(side.start - first, 0), max(side.stop - first, 0))
            for side, first in zip(self.window, corner, strict=True)
        )
        return int(np.count_nonzero(mask[tuple(inside)]))

    def video(self, whole: AnnotatedVideo) -> AnnotatedVideo:
        """Return this crop of a video as a video."""
        visible = {frame: frozenset(self.visible.get(frame, ())) for frame in whole.visible}
        rows, columns = self.window

        def annotate(frame: int) -> Annotation:
            known = whole.annotation(frame)
            unknown = known.unknown.union(self.skipped.get(frame, ()))
            return _CroppedAnnotation(known, self.window, visible[frame], unknown)

        record = VideoRecord(
            f"{whole.name}[{rows.start}:{rows.stop}, {columns.start}:{columns.stop}]",
            lambda: CroppedFrames(whole.frames, rows, columns),
            annotate,
            list(visible),
            annotates_all=whole.record.annotates_all,
        )
        return AnnotatedVideo(record, visible, whole)


class _CroppedAnnotation(Annotation):
    """The objects of a frame within some rows and columns of it."""

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
