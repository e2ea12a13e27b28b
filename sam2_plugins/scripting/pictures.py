"""Pictures of masks on their frames, as notebooks show them."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.frames import UnreadableFrameError
from sam2_plugins.export.overlays import overlay
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["ObjectMask", "frame_picture", "mask_picture"]

_LONGEST_SIDE = 480
_MARGIN = 1.0
"""Of a picture of one mask, on each side, in lengths of the mask's longer side."""


class ObjectMask(np.ndarray[Any, np.dtype[np.bool_]]):
    """An (H, W) bool mask, which a notebook shows on its frame; to numpy it is an array like any other.

    What is computed from it is a plain array.
    """

    _source: "tuple[AnnotationSession, int, int] | None" = None

    @classmethod
    def of(cls, session: AnnotationSession, object_id: int, frame: int) -> "ObjectMask | None":
        """Return an object's mask on a frame, None where nothing is known yet."""
        mask = session.mask(object_id, frame)
        if mask is None:
            return None
        shown = mask.view(cls)
        shown._source = session, object_id, frame
        return shown

    def _repr_png_(self) -> bytes | None:
        if self._source is None or self.ndim != 2:
            return None
        session, object_id, frame = self._source
        return _as_png(_painted(session, frame, np.where(self, object_id, 0)))

    def __getitem__(self, key: Any) -> Any:
        return self.view(np.ndarray)[key]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        return getattr(ufunc, method)(*map(_plain, inputs), **options)


def _plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, ObjectMask) else array


def frame_picture(session: AnnotationSession, frame: int) -> bytes:
    """Return all objects on a frame as PNG."""
    return _as_png(_painted(session, frame, session.label_image(frame)))


def mask_picture(session: AnnotationSession, object_id: int, frame: int) -> bytes | None:
    """Return an object on a frame and what surrounds it as PNG; None where nothing is known of it."""
    accepted = session.accepted(object_id, frame)
    if accepted is None:
        return None
    labels = np.where(accepted.mask.to_array(), object_id, 0)
    return _as_png(_painted(session, frame, labels)[_surroundings(accepted, session.shape)])


def _painted(session: AnnotationSession, frame: int, labels: NDArray[Any]) -> NDArray[np.uint8]:
    try:
        pixels = session.frames[frame]
    except (UnreadableFrameError, OSError, ValueError):  # damaged, or closed meanwhile
        pixels = np.zeros(session.shape, np.uint8)
    return overlay(pixels, labels, session.window)


def _surroundings(accepted: AcceptedMask, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns around a mask; all of the frame, if it is empty."""
    if accepted.mask.is_empty:
        return slice(None), slice(None)
    rows, columns = accepted.mask.box
    margin = int(_MARGIN * max(rows.stop - rows.start, columns.stop - columns.start))
    top, left = max(rows.start - margin, 0), max(columns.start - margin, 0)
    return slice(top, min(rows.stop + margin, shape[0])), slice(left, min(columns.stop + margin, shape[1]))


def _as_png(pixels: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()
