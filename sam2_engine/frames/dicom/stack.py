"""Axes of a DICOM series: positions in space, times, echoes and whatever else its frames differ by."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.dicom.headers import numbers, text
from sam2_engine.frames.dicom.records import FrameRecord
from sam2_engine.wording import counted

__all__ = ["Stack", "arrange", "plane_distance"]

_GRID = {  # letters and names of axes along which every position has the same values
    "segment": ("G", "segment"),
    "stack": ("N", "stack"),
    "time_index": ("T", "temporal position"),
    "time_offset": ("T", "temporal position"),
    "time_slot": ("T", "time slot"),
    "echo": ("E", "echo time"),
    "echo_number": ("E", "echo number"),
    "b_value": ("B", "b-value"),
    "energy": ("W", "energy window"),
    "detector": ("D", "detector"),
    "rotation": ("R", "rotation"),
    "interval": ("L", "R-R interval"),
    "view": ("A", "angular view"),
    "image_type": ("K", "type of image"),
    "acquisition": ("T", "acquisition number"),
}
_ONLY_WITH_POSITIONS = ("image_type", "acquisition")
_RANK = {  # what puts the frames of one position in order; the values may differ between positions
    "trigger_time": "trigger time",
    "acquisition_time": "time of acquisition",
    "reference_time": "reference time",
    "content_time": "time of content",
    "number": "image number",
}
_MAX_NAMED = 5
_GAP_TOLERANCE = 0.1  # of the spacing
_SAME_POSITION = 0.01  # of the mean distance
_REGULAR = 0.6  # of the spacings, so that a larger one is a gap and not another spacing


@dataclass(frozen=True)
class Stack:
    """Frames by their position on each axis.

    Attributes
    ----------
    letters
        One letter per axis, Z last; none if there is one frame.
    frames
        Records, in one dimension per letter; None where a segment is empty.
    notes
        What users should know: what an axis means, what is missing or left out.
    positions
        Where the planes along Z lie, ascending; none if there is no such axis.
    """

    letters: str
    frames: NDArray[Any]
    notes: tuple[str, ...]
    positions: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Axis:
    """One value per record; ``noun`` is empty where the letter says it all."""

    letter: str
    values: Sequence[Any]
    noun: str = ""


def arrange(records: Sequence[FrameRecord]) -> Stack:
    """Find the axes of a series, so that no frame of one time or kind lies among those of another."""
    unique = _without_copies(records)
    spatial = all(record.position is not None for record in unique)
    positions = _merged([record.position or 0.0 for record in unique]) if spatial else [0.0] * len(unique)
    axes = [*_axes_of(unique, positions), _Axis("Z", positions)]
    axes = [axis for axis in axes if len(set(axis.values)) > 1]
    if len(axes) == 1 and axes[0].letter != "Z":
        axes = [_Axis("T", axes[0].values, axes[0].noun)]
    # A segmentation stores no frame where a segment is empty.
    sparse = any(axis.noun == "segment" for axis in axes)
    frames, kept = _grid(unique, axes, sparse)
    notes = [f"{axis.letter} is the {axis.noun}" for axis in axes if axis.noun]
    if copies := len(records) - len(unique):
        notes.append(f"{counted(copies, 'copy').replace('copys', 'copies')} of images left out")
    if (lost := len(unique) - frames.size) > 0:
        notes.append(
            f"left out {lost} of {counted(len(unique), 'image')}, whose times or positions are incomplete"
        )
    notes += _missing(unique, axes, kept)
    shape = tuple(n for n in frames.shape if n > 1)
    letters = "".join(axis.letter for axis, n in zip(axes, frames.shape) if n > 1)
    places = next((level for axis, level in zip(axes, kept) if axis.letter == "Z"), ())
    return Stack(letters, frames.reshape(shape), tuple(notes), tuple(places))


def _without_copies(records: Sequence[FrameRecord]) -> list[FrameRecord]:
    """Leave out a file that is there twice; anonymous files may share a UID and yet differ."""
    seen: set[Hashable] = set()
    unique = []
    for record in records:
        uid = text(record.header, "SOPInstanceUID")
        key = (uid, record.index, record.position, *sorted(record.attributes.items()))
        if not uid or key not in seen:
            unique.append(record)
        seen.add(key)
    return unique


def _merged(positions: Sequence[float]) -> list[float]:
    """Give positions that differ by rounding alone, from one time to the next, one value."""
    distinct = sorted(set(positions))
    tolerance = _SAME_POSITION * (distinct[-1] - distinct[0]) / len(distinct)
    kept: dict[float, float] = {}
    last = distinct[0]
    for position in distinct:
        last = position if position - last > tolerance else last
        kept[position] = last
    return [kept[position] for position in positions]


def _axes_of(records: Sequence[FrameRecord], positions: Sequence[float]) -> list[_Axis]:
    """Return axes that tell apart the frames of each position."""
    keys: list[tuple[Any, ...]] = [(position,) for position in positions]
    axes: list[_Axis] = []
    for name, (letter, noun) in _GRID.items():
        if letter in [axis.letter for axis in axes]:
            continue
        if name in _ONLY_WITH_POSITIONS and len(set(positions)) == 1:
            continue
        values = [record.attributes.get(name) for record in records]
        if None not in values and _splits_evenly(keys, values):
            axes.append(_Axis(letter, values, noun))
            keys = [(*key, value) for key, value in zip(keys, values)]
    if max(Counter(keys).values()) > 1:
        letter = "N" if "T" in [axis.letter for axis in axes] else "T"
        axes.insert(0, _ranked(records, keys, letter, len(set(positions)) > 1))
    return axes


def _splits_evenly(keys: Sequence[Hashable], values: Sequence[Any]) -> bool:
    """Whether values divide the frames of (most) positions into parts of one size."""
    groups: dict[Hashable, list[Any]] = defaultdict(list)
    for key, value in zip(keys, values):
        groups[key].append(value)
    distinct, most = len(set(values)), max(map(len, groups.values()))
    if distinct < 2 or most % distinct:
        return False
    full = [Counter(group) for group in groups.values() if len(group) == most]
    even = [group for group in full if set(group.values()) == {most // distinct}]
    return 2 * len(even) >= len(full)


def _ranked(records: Sequence[FrameRecord], keys: Sequence[Hashable], letter: str, spatial: bool) -> _Axis:
    """Number the frames of each position by the first thing that puts them in order."""
    names = [*_RANK] if spatial else ["number", *_RANK]
    for name in names:
        values = [record.attributes.get(name) for record in records]
        if None not in values and len(set(zip(keys, values))) == len(records):
            noun = _RANK[name] if spatial or name != "number" else ""
            return _Axis(letter, _ranks(keys, values), noun)
    noun = "order of files" if len({record.file for record in records}) > 1 else ""
    return _Axis(letter, _ranks(keys, range(len(records))), noun)


def _ranks(keys: Sequence[Hashable], values: Sequence[Any]) -> list[int]:
    taken: Counter[Hashable] = Counter()
    ranks = [0] * len(keys)
    for number in sorted(range(len(keys)), key=lambda i: values[i]):
        ranks[number] = taken[keys[number]]
        taken[keys[number]] += 1
    return ranks


def _grid(
    records: Sequence[FrameRecord], axes: Sequence[_Axis], sparse: bool
) -> tuple[NDArray[Any], list[list[Any]]]:
    """Lay records out by axis; positions that are incomplete are left out, the emptiest first."""
    levels = [sorted(set(axis.values)) for axis in axes]
    grid: NDArray[Any] = np.full([len(level) for level in levels], None, object)
    for number, record in enumerate(records):
        grid[tuple(level.index(axis.values[number]) for axis, level in zip(axes, levels))] = record
    while not sparse and (absent := grid == None).any():  # noqa: E711  (elementwise)
        emptiness = [absent.mean(axis=tuple(a for a in range(grid.ndim) if a != i)) for i in range(grid.ndim)]
        worst = max(range(grid.ndim), key=lambda i: (emptiness[i].max(), -i))
        place = len(emptiness[worst]) - 1 - int(emptiness[worst][::-1].argmax())
        grid = np.delete(grid, place, axis=worst)
        del levels[worst][place]
    return grid, levels


def _missing(records: Sequence[FrameRecord], axes: Sequence[_Axis], kept: Sequence[list[Any]]) -> list[str]:
    """Say what the numbers, the positions, and the files themselves promise and is not there."""
    notes = []
    for axis, levels in zip(axes, kept):
        if axis.letter == "Z":
            notes += _gaps(levels)
        if axis.noun == "temporal position" and (absent := _absent(levels)):
            notes.append(f"missing: temporal {absent}")
    if [axis.letter for axis in axes] == ["T"] and not axes[0].noun:
        values = [float(record.attributes.get("number", -1)) for record in records]
        if len(set(values)) == len(values) > 1 and (absent := _absent(values)):
            notes.append(f"missing: image {absent}")
    times = next((len(level) for axis, level in zip(axes, kept) if axis.noun == "temporal position"), 1)
    promised = max(
        (int(n) for r in records for n in numbers(r.header, "NumberOfTemporalPositions")), default=0
    )
    if promised > times and any(axis.letter == "Z" for axis in axes):
        notes.append(f"the files promise {promised} temporal positions, {times} can be used")
    return notes


def _absent(values: Sequence[float]) -> str:
    """Return which whole numbers are missing between the first and the last, in words."""
    known = {int(value) for value in values}
    absent = (
        [n for n in range(min(known), max(known)) if n not in known] if max(known) - min(known) < 1e5 else []
    )
    if not absent or len(absent) > len(known):  # numbers that skip mean nothing
        return ""
    named = ", ".join(map(str, absent[:_MAX_NAMED])) + (", ..." if len(absent) > _MAX_NAMED else "")
    return f"number{'s' if len(absent) > 1 else ''} {named}"


def plane_distance(positions: Sequence[float]) -> float | None:
    """Return from one plane to the next of a stack that is regular, but for gaps; else None.

    Examples
    --------
    >>> plane_distance([0, 2.5, 5, 10, 12.5]), plane_distance([0, 1, 5])
    (2.5, None)
    """
    steps = np.diff(positions)
    if not len(steps):
        return None
    regular = _are_regular(steps)
    return round(float(steps[regular].mean()), 6) if regular.mean() >= _REGULAR else None


def _are_regular(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which distances are the usual one."""
    spacing = float(np.median(steps))
    return np.asarray(np.abs(steps - spacing) < _GAP_TOLERANCE * spacing)


def _gaps(positions: Sequence[float]) -> list[str]:
    """Say where a regular stack has a gap of whole spacings."""
    steps = np.diff(positions)
    if len(steps) < 3:
        return []
    spacing = float(np.median(steps))
    regular = _are_regular(steps)
    multiples = np.round(steps / spacing)
    gaps = (multiples >= 2) & (np.abs(steps / spacing - multiples) < _GAP_TOLERANCE * multiples)
    if not gaps.any() or regular.mean() < _REGULAR:
        return []
    absent = int((multiples[gaps] - 1).sum())
    first = int(np.flatnonzero(gaps)[0])
    more = f", and {int(gaps.sum()) - 1} more" if gaps.sum() > 1 else ""
    return [
        f"{counted(absent, 'slice')} missing (no slice between {positions[first]:g} and "
        f"{positions[first + 1]:g} mm{more})"
    ]
