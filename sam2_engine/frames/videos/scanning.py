"""Scan of a video file: its index, and what it lacks of what its container promises."""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from sam2_engine.frames.videos.container import (
    is_cut_off,
    open_container,
    prepare,
    read_images,
    read_packets,
)
from sam2_engine.frames.videos.index import VideoIndex
from sam2_engine.wording import counted, plural

__all__ = ["scan"]

# Containers of broadcasts, which leave out no frame.
_CONSTANT_RATE = ("mpegts",)
# Containers whose length in seconds was written by who recorded them, so that it tells the number of frames.
_LENGTH_IN_SECONDS = ("matroska", "flv", "asf")
_OFF_GRID = 0.3
_ROUNDING = 0.25
_MIN_HOLE = 64
_REORDERED = 8
_MISPLACED = 16
_MAX_GAPS = 100
_MAX_LISTED = 5
_CUT_OFF = "the file is cut off"


@dataclass(frozen=True)
class _Packet:
    """Compressed data of one frame; ``hole`` is the number of bytes before them that belong to no packet."""

    time: int | None
    position: int
    end: int
    is_key: bool = False
    is_needed: bool = True
    is_damaged: bool = False
    is_lost: bool = False
    hole: int = 0


@dataclass(frozen=True)
class _Promise:
    """What a container says of a stream, apart from its packets.

    ``frames`` is how many there are of them, ``end`` the time at which the last one ends, ``step`` the time
    between two, both in ticks; ``None`` where it is not said. ``is_complete`` is where every gap is a loss.
    """

    frames: int | None
    end: float | None
    step: float | None
    is_complete: bool
    is_cut_off: bool


def scan(path: Path, number: int) -> VideoIndex:
    """Read the index of a stream of images: from its packets, or if these do not tell, by decoding it."""
    with open_container(path) as container:
        stream = container.streams.video[number]
        packets, hidden, other_end = _read(container, stream)
        is_avi = container.format.name == "avi"
        is_reordered = stream.codec_context.has_b_frames > 0
        packets, empty = _listed_by_avi(packets, stream) if is_avi else (packets, 0)
        promise = _promise(container, stream, other_end, hidden + empty)
        promise = replace(promise, is_cut_off=is_cut_off(path))
        if container.format.name == "mpegts":
            packets = _with_torn_by_ts(packets)
        packets, misplaced = _without_misplaced(packets, promise.step)
        is_timed = container.format.name != "mpeg" and not (is_avi and is_reordered)
    times = {packet.time for packet in packets}
    if not is_timed or None in times or len(times) != len(packets):
        return _counted(path, number, promise)
    kept = _num_whole(packets, promise, path.stat().st_size)
    torn = [packet.position for packet in packets[kept:] if not packet.is_lost]
    is_shifted = any(packet.is_lost for packet in packets)
    index = _timed(packets[:kept], replace(promise, is_cut_off=promise.is_cut_off or bool(torn)))
    time_at = {packet.position: packet.time for packet in packets[:kept]} if is_shifted else {}
    return replace(index, time_at={**time_at, **dict.fromkeys([*torn, *misplaced])})


def _read(container: Any, stream: Any) -> tuple[list[_Packet], int, float]:
    """Return a stream's packets, how many are not to be shown, and when the other streams end in seconds."""
    packets: list[_Packet] = []
    hidden, other_end, reached, hole = 0, 0.0, 0, 0
    for packet in read_packets(container):
        if not packet.size:
            continue
        position = packet.pos if packet.pos is not None else -1
        end = position + packet.size
        if reached and position > reached:
            hole += position - reached
        reached = max(reached, end)
        if packet.stream_index != stream.index:
            if packet.pts is not None and packet.time_base:
                other_end = max(other_end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        elif packet.is_discard:
            hidden += 1
        else:
            flags = packet.is_keyframe, not packet.is_disposable, packet.is_corrupt
            packets.append(_Packet(packet.pts, position, end, *flags, hole=hole))
            hole = 0
    return packets, hidden, other_end


def _listed_by_avi(packets: list[_Packet], stream: Any) -> tuple[list[_Packet], int]:
    """Add what AVI's own index lists and reading did not find; also count its frames without data."""
    entries = list(stream.index_entries)
    listed = {
        entry.pos + 8: entry for entry in entries if entry.size
    }  # behind the name and length of a chunk
    found = {packet.position: packet for packet in packets}
    if not found.keys() <= listed.keys():
        return packets, 0
    completed = [
        replace(found[position], time=entry.timestamp)
        if position in found
        else _Packet(entry.timestamp, position, position + entry.size, is_lost=True)
        for position, entry in sorted(listed.items())
    ]
    return completed, len(entries) - len(listed)


def _with_torn_by_ts(packets: list[_Packet]) -> list[_Packet]:
    """Mark also the packets before damaged ones: a gap in the transport may have torn the end of these."""
    later = [*packets[1:], None]
    return [
        replace(packet, is_damaged=True) if following and following.is_damaged else packet
        for packet, following in zip(packets, later)
    ]


def _without_misplaced(packets: list[_Packet], step: float | None) -> tuple[list[_Packet], list[int]]:
    """Leave out packets whose time stamps are far from their neighbors'; also return their positions."""
    kept: list[_Packet] = []
    positions: list[int] = []
    skipped = 0
    for at, packet in enumerate(packets):
        near = [
            one.time
            for one in packets[max(at - 2, 0) : at] + packets[at + 1 : at + 3]
            if one.time is not None
        ]
        if step and packet.time is not None and len(near) == 4 and not packet.is_lost:
            margin = _MISPLACED * step
            if not min(near) - margin <= packet.time <= max(near) + margin:
                positions.append(packet.position)
                skipped = packet.hole + packet.end - packet.position
                continue
        kept.append(replace(packet, hole=packet.hole + skipped) if skipped else packet)
        skipped = 0
    return kept, positions


def _promise(container: Any, stream: Any, other_end: float, not_shown: int) -> _Promise:
    tick, rate = stream.time_base, stream.average_rate
    step = float(1 / (rate * tick)) if rate and tick else None
    end = _seconds(stream.metadata.get("DURATION", ""))
    if end is None and container.duration:
        end = container.duration / 1_000_000
        if other_end and step and other_end > end - step * float(tick):  # sound may be longer than images
            end = None
    known = container.format.name.startswith(_LENGTH_IN_SECONDS)
    return _Promise(
        frames=stream.frames - not_shown if stream.frames else None,
        end=end / float(tick) if known and end is not None and tick else None,
        step=step,
        is_complete=container.format.name in _CONSTANT_RATE,
        is_cut_off=False,
    )


def _seconds(text: str) -> float | None:
    """Read a duration as Matroska's tags have it: 00:01:02.500000000."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _num_whole(packets: Sequence[_Packet], promise: _Promise, size: int) -> int:
    """Return how many packets there are before those that the end of the file has torn."""
    kept = len(packets)
    while kept and (packets[kept - 1].is_lost or packets[kept - 1].is_damaged):
        kept -= 1
    return kept - 1 if kept and promise.is_cut_off and packets[kept - 1].end >= size else kept


def _timed(packets: list[_Packet], promise: _Promise) -> VideoIndex:
    """Number the frames by their time stamps; by the rate too, where some are missing."""
    times = sorted(packet.time for packet in packets if packet.time is not None)
    there = [packet for packet in packets if not packet.is_lost]
    lacking = None if promise.frames is None else max(promise.frames - len(there), 0)
    is_listed = len(there) < len(packets)  # the container's index has the times of lost frames
    grid = None if is_listed else _on_grid(times, promise.step)
    tail = _missing_at_end(times[-1], promise) if lacking is None and grid else (lacking or 0)
    gaps = grid[-1] + 1 - len(grid) if grid else len(packets) - len(there)
    holes = _holes(there, dict(zip(times, grid))) if grid and gaps else []
    is_incomplete = bool(
        tail or promise.is_cut_off or promise.is_complete or holes or any(one.is_damaged for one in there)
    )
    is_plausible = gaps <= (
        _MAX_GAPS * len(there) if lacking is None else min(lacking, _MAX_GAPS * len(there))
    )
    is_filled = is_listed or (grid is not None and gaps > 0 and is_incomplete and is_plausible)
    numbers = dict(zip(times, grid)) if grid and is_filled else {time: at for at, time in enumerate(times)}
    order = [numbers[packet.time] for packet in there if packet.time is not None]
    present = sorted(order)
    length = present[-1] + 1 if present else 0
    if is_filled and lacking is not None:
        tail = max(lacking - gaps, 0)
    damaged = frozenset(number for number, packet in zip(order, there) if packet.is_damaged)
    notes = [
        _CUT_OFF if promise.is_cut_off else "",
        _missing(present, length + tail, is_known_which=is_filled or grid is not None),
        _damaged(damaged),
        f"its times leave out {counted(gaps, 'frame')}, its numbers do not"
        if gaps and not is_filled and lacking is None
        else "",
    ]
    return VideoIndex(
        length,
        sorted(packet.time for packet in there if packet.time is not None),
        present,
        order,
        keys=[at for at, packet in enumerate(there) if packet.is_key],
        losses=sorted({*_losses(packets), *(holes if is_filled else ())}),
        unneeded=frozenset(number for number, packet in zip(order, there) if not packet.is_needed),
        damaged=damaged,
        note="; ".join(filter(None, notes)),
    )


def _missing_at_end(last: int, promise: _Promise) -> int:
    """Return how many frames there should be after the last one; an end that is rounded is none."""
    if promise.end is None or not promise.step:
        return 0
    count = max(int((promise.end - last) / promise.step - 1 + _ROUNDING), 0)
    return 0 if count == 1 and not promise.is_cut_off else count


def _on_grid(times: Sequence[int], step: float | None) -> list[int] | None:
    """Return the numbers of frames by their times, if they are shown at a constant rate."""
    if not step or not times:
        return None
    exact = [(time - times[0]) / step for time in times]
    numbers = [round(value) for value in exact]
    is_regular = all(abs(value - number) <= _OFF_GRID for value, number in zip(exact, numbers))
    return numbers if is_regular and len(set(numbers)) == len(numbers) else None


def _losses(packets: Iterable[_Packet]) -> list[int]:
    """Return before which of the packets that are there others are lost."""
    losses, count = [], 0
    for packet in packets:
        if packet.is_lost:
            losses.append(count)
        else:
            count += 1
    return losses


def _holes(packets: Sequence[_Packet], numbers: dict[int, int]) -> list[int]:
    """Return before which packets the file holds data that belong to no packet, where the times have gaps.

    A recorder that drops a frame leaves a gap in the times; damage also leaves bytes that nobody can read.
    """
    order = [numbers[packet.time] for packet in packets if packet.time is not None]
    there, newest = set(order), -1
    near: set[int] = set()
    for at, number in enumerate(order):
        if any(one not in there for one in range(newest + 1, number)):
            near.update(range(at, min(at + _REORDERED, len(order))))
        newest = max(newest, number)
    usual = max((p.hole for at, p in enumerate(packets) if at not in near), default=0)
    return [at for at in sorted(near) if packets[at].hole > max(usual, _MIN_HOLE)]


def _counted(path: Path, number: int, promise: _Promise) -> VideoIndex:
    """Count the frames of a stream whose time stamps cannot be relied on, by decoding them."""
    keys, damaged, losses, count = [], set(), set(), 0
    with open_container(path) as container:
        for image in read_images(container, prepare(container.streams.video[number]), {}):
            if image is None:
                losses.add(count)
                continue
            if image.key_frame:
                keys.append(count)
            if image.is_corrupt:
                damaged.add(count)
            count += 1
    lacking = max((promise.frames or 0) - count, 0)
    if not losses and not promise.is_cut_off and lacking == 1:  # a frame that a coder repeats has no data
        lacking = 0
    notes = [
        _CUT_OFF if promise.is_cut_off else "",
        _missing(range(count), count + lacking, is_known_which=False),
        "some data cannot be decoded, so later frames may have smaller numbers" if losses else "",
        _damaged(damaged),
    ]
    return VideoIndex(
        count,
        None,
        range(count),
        range(count),
        keys=keys,
        losses=sorted(losses),
        damaged=frozenset(damaged),
        note="; ".join(filter(None, notes)),
    )


def _missing(present: Sequence[int], total: int, *, is_known_which: bool) -> str:
    """Say which of ``total`` frames are not ``present``."""
    if len(present) == total:
        return ""
    which = _ranges(present, total) if is_known_which else "it is not known which"
    return f"missing: {total - len(present)} of {total} frames ({which})"


def _ranges(others: Sequence[int], total: int) -> str:
    """Write the numbers below ``total`` without ``others``, which ascend, in short: "3, 5 to 9"."""
    gaps = [(before + 1, after - 1) for before, after in pairwise((-1, *others, total)) if after > before + 1]
    shown = [f"{first} to {last}" if last > first else f"{first}" for first, last in gaps[:_MAX_LISTED]]
    return ", ".join(shown) + (" and more" if len(gaps) > _MAX_LISTED else "")


def _damaged(numbers: AbstractSet[int]) -> str:
    if not numbers:
        return ""
    shown = ", ".join(map(str, sorted(numbers)[:_MAX_LISTED]))
    more = " and more" if len(numbers) > _MAX_LISTED else ""
    return f"damaged: {plural(len(numbers), 'frame')} {shown}{more}"
