"""Prompts as validated values: clicks, a box, a mask, in the pixels of their frame.

Coordinates are ``(x, y)`` with pixel centers at integers. A box is the inclusive pixel indices of
its first and last column and row.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.masks import CompressedMask, as_mask
from sam2_engine.wording import counted

__all__ = ["Box", "Points", "Prompt", "check_says_where", "covers_pixels"]

_FEW_PIXELS = 16
"""On a frame of no more pixels a side, what lies within the first pixel is not taken for fractions."""

_SLACK = 1e-3
"""Pixels by which a box of one column may seem narrower once hosts have converted its edges."""


def _finite(values: ArrayLike, what: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} must be numbers, not {values!r}.") from None
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be finite numbers, not {array.tolist()}.")
    return array


def _warn(sentence: str) -> None:
    warnings.warn(sentence, InputWarning, stacklevel=4)


@dataclass(frozen=True, eq=False)
class Points:
    """Clicks on one frame.

    Attributes
    ----------
    coordinates
        ``(N, 2)`` float32, ``(x, y)`` in pixels.
    labels
        ``(N,)`` int32, 1 inside the object, 0 outside of it.

    See Also
    --------
    Prompt : what is given to a session.

    Examples
    --------
    >>> clicks = Points.of([(20, 30), (50, 30)], [1, 0], shape=(60, 80))
    >>> len(clicks), clicks.labels.tolist()
    (2, [1, 0])
    >>> Points.of((90, 30), None, shape=(60, 80))
    Traceback (most recent call last):
        ...
    sam2_engine.errors.InputError: The point (90, 30) lies outside the frame, which is 80 wide and 60 high.
    """

    coordinates: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Points):
            return NotImplemented
        same = np.array_equal(self.coordinates, other.coordinates)
        return same and np.array_equal(self.labels, other.labels)

    def __hash__(self) -> int:
        return hash((self.coordinates.tobytes(), self.labels.tobytes()))

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def unchecked(cls, points: ArrayLike, labels: ArrayLike) -> "Points":
        """Take N points and their labels as they are; :meth:`Prompt.on` checks them where they are used."""
        coordinates = np.asarray(points, np.float32).reshape(-1, 2)
        return cls(coordinates, np.asarray(labels, np.int32).reshape(-1))

    @classmethod
    def of(cls, points: ArrayLike, labels: ArrayLike | None, shape: tuple[int, int]) -> "Points":
        """Validate clicks for a frame of ``shape`` (H, W); ``labels=None`` means all inside.

        Raises
        ------
        InputError
            If the numbers do not form N points, a label is neither 0 nor 1, a point lies outside, or is given
            with both labels.

        Warns
        -----
        InputWarning
            If the points seem to be in fractions of the frame, or one is given twice.
        """
        coordinates = _finite(points, "Point coordinates")
        if coordinates.ndim == 1 and coordinates.size == 2:
            coordinates = coordinates[None]
        if coordinates.ndim != 2 or coordinates.shape[1] != 2 or not len(coordinates):
            raise InputError(
                f"Points must be a list of (x, y) pairs, not an array of shape {coordinates.shape}."
            )
        values: Any = (
            np.ones(len(coordinates)) if labels is None else _finite(labels, "Point labels").reshape(-1)
        )
        if len(values) != len(coordinates):
            raise InputError(
                f"There are {counted(len(coordinates), 'point')} but {counted(len(values), 'label')}; "
                "give one label per point."
            )
        if not np.isin(values, (0, 1)).all():
            raise InputError(
                f"A point's label is 1 (inside the object) or 0 (outside), not {values.tolist()}."
            )
        height, width = shape
        x, y = coordinates.T
        outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
        if outside.any():
            first = coordinates[outside][0]
            fits = (coordinates[:, ::-1] >= -0.5).all() and (coordinates[:, ::-1] <= (width, height)).all()
            hint = f"; points are (x, y): did you mean ({first[1]:g}, {first[0]:g})?" if fits else "."
            raise InputError(
                f"The point ({first[0]:g}, {first[1]:g}) lies outside the frame, "
                f"which is {width} wide and {height} high{hint}"
            )
        checked = cls(coordinates, values.astype(np.int32))
        checked._check_sense(shape)
        return checked

    def _check_sense(self, shape: tuple[int, int]) -> None:
        """Refuse what contradicts itself; warn of what is valid, and hardly meant."""
        labels: dict[tuple[float, float], int] = {}
        for (x, y), label in zip(self.coordinates.tolist(), self.labels.tolist()):
            if labels.setdefault((x, y), label) != label:
                raise InputError(
                    f"The point ({x:g}, {y:g}) is given both as inside and as outside the object; give one."
                )
        if len(labels) < len(self):
            twice = next(point for point in labels if (self.coordinates == point).all(1).sum() > 1)
            _warn(f"The point ({twice[0]:g}, {twice[1]:g}) is given more than once.")
        fractions = (self.coordinates >= 0) & (self.coordinates <= 1)
        if fractions.all() and (self.coordinates % 1 != 0).any() and min(shape) > _FEW_PIXELS:
            x, y = self.coordinates[0].tolist()
            _warn(
                f"The point ({x:g}, {y:g}) lies in the first pixels of the frame: points are in pixels, "
                "not in fractions of the frame."
            )


def _other_readings(box: tuple[float, float, float, float], shape: tuple[int, int]) -> str:
    """Return the end of a sentence about a box: what else may be meant, of what lies on the frame."""
    (a, b, c, d), (height, width) = box, shape
    readings = {
        "": (min(a, c), min(b, d), max(a, c), max(b, d)),
        "of x, y, width, height ": (a, b, a + c - 1, b + d - 1),
        "of y0, x0, y1, x1 ": (b, a, d, c),
    }
    fitting = [
        f"{kind}({x0:g}, {y0:g}, {x1:g}, {y1:g})"
        for kind, (x0, y0, x1, y1) in readings.items()
        if 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    ]
    return f"; a box is (x0, y0, x1, y1): did you mean {' or '.join(fitting)}?" if fitting else "."


def _check_mask_shape(given: tuple[int, ...], shape: tuple[int, int]) -> None:
    if given == shape:
        return
    hints = {shape[::-1]: "; it is transposed: give mask.T.", (1, *shape): "; give mask[0]."}
    raise InputError(
        f"The mask has shape {given}, but the frame has {shape} (height, width){hints.get(given, '.')}"
    )


def covers_pixels(x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether a box, inclusive, is at least one pixel wide and high, as nearly as percents tell.

    Examples
    --------
    >>> covers_pixels(20, 40, 40, 40), covers_pixels(20, 40, 40, 39)
    (True, False)
    """
    return x1 >= x0 - _SLACK and y1 >= y0 - _SLACK


@dataclass(frozen=True)
class Box:
    """A box on one frame: inclusive pixel indices of the first and last column and row.

    A box of one column, one row or one pixel has ``x0 == x1`` or ``y0 == y1``.

    See Also
    --------
    Prompt : what is given to a session.

    Examples
    --------
    >>> box = Box.of((10, 20, 99, 40), shape=(60, 80))
    >>> box.x1  # cut off at the right edge of the frame
    79.5
    >>> box.corners.tolist()
    [[10.0, 20.0], [79.5, 40.0]]
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def of(cls, box: ArrayLike, shape: tuple[int, int]) -> "Box":
        """Validate ``(x0, y0, x1, y1)`` for a frame of ``shape`` (H, W); parts outside are cut off.

        Raises
        ------
        InputError
            If there are not four numbers, the box ends before it begins, lies wholly outside, or seems to be
            in fractions of the frame.
        """
        values = _finite(box, "Box coordinates").reshape(-1)
        if values.size != 4:
            raise InputError(f"A box is (x0, y0, x1, y1), not {values.size} numbers.")
        x0, y0, x1, y1 = (float(v) for v in values)
        height, width = shape
        has_area = min(x1 - x0, y1 - y0) > _SLACK  # a line or a point is no box in fractions
        if has_area and min(values) >= 0 and max(values) <= 1 and min(shape) > _FEW_PIXELS:
            pixels = ", ".join(f"{v * side:g}" for v, side in zip(values, (width, height) * 2))
            raise InputError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) seems to be in fractions of the frame, which is "
                f"{width} wide and {height} high; give it in pixels: ({pixels})."
            )
        if not covers_pixels(x0, y0, x1, y1):
            raise InputError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) is less than one pixel wide or high: x1 must "
                f"not be below x0, nor y1 below y0{_other_readings((x0, y0, x1, y1), shape)}"
            )
        x1, y1 = max(x0, x1), max(y0, y1)
        if x0 >= width - 0.5 or y0 >= height - 0.5 or x1 <= -0.5 or y1 <= -0.5:
            raise InputError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies outside the frame, "
                f"which is {width} wide and {height} high{_other_readings((x0, y0, x1, y1), shape)}"
            )
        return cls(max(x0, -0.5), max(y0, -0.5), min(x1, width - 0.5), min(y1, height - 0.5))

    @property
    def corners(self) -> NDArray[np.float32]:
        """``(2, 2)`` float32: top left and bottom right ``(x, y)``."""
        return np.array([[self.x0, self.y0], [self.x1, self.y1]], dtype=np.float32)


@dataclass(frozen=True)
class Prompt:
    """What says where one object is on a frame: clicks, a box, both at once, or a mask.

    Attributes
    ----------
    points, box
        In the pixels of the frame.
    mask
        Taken as it is, instead of anything else on the frame.

    See Also
    --------
    sam2_engine.video.tracking_session.TrackingSession.add_prompt : where prompts go.

    Examples
    --------
    >>> prompt = Prompt.of((60, 80), points=[(20, 20), (35, 20)], labels=[1, 0], box=(10, 10, 30, 99))
    >>> len(prompt.points), prompt.box
    (2, Box(x0=10.0, y0=10.0, x1=30.0, y1=59.5))
    >>> more = Prompt.of((60, 80), points=(22, 24))
    >>> len(Prompt.combined([prompt, more]).points)
    3
    """

    points: Points | None = None
    box: Box | None = None
    mask: CompressedMask | None = None

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        *,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> "Prompt":
        """Validate a prompt for a frame of ``shape`` (H, W).

        Parameters
        ----------
        shape
            Of the frame.
        points, labels
            (P, 2) ``(x, y)`` in pixels, or one ``(x, y)``; (P,), 1 inside (default), 0 outside.
        box
            ``(x0, y0, x1, y1)``, inclusive; parts outside of the frame are cut off.
        mask
            (H, W) bool, or 0 and one other value; goes with nothing else.

        Raises
        ------
        InputError
            If nothing is given, a mask is given with something else, or a value is not valid on the frame.
        """
        if mask is not None:
            if points is not None or box is not None:
                raise InputError("A mask says all of an object on a frame; give it without clicks or a box.")
            _check_mask_shape(np.asarray(mask).shape, shape)
            return cls(mask=CompressedMask.from_array(as_mask(mask)))
        if points is None and box is None:
            raise InputError("There is nothing to go by; give points, a box or a mask.")
        return cls(
            None if points is None else Points.of(points, labels, shape),
            None if box is None else Box.of(box, shape),
        )

    def on(self, shape: tuple[int, int]) -> "Prompt":
        """Return the prompt as it holds on a frame of ``shape`` (H, W).

        Raises
        ------
        InputError
            As :meth:`of`.
        """
        if self.mask is not None:
            _check_mask_shape(self.mask.shape, shape)
            return self
        points, box = self.points, self.box
        return Prompt.of(
            shape,
            points=None if points is None else points.coordinates,
            labels=None if points is None else points.labels,
            box=None if box is None else box.corners,
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self.points is None and self.box is None and self.mask is None

    @property
    def says_where(self) -> bool:
        """Whether it says where the object is: by a mask, a box, or a click inside."""
        inside = self.points is not None and bool((self.points.labels == 1).any())
        return self.mask is not None or self.box is not None or inside

    def since(self, earlier: "Prompt") -> "Prompt | None":
        """Return the clicks that were added to ``earlier`` ones; None if anything else differs."""
        points = Points.unchecked([], []) if self.points is None else self.points
        count = 0 if earlier.points is None else len(earlier.points)
        same = earlier.points is None or earlier.points == Points(
            points.coordinates[:count], points.labels[:count]
        )
        if not same or self.box != earlier.box or self.mask != earlier.mask:
            return None
        added = Points(points.coordinates[count:], points.labels[count:])
        return Prompt(points=added if len(added) else None)

    def after(self, earlier: tuple["Prompt", ...]) -> tuple["Prompt", ...]:
        """Return the prompts that hold on a frame once this one was given after ``earlier`` ones."""
        if self.mask is not None:
            return (self,)
        if self.box is not None:  # there is one box, and a box takes the place of a mask
            earlier = tuple(Prompt(points=prompt.points) for prompt in earlier if prompt.points is not None)
        return (*earlier, self)

    @classmethod
    def combined(cls, prompts: Iterable["Prompt"]) -> "Prompt":
        """Return several prompts, given one after the other, as one: all clicks, and the last box.

        A mask stands alone, until something is said after it.
        """
        combined = cls()
        for prompt in prompts:
            if prompt.mask is not None:
                combined = prompt
                continue
            clicks = [points for points in (combined.points, prompt.points) if points is not None]
            points = clicks[0] if len(clicks) == 1 else None
            if len(clicks) == 2:
                points = Points(
                    np.concatenate([part.coordinates for part in clicks]),
                    np.concatenate([part.labels for part in clicks]),
                )
            combined = cls(points, prompt.box or combined.box)
        return combined

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The inclusive box around all of it, ``(x0, y0, x1, y1)``."""
        if self.mask is not None:
            rows, columns = self.mask.box
            return columns.start, rows.start, columns.stop - 1, rows.stop - 1
        corners = [] if self.box is None else [self.box.corners]
        if self.points is not None:
            corners.append(self.points.coordinates)
        places = np.concatenate(corners)
        (x0, y0), (x1, y1) = places.min(0).tolist(), places.max(0).tolist()
        return x0, y0, x1, y1


def check_says_where(says_where: bool, *, annotated: bool) -> None:
    """Refuse clicks outside alone, unless the object is ``annotated`` on the frame: they correct a mask then.

    Raises
    ------
    InputError
        If nothing says where the object is.
    """
    if not (annotated or says_where):
        raise InputError(
            "All clicks are outside of the object, and it has no mask here that they could correct; "
            "click inside it too, or give a box."
        )
