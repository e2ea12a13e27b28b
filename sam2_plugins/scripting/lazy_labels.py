"""Labels of all frames as an array that is made when it is read."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.label_image import label_dtype

__all__ = ["LazyLabels"]


class LazyLabels:
    """(T, H, W) object ids, of which only what is asked for is made; it shows the session as it is then.

    napari takes it as it is, and so do dask (``dask.array.from_array``) and numpy (``np.asarray``: all of it
    in memory).

    Parameters
    ----------
    session
        Whose masks are shown.

    Examples
    --------
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((3, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> session.import_masks(1, {7: np.ones((40, 60), bool)})
    >>> labels = LazyLabels(session)
    >>> labels, labels[:, 0, 0].tolist(), int(labels[1].max())
    (<LazyLabels: (3, 40, 60) uint16, 1 object>, [0, 7, 0], 7)
    """

    ndim = 3

    def __init__(self, session: AnnotationSession) -> None:
        self._session = session

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return (len(self._session), *self._session.shape)

    @property
    def dtype(self) -> "np.dtype[Any]":
        """uint16, or uint32 if an id needs it."""
        return label_dtype(max(self._session.objects, default=0))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            filling = (slice(None),) * (self.ndim - len(keys) + 1)
            keys = (*keys[:at], *filling, *keys[at + 1 :])
        frames, inside = keys[0] if keys else slice(None), keys[1:]
        if isinstance(frames, int | np.integer):
            frame = range(len(self))[int(frames)]  # IndexError beyond the end, from the end where negative
            return self._session.label_image(frame)[inside]
        numbers = np.arange(len(self))[frames]
        planes = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for index, frame in enumerate(numbers):
            planes[index] = self._session.label_image(int(frame))
        return planes[(slice(None), *inside)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        objects = len(self._session.objects)
        noun = "object" if objects == 1 else "objects"
        return f"<LazyLabels: {self.shape} {self.dtype}, {objects} {noun}>"
