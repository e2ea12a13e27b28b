"""Label images of a long stack in little memory: the planes used last as pixels, all others compressed."""

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from threading import RLock
from typing import Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

__all__ = ["LabelStack"]

Place = tuple[int, ...]

_PLAIN_BYTES = 64 * 2**20
_COMPRESSION = 1  # most of a plane is background, of which nothing is left at any level


class LabelStack(NDArrayOperatorsMixin):
    """An array of labels, as a Labels layer reads, paints and slices it.

    What is read is a copy. ``np.asarray`` gives all of it as plain pixels, and so does arithmetic.

    Parameters
    ----------
    shape, dtype
        As of an array.
    plane
        The two axes of a plane.
    shared
        Axes along which all positions show the same pixels (channels).
    plain_bytes
        Cap of the planes that are held as pixels; one is always held.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: DTypeLike,
        plane: tuple[int, int],
        shared: Sequence[int] = (),
        plain_bytes: int = _PLAIN_BYTES,
    ) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._plane_axes, self._shared = plane, tuple(shared)
        self._axes = tuple(axis for axis in range(len(shape)) if axis not in (*plane, *shared))
        self._size = (self.shape[plane[0]], self.shape[plane[1]])
        self._plain_bytes = plain_bytes
        self._plain: OrderedDict[Place, NDArray[Any]] = OrderedDict()
        self._packed: dict[Place, tuple[slice, slice, bytes]] = {}
        self._lock = RLock()  # napari may slice in a thread of its own

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    @property
    def held_bytes(self) -> int:
        """Bytes of the planes in memory, plain and compressed."""
        with self._lock:
            packed = sum(len(bits) for *_, bits in self._packed.values())
            return packed + sum(plane.nbytes for plane in self._plain.values())

    def __len__(self) -> int:
        return self.shape[0]

    def widen(self, dtype: DTypeLike) -> None:
        """Let labels have another type from now on."""
        with self._lock:
            self._pack_all()
            packed, old = self._packed, self.dtype
            self.dtype, self._packed = np.dtype(dtype), {}
            for place, (rows, columns, bits) in packed.items():
                wider = np.frombuffer(zlib.decompress(bits), old).astype(self.dtype)
                self._packed[place] = rows, columns, zlib.compress(wider.tobytes(), _COMPRESSION)

    # ------------------------------------------------------------------ as an array

    def __getitem__(self, key: Any) -> Any:
        box = _as_slices(key, self.shape)
        if box is None:
            return self._read_pixels(key)
        slices, remaining = box
        shape = [len(range(*part.indices(size))) for part, size in zip(slices, self.shape)]
        found = np.zeros(shape, self.dtype)
        with self._lock:
            for place, target in self._targets(slices, found):
                plane = self._known(place)
                if plane is not None:
                    target[...] = plane[slices[self._plane_axes[0]], slices[self._plane_axes[1]]]
        return found[remaining]

    def __setitem__(self, key: Any, value: Any) -> None:
        box = _as_slices(key, self.shape)
        if box is None:
            self._write_pixels(key, value)
            return
        slices, remaining = box
        shape = [len(range(*part.indices(size))) for part, size in zip(slices, self.shape)]
        values = np.empty(shape, self.dtype)
        values[remaining] = value
        rows, columns = (slices[axis] for axis in self._plane_axes)
        with self._lock:
            for place, source in self._targets(slices, values):
                if place in self._plain or place in self._packed or source.any():
                    self._writable(place)[rows, columns] = source

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(one) if isinstance(one, LabelStack) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **options)

    def astype(self, dtype: DTypeLike, copy: bool = True) -> NDArray[Any]:
        """Return all labels as a plain array of another type."""
        return np.asarray(self).astype(dtype, copy=False)

    def copy(self) -> NDArray[Any]:
        """Return all labels as a plain array."""
        return np.asarray(self)

    def __deepcopy__(self, memo: object) -> Self:
        """Return another one of the same labels, for the copy of a layer."""
        with self._lock:
            made = type(self)(self.shape, self.dtype, self._plane_axes, self._shared, self._plain_bytes)
            made._packed = dict(self._packed)
            made._plain = OrderedDict((place, plane.copy()) for place, plane in self._plain.items())
        return made

    # ------------------------------------------------------------------ how

    def _targets(self, slices: list[slice], box: NDArray[Any]) -> Iterator[tuple[Place, NDArray[Any]]]:
        """Yield every plane that a box of the stack touches, and the part of ``box`` that is this plane's."""
        positions = [range(*part.indices(size)) for part, size in zip(slices, self.shape)]
        leading = [axis for axis in range(self.ndim) if axis not in self._plane_axes]
        front = np.moveaxis(box, leading, range(len(leading)))
        for number in np.ndindex(*front.shape[:-2]):
            chosen = dict(zip(leading, number))
            yield tuple(positions[axis][chosen[axis]] for axis in self._axes), front[number]

    def _read_pixels(self, key: Any) -> Any:
        places = _as_places(key, self.shape)
        if places is None:
            return np.asarray(self)[key]
        found = np.zeros(places[0].shape, self.dtype)
        with self._lock:
            for place, chosen in self._by_plane(places):
                plane = self._known(place)
                if plane is not None:
                    found[chosen] = plane[tuple(places[axis][chosen] for axis in self._plane_axes)]
        return found

    def _write_pixels(self, key: Any, value: Any) -> None:
        places = _as_places(key, self.shape)
        if places is None:
            raise IndexError("Labels are set by slices, or by one index per axis.")
        values = np.broadcast_to(np.asarray(value, self.dtype), places[0].shape)
        with self._lock:
            for place, chosen in self._by_plane(places):
                within = tuple(places[axis][chosen] for axis in self._plane_axes)
                self._writable(place)[within] = values[chosen]

    def _by_plane(self, places: list[NDArray[np.intp]]) -> Iterator[tuple[Place, NDArray[np.bool_]]]:
        leading = np.array([places[axis] for axis in self._axes]).reshape(len(self._axes), -1)
        for place in np.unique(leading, axis=1).T if places[0].size else ():
            chosen = (leading == place[:, None]).all(axis=0).reshape(places[0].shape)
            yield tuple(place.tolist()), chosen

    def _known(self, place: Place) -> NDArray[Any] | None:
        """Return a plane, None if it is empty; it is held from now on."""
        plane = self._plain.pop(place, None)
        if plane is None:
            packed = self._packed.get(place)
            if packed is None:
                return None
            rows, columns, bits = packed
            plane = np.zeros(self._size, self.dtype)
            inside = plane[rows, columns]
            inside[...] = np.frombuffer(zlib.decompress(bits), self.dtype).reshape(inside.shape)
        self._plain[place] = plane
        self._pack_oldest()
        return plane

    def _writable(self, place: Place) -> NDArray[Any]:
        plane = self._known(place)
        if plane is None:
            plane = self._plain[place] = np.zeros(self._size, self.dtype)
            self._pack_oldest()
        self._packed.pop(place, None)
        return plane

    def _pack_oldest(self) -> None:
        while len(self._plain) > 1 and len(self._plain) * self._plain_plane_bytes > self._plain_bytes:
            self._pack(*self._plain.popitem(last=False))

    def _pack_all(self) -> None:
        while self._plain:
            self._pack(*self._plain.popitem())

    @property
    def _plain_plane_bytes(self) -> int:
        return self._size[0] * self._size[1] * self.dtype.itemsize

    def _pack(self, place: Place, plane: NDArray[Any]) -> None:
        if place in self._packed:  # it was only read
            return
        used_rows, used_columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
        if len(used_rows):
            rows, columns = (slice(int(used[0]), int(used[-1]) + 1) for used in (used_rows, used_columns))
            self._packed[place] = rows, columns, zlib.compress(plane[rows, columns].tobytes(), _COMPRESSION)


def _as_slices(key: Any, shape: Sequence[int]) -> tuple[list[slice], tuple[Any, ...]] | None:
    """Return one slice per axis, and what then takes away the axes that were given as numbers.

    None if the key is not made of numbers and slices.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    if not all(isinstance(part, int | np.integer | slice) or part is Ellipsis for part in parts):
        return None
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)
    gap = next(i for i, part in enumerate(parts) if part is Ellipsis)
    missing = len(shape) - (len(parts) - 1)
    if missing < 0:
        raise IndexError(f"There are {len(shape)} axes, not {len(parts) - 1}.")
    parts[gap : gap + 1] = [slice(None)] * missing
    slices: list[slice] = []
    for part, size in zip(parts, shape):
        if isinstance(part, slice):
            slices.append(part)
        elif -size <= part < size:
            slices.append(slice(int(part) % size, int(part) % size + 1))
        else:
            raise IndexError(f"There is no position {part} on an axis of {size}.")
    return slices, tuple(slice(None) if isinstance(part, slice) else 0 for part in parts)


def _as_places(key: Any, shape: Sequence[int]) -> list[NDArray[np.intp]] | None:
    """Return one array of positions per axis, all of one shape; None if the key is none of that kind."""
    if isinstance(key, LabelStack) or getattr(key, "dtype", None) == np.bool_:
        key = np.nonzero(np.asarray(key))
    if not isinstance(key, tuple) or len(key) != len(shape) or any(isinstance(one, slice) for one in key):
        return None
    places = [np.asarray(one, np.intp) for one in key]
    for one, size in zip(places, shape):
        if one.size and not (-size <= one.min() and one.max() < size):
            raise IndexError(f"There is no such position on an axis of {size}.")
    return [one % size for one, size in zip(np.broadcast_arrays(*places), shape)]
