"""Label images: which objects their values stand for, decided once for a whole set of them.

A label image has one value per object and 0 for background. What else is found in files of other tools:

========================================  ==========================================================
values                                    what they mean
========================================  ==========================================================
whole numbers in any type, also float     ids
bool, or 0 and one other value            one object
a gray image stored as color              as the gray image; real colors are refused
-1 or NaN, and no 0                       background; other negative values and fractions are refused
255 beside ids                            void, in no object and in no score; but an object if ids reach up
                                          to it, if all values are spread evenly, as gray levels to be
                                          looked at, and in uint16 and wider, which are chosen for many ids
gray edges of one object (smoothed, or    the object, cut at half its level
in a lossy format as JPEG)
gray edges of several objects             refused: between two ids lie others
========================================  ==========================================================

Whatever is guessed is said once, as an ``InputWarning``.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.frames.file_kinds import TIFF, VIDEO, kind_of
from sam2_engine.frames.image_files import read_image
from sam2_engine.frames.images.folders import images_in
from sam2_engine.frames.pixels import is_array

__all__ = ["LabelFrames", "LabelSet", "Labels", "open_labels"]

_MAX_EXACT_INT = 2**53
_MAX_SAMPLED = 64
_VOID = 255
_SMALLEST_GAP = 5
_SMALLEST_GAP_OF_WIDER = 128
"""How far below 255 the next id lies if 255 is void; further in types that can hold more ids."""
_MAY_HAVE_VOID = (np.uint8, np.int16, np.int32, np.int64)
_MOST_EDGE = 0.5
_MOST_BETWEEN = 0.55
_NEAR = 0.04
_REACH = 16
"""So many pixels from an object its lossy coding or smoothing reaches."""
_RIM, _LEAST_RIM = 0.9, 12
_ALMOST_GRAY = 8


@dataclass(frozen=True, eq=False)
class Labels:
    """One label image.

    Attributes
    ----------
    ids
        (H, W) whole numbers, 0 is background.
    void
        (H, W) bool: pixels of which nothing is known; None if there are none.
    """

    ids: NDArray[Any]
    void: NDArray[np.bool_] | None = None


class LabelSet:
    """Label images that belong together, read one at a time and understood by one rule.

    Parameters
    ----------
    name
        Name for people.
    read
        Reads one as it is stored, by its number.
    names
        Name of each for people; their number is that of the images.
    lossy
        Name of the lossy format of one, by its number; None if it is stored as it is.

    Examples
    --------
    >>> image = np.zeros((40, 60), np.float32)
    >>> image[10:20, 10:20] = 7
    >>> labels = LabelSet("cells", lambda number: image, ["cells"])[0]
    >>> labels.ids.dtype, np.unique(labels.ids).tolist(), labels.void
    (dtype('int64'), [0, 7], None)
    """

    def __init__(
        self,
        name: str,
        read: Callable[[int], NDArray[Any]],
        names: Sequence[str],
        lossy: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self.name = name
        self._read = read
        self._names = names
        self._lossy = lossy
        self._has_void = False
        self._void_decided = False
        self._threshold: float | None = None
        self._edges_decided = False

    @classmethod
    def of_files(cls, name: str, files: Sequence[Path]) -> Self:
        """Return the label images of some files; they may differ in size."""
        return cls(
            name,
            lambda number: read_image(files[number], labels=True),
            [str(file) for file in files],
            lambda number: _lossy_format(files[number]),
        )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> Labels:
        """Read one label image.

        Raises
        ------
        InputError
            If it cannot be read, or its values are no ids.

        Warns
        -----
        InputWarning
            Once, if it was guessed what a value means.
        """
        values = self._whole_numbers(number)
        if not self._edges_decided and np.ptp(values) > 1:
            self._decide_edges(number, values)
        if self._threshold is not None:
            return Labels((values > self._threshold).astype(np.uint8))
        if values.dtype not in _MAY_HAVE_VOID or values.max(initial=0) != _VOID:
            return Labels(values)
        if not self._void_decided:
            self._decide_void(values)
        if not self._has_void:
            return Labels(values)
        void = values == _VOID
        return Labels(np.where(void, values.dtype.type(0), values), void)

    # ------------------------------------------------------------------ one image

    def _whole_numbers(self, number: int) -> NDArray[Any]:
        """Return (H, W) whole numbers from 0."""
        values, where = self._read(number), self._names[number]
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)
        if values.ndim == 3 and np.ptp(values, axis=2).max() <= (_ALMOST_GRAY if self._lossy(number) else 0):
            values = values[..., 0]  # a gray image that was stored as color
        if values.ndim != 2:
            raise InputError(
                f"The labels {where} are a color image; save object ids as whole numbers, 0 for background."
            )
        if values.dtype.kind == "f":
            values = self._from_floats(values, where)
        if values.dtype.kind == "i" and values.size and values.min() < 0:
            values = self._without_negative(values, where)
        return values

    def _from_floats(self, values: NDArray[Any], where: str) -> NDArray[np.int64]:
        missing = np.isnan(values)
        if missing.any() and not (values == 0).any():
            values = np.where(missing, 0, values)
        if not (np.abs(values) <= _MAX_EXACT_INT).all():
            raise InputError(
                f"The labels {where} hold values that are no ids (NaN, infinite or beyond {_MAX_EXACT_INT}); "
                "save the objects' ids as whole numbers."
            )
        whole = values.astype(np.int64)
        if not (whole == values).all():
            raise InputError(f"The labels {where} are not whole numbers; save the objects' ids, not scores.")
        return whole

    def _without_negative(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        lowest, largest = int(values.min()), np.iinfo(values.dtype).max
        if lowest == -1 and not (values == 0).any():
            return np.where(values < 0, values.dtype.type(0), values)
        wrapped = f" (in {values.dtype} they do so beyond {largest})" if lowest < -1 else ", beside a 0"
        raise InputError(
            f"The labels {where} go below 0, to {lowest}{wrapped}; save ids from 1 on as uint16 or uint32 "
            "and 0 as background."
        )

    # ------------------------------------------------------------------ the whole set

    def _sampled_ids(self, *known: NDArray[Any]) -> NDArray[Any]:
        """Return the values but 0 of some images, evenly spread over the set, ascending."""
        numbers = np.unique(np.linspace(0, len(self) - 1, min(len(self), _MAX_SAMPLED)).round().astype(int))
        found = [np.unique(values) for values in known]
        for number in numbers.tolist():
            try:
                found.append(np.unique(self._whole_numbers(number)))
            except InputError:
                continue  # said when it is asked for
        values = np.unique(np.concatenate([each.astype(np.int64) for each in found]))
        nonzero: NDArray[Any] = values[values != 0]
        return nonzero

    def _decide_void(self, values: NDArray[Any]) -> None:
        self._void_decided = True
        ids = self._sampled_ids(values)
        below = ids[ids < _VOID]
        gap = _SMALLEST_GAP if values.dtype == np.uint8 else _SMALLEST_GAP_OF_WIDER
        if not below.size or ids[-1] > _VOID or _VOID - below[-1] < gap or _is_spread_evenly(ids):
            return
        self._has_void = True
        _say(
            f"In the labels {self.name}, {_VOID} is read as void (no object, and not scored), as smaller ids "
            "are beside it; if it is an object, give it another id."
        )

    def _decide_edges(self, number: int, values: NDArray[Any]) -> None:
        """Decide whether values between an object and the background are edges, as smoothing leaves them."""
        plateaus, has_edges = _plateaus(values)
        lossy = self._lossy(number)
        if not has_edges and lossy is None:
            self._edges_decided = bool(plateaus.size)
            self._say_rims(values, plateaus)
            return
        if plateaus.size and _is_one_object(values, plateaus):
            top = float(values.max())
            self._edges_decided, self._threshold = True, top / 2
            reason = f"stored as {lossy}" if lossy else "smoothed"
            _say(
                f"The labels {self.name} are {reason}, which leaves gray edges; they are read as one object, "
                "cut at half its level.",
            )
            return
        where = self._names[number]
        if lossy:
            raise InputError(
                f"The labels {where} are a {lossy}, which changes ids; save them as PNG or TIFF."
            )
        raise InputError(
            f"The labels {where} have gray levels between one object and the next, as a smoothed mask or a "
            "photograph has; save one whole number per object, without smoothing."
        )

    def _say_rims(self, values: NDArray[Any], plateaus: NDArray[Any]) -> None:
        """Say which ids lie only along higher ones, as membranes do, and smoothed edges."""
        low, high = minimum_filter(values, 3), maximum_filter(values, 3)
        rims = []
        for one in np.setdiff1d(np.unique(values[values > 0]), plateaus).tolist():
            here = values == one
            rim = here & (low == 0) & (high > one)
            if 4 * one <= 3 * int(values.max()) and rim.sum() >= _RIM * here.sum() >= _LEAST_RIM:
                rims.append(one)
        if rims:
            ids = ", ".join(map(str, rims))
            _say(
                f"In the labels {self.name}, {ids} lies only along the border of higher ids, as "
                "smoothing leaves it; it is read as an object. If it is none, save the labels unsmoothed."
            )


def _is_spread_evenly(ids: NDArray[Any]) -> bool:
    """Whether ids are gray levels chosen to be seen, such as 85, 170 and 255."""
    return bool(np.abs(ids - ids[-1] * np.arange(1, len(ids) + 1) / len(ids)).max() <= 1)


def _is_one_object(values: NDArray[Any], plateaus: NDArray[Any]) -> bool:
    """Whether all that is even is one object or background, but for what lossy coding and soft edges leave.

    That is close to one of the two in level, and where it is close to the background also in place.
    """
    low, high = minimum_filter(values, 3), maximum_filter(values, 3)
    even, counts = np.unique(values[(low == high) & (values > values.max() / 2)], return_counts=True)
    if not even.size:
        return False
    top = float(even[counts.argmax()])
    if any(min(level, abs(top - level)) > _NEAR * top for level in plateaus.tolist()):
        return False
    faint = (low == high) & (values > 0) & (values < top / 2)
    around = maximum_filter((values > top / 2).view(np.uint8), 2 * _REACH + 1)
    return not (faint & (around == 0)).any()


def _plateaus(values: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Return the values but 0 that fill a square of 3 pixels somewhere, and whether most others are edges.

    An edge's level lies between those of its neighbors; an object's id lies there only by chance.
    """
    low, high = minimum_filter(values, 3), maximum_filter(values, 3)
    ids = np.unique(values)
    ids = ids[ids != 0]
    plateaus = np.unique(values[low == high])
    plateaus = plateaus[plateaus != 0]
    others = np.setdiff1d(ids, plateaus, assume_unique=True)
    if len(others) < 3 or len(others) < _MOST_EDGE * len(ids):
        return plateaus, False
    of_others = np.isin(values, others)
    between = (low < values) & (values < high) & of_others
    return plateaus, bool(np.count_nonzero(between) >= _MOST_BETWEEN * np.count_nonzero(of_others))


def _lossy_format(path: Path) -> str | None:
    """Name the format of a file if it does not store pixels exactly."""
    kind = kind_of(path)
    if kind == TIFF:
        with tifffile.TiffFile(path) as file:
            compression = getattr(file.pages.first.compression, "name", "")  # a mere number if it has none
        return "TIFF with JPEG compression" if "JPEG" in compression[:5] else None
    if kind == "WEBP":
        return None if b"VP8L" in path.read_bytes()[:64] else "lossy WebP"
    return {"JPEG": "JPEG", "AVIF": "AVIF", "HEIF": "HEIF", VIDEO: "video"}.get(kind or "")


def _say(sentence: str) -> None:
    warnings.warn(sentence, InputWarning, stacklevel=5)


class LabelFrames(LabelSet):
    """Label images of one size, the frames of a ``FrameSource``.

    Attributes
    ----------
    frames
        As they are stored.
    """

    def __init__(self, name: str, frames: FrameSource, files: Sequence[Path]) -> None:
        several = [f"{name}, frame {number}" for number in range(len(frames))]
        super().__init__(
            name,
            frames.__getitem__,
            [name] if len(frames) == 1 else several,
            lambda number: _lossy_format(files[min(number, len(files) - 1)]) if files else None,
        )
        self.frames = frames

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every image."""
        return self.frames.shape

    def close(self) -> None:
        """Close its files."""
        self.frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _num_axes(array: Any) -> int:
    try:
        return len(array.shape) if hasattr(array, "shape") else np.ndim(array)
    except Exception:  # ``open_frames`` says what it is
        return 2


def open_labels(source: Any, *, single: bool = False, **reading: Any) -> LabelFrames:
    """Open label images of one size: a file, a stack, a folder, or an array (Y, X) or (T, Y, X).

    Parameters
    ----------
    source
        Whatever ``open_frames`` takes.
    single
        Whether one image is wanted.
    reading
        Further options of ``open_frames``.

    Raises
    ------
    InputError
        If it cannot be read.

    Examples
    --------
    >>> with open_labels(np.array([[[0, 7], [7, 0]], [[0, 0], [7, 0]]])) as labels:
    ...     len(labels), labels.shape, labels[1].ids.tolist()
    (2, (2, 2), [[0, 0], [7, 0]])
    """
    if "axes" not in reading and not isinstance(source, FrameSource) and is_array(source):
        axes = {2: "YX", 3: "TYX"}.get(_num_axes(source))
        if axes is None:
            raise InputError("Labels are an array of the axes (Y, X) or (T, Y, X), or a path.")
        reading["axes"] = "YXC" if axes == "TYX" and 1 == source.shape[2] < source.shape[1] else axes
    files: Iterable[Path] = ()
    if isinstance(source, str | PathLike):
        path = Path(source)
        files = images_in(path) if path.is_dir() else [path]
    frames = open_frames(source, single=single, labels=True, **reading)
    if not isinstance(source, FrameSource):
        frames.holds_labels = True  # NaN is background, or refused
    return LabelFrames(str(source) if files else "array", frames, list(files))
