"""Meaning of the axes of an array, by the file, by the user, and by what is plausible.

Letters are those of the TIFF world: T, Z, Y, X, C (channels), S (color samples), Q or I (not named).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError, OptionError
from sam2_engine.frames.pixels import is_channels_first
from sam2_engine.wording import counted

__all__ = ["AxisPlan", "channels_first_axes", "no_channel", "plan_axes", "sequence_axis", "unnamed_axes"]

_NAMELESS = "QI"
_MAX_COLORS = 4


@dataclass(frozen=True)
class AxisPlan:
    """How one frame is cut out of an array.

    Attributes
    ----------
    axes, shape
        One letter and one length per axis of the array.
    axis
        Letter of the propagation axis; it need not be there if there is only one frame.
    channel_axis
        Letter of the axis of channels, or ``None``.
    fixed
        Position on each other axis; for the axis of channels, the only channel that is read.
    note
        What users should know about how the axes were read.
    """

    axes: str
    shape: tuple[int, ...]
    axis: str
    channel_axis: str | None
    fixed: Mapping[str, int]
    note: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis by its letter."""
        return dict(zip(self.axes, self.shape))

    @property
    def frame_shape(self) -> tuple[int, int]:
        """``(H, W)`` of a frame."""
        return self.sizes["Y"], self.sizes["X"]

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.sizes.get(self.axis, 1) if self.axis not in self.fixed else 1

    @property
    def channels(self) -> int:
        """Number of channels of a frame as it is read."""
        return (
            1
            if self.channel_axis is None or self.channel_axis in self.fixed
            else self.sizes[self.channel_axis]
        )

    @property
    def is_rgb(self) -> bool:
        """Whether a frame's channels are colors."""
        return self.channel_axis == "S" and self.channels in (3, 4)

    def index(self, frame: int) -> tuple[int | slice, ...]:
        """Return the array index of one frame, with an integer for each axis that is not part of a frame."""
        positions = {self.axis: frame, **self.fixed}
        return tuple(positions.get(letter, slice(None)) for letter in self.axes)

    def arrange(self, block: NDArray[Any]) -> NDArray[Any]:
        """Turn what ``index`` cuts out, in the array's order of axes, into ``(H, W)`` or ``(H, W, C)``."""
        letters = [letter for letter in self.axes if letter in "YX" or letter == self.channel_axis]
        letters = [letter for letter in letters if letter not in self.fixed]
        order = [letters.index(letter) for letter in ("Y", "X", self.channel_axis) if letter in letters]
        return block.transpose(order)


def unnamed_axes(shape: tuple[int, ...]) -> str:
    """Name the axes of an array without names: ``Q`` for a stack, ``S`` or ``C`` for channels last."""
    channels = len(shape) > 2 and shape[-1] <= _MAX_COLORS and shape[-1] < min(shape[-3:-1])
    if not channels:
        return "Q" * (len(shape) - 2) + "YX"
    return "Q" * (len(shape) - 3) + "YX" + ("S" if shape[-1] > 2 else "C")


def channels_first_axes(
    shape: tuple[int, ...], dtype: "np.dtype[Any]", *, is_tensor: bool, single: bool
) -> str | None:
    """Name the axes of an array of colors whose channels come before Y and X; ``None`` if it is none.

    Tensors have them there by convention. Another array of 8 bits is such an image if one image is wanted;
    else ``(3, H, W)`` are frames, and in ``(T, 3, H, W)`` nobody knows colors from depth.
    """
    if len(shape) not in (3, 4) or shape[-3] not in (3, 4) or not is_channels_first(shape):
        return None
    if is_tensor or (dtype == np.uint8 and single and len(shape) == 3):
        return "TSYX"[4 - len(shape) :]
    return None


def plan_axes(
    name: str,
    shape: tuple[int, ...],
    dtype: "np.dtype[Any]",
    *,
    declared: str | None = None,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    single: bool = False,
) -> AxisPlan:
    """Decide how frames are cut out of an array.

    Parameters
    ----------
    name
        Name of the array for users.
    shape, dtype
        Of the whole array.
    declared
        Letters that the file itself gives; ``None`` if it gives none.
    axes
        Letters that the user gives, which take precedence.
    channel
        The only channel to read.
    fixed
        Position on each axis that is neither the propagation axis nor part of a frame.
    single
        Whether one image is wanted rather than a stack, so that color is likelier than time.

    Raises
    ------
    InputError
        If the axes are ambiguous, or an option does not fit them.
    """
    if len(shape) < 2:
        raise InputError(f"{name} has shape {shape}; an image needs at least a height and a width.")
    if axes is not None:
        letters, note = _checked_letters(name, axes, shape), ""
    else:
        letters, note = _plausible(name, declared or unnamed_axes(shape), shape, dtype, single)
    sizes = dict(zip(letters, shape))
    positions = _positions(name, sizes, fixed or {})
    channel_axis = next((letter for letter in "SC" if letter in sizes and letter not in positions), None)
    channels = sizes[channel_axis] if channel_axis else 1
    if channel is not None and not 0 <= channel < channels:
        raise no_channel(name, channel, channels)
    if channel_axis and (channel is not None or channels == 1):
        positions[channel_axis] = channel or 0
    axis = _propagation_axis(name, sizes, channel_axis, positions)
    return AxisPlan(letters, shape, axis, channel_axis, positions, note)


def no_channel(name: str, channel: int, channels: int) -> InputError:
    """Return the error for a channel that is not there."""
    return InputError(f"{name} has {counted(channels, 'channel')}, counted from 0; there is no {channel}.")


def sequence_axis(name: str, axes: str | None, fixed: Mapping[str, int] | None = None) -> str:
    """Return the propagation axis of a source that is a sequence of images anyhow (video, folder).

    Raises
    ------
    InputError
        If ``axes`` names more than one axis besides Y, X and the channels, or not these in their order, or a
        position is fixed.
    """
    letters = (axes or "TYX").upper()
    stack = [letter for letter in letters if letter not in "YXCS"]
    if not letters.isalpha() or len(set(letters)) < len(letters) or "YX" not in letters or len(stack) > 1:
        raise InputError(f"{name} is a plain sequence of images; its axes are TYX or ZYX, not {axes}.")
    if fixed:
        raise InputError(
            f"{name} is a plain sequence of images; there is no other axis to fix a position on."
        )
    return stack[0] if stack else "T"


def _checked_letters(name: str, axes: str, shape: tuple[int, ...]) -> str:
    letters = axes.upper()
    if not letters.isalpha() or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise InputError(
            f"Axes are different letters with Y and X among them, for example TYX, not {axes!r}."
        )
    if len(letters) != len(shape):
        raise InputError(
            f"{axes} names {len(letters)} axes, but {name} has {len(shape)}, of lengths {shape}; "
            "give one letter for each."
        )
    return letters


def _plausible(
    name: str, letters: str, shape: tuple[int, ...], dtype: "np.dtype[Any]", single: bool
) -> tuple[str, str]:
    """Return letters that make sense for what a file says of its axes, and a note on what was changed."""
    last = max(letters.index("Y"), letters.index("X"))
    stack = [i for i, letter in enumerate(letters) if i < last and letter not in "YX" and shape[i] > 1]
    names = [letters[i] for i in stack]
    doubtful = [i for i in stack if letters[i] not in "TZ"] if len(stack) == 1 else _nameless(letters, stack)
    if len(doubtful) > 1 or (doubtful and "T" in names) or len(set(names)) < len(names):
        raise OptionError(
            f"{name} has {len(shape)} axes of lengths {shape} and nobody named them; name them, "
            "for example with {axes} (T: time, Z: depth, C: channels).",
            axes=_suggested(letters, shape, stack),
        )
    note = ""
    if doubtful and not (single and _is_color(letters, shape, dtype, doubtful[0])):
        position = doubtful[0]
        reason = (
            "is not named" if letters[position] in _NAMELESS else f"is called {letters[position]} in the file"
        )
        note = f"an axis of length {shape[position]} {reason} and is read as T"
        letters = letters[:position] + "T" + letters[position + 1 :]
        if dtype == np.uint8 and position == len(letters) - 3 and shape[position] in (3, 4):
            note += f" (if it is color, name it: {letters[:position]}CYX)"
    return _distinct(letters, shape), note


def _suggested(letters: str, shape: tuple[int, ...], stack: list[int]) -> str:
    """Return letters as a user may name them: channels last of the stack if they are few, then T and Z."""
    last_is_channels = shape[stack[-1]] <= _MAX_COLORS and not set("CS") & set(letters[stack[-1] + 1 :])
    wanted = [*"TZPRH"[: len(stack) - last_is_channels], *"C" * last_is_channels]
    named = dict(zip(stack, wanted))
    return "".join(named.get(position, letter) for position, letter in enumerate(letters))


def _nameless(letters: str, stack: list[int]) -> list[int]:
    return [i for i in stack if letters[i] in _NAMELESS or letters[i] == "S"]


def _is_color(letters: str, shape: tuple[int, ...], dtype: "np.dtype[Any]", position: int) -> bool:
    """Whether the only stack axis of a file is color after all."""
    letter, trailing = letters[position], letters[max(letters.index("Y"), letters.index("X")) + 1 :]
    if shape[position] > _MAX_COLORS or trailing:
        return False
    return letter == "C" or (letter == "S" and dtype == np.uint8)


def _distinct(letters: str, shape: tuple[int, ...]) -> str:
    """Give axes of length 1 whose letter is used twice a letter of their own."""
    spare = (letter for letter in ascii_uppercase if letter not in letters + "TCZYXS")
    used = {letter for letter, size in zip(letters, shape) if size > 1 or letter in "YX"}
    result = ""
    for letter, size in zip(letters, shape):
        clash = size == 1 and letter not in "YX" and letter in used | set(result)
        result += next(spare) if clash else letter
    return result


def _positions(name: str, sizes: Mapping[str, int], fixed: Mapping[str, int]) -> dict[str, int]:
    positions = {letter.upper(): position for letter, position in fixed.items()}
    for letter, position in positions.items():
        if letter not in sizes or letter in "YX":
            raise InputError(f"{name} has the axes {''.join(sizes)}; no position can be fixed on {letter}.")
        if not 0 <= position < sizes[letter]:
            raise InputError(
                f"Axis {letter} of {name} has the positions 0 to {sizes[letter] - 1}, not {position}."
            )
    return positions


def _propagation_axis(
    name: str, sizes: Mapping[str, int], channel_axis: str | None, positions: dict[str, int]
) -> str:
    """Return the axis that frames are counted along; axes of length 1 are added to ``positions``."""
    stack = [letter for letter in sizes if letter not in ("Y", "X", channel_axis) and letter not in positions]
    free = [letter for letter in stack if sizes[letter] > 1]
    if len(free) > 1:
        propagated = "T" if "T" in free else free[0]
        example = {letter: 0 for letter in free if letter != propagated}
        lengths = " and ".join(f"{letter}={sizes[letter]}" for letter in free)
        raise OptionError(
            f"{name} has {lengths}, but frames lie along one axis; "
            "fix a position on each other axis, for example {fixed}.",
            fixed=example,
        )
    axis = next(iter(free), next((letter for letter in "TZ" if letter in stack), "T"))
    positions.update({letter: 0 for letter in stack if letter != axis})
    return axis
