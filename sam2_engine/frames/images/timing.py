"""Durations of the frames of animated images, read from their containers without decoding a pixel."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

__all__ = ["Timing", "timing_of"]

_ZERO = 100.0
"""Milliseconds that viewers give to a frame without a duration."""


@dataclass(frozen=True)
class Timing:
    """What a container says of its frames.

    Attributes
    ----------
    durations
        Milliseconds of each frame that is wholly in the file.
    promised
        Number of frames that the file says it has, where it does.
    is_cut_off
        Whether the file ends too early.
    overhangs
        Whether a frame reaches beyond the image's declared size.
    """

    durations: tuple[float, ...]
    promised: int | None = None
    is_cut_off: bool = False
    overhangs: bool = False

    @property
    def timestamps(self) -> list[float]:
        """Seconds at which each frame is shown."""
        times, now = [], 0.0
        for duration in self.durations:
            times.append(now / 1000)
            now += duration
        return times

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return 1000 * len(self.durations) / sum(self.durations)


def timing_of(path: Path, kind: str) -> Timing | None:
    """Return the timing of an animated image; ``None`` if its container is not known or damaged."""
    scan = _SCANS.get(kind)
    if scan is None:
        return None
    try:
        with path.open("rb") as file:
            timing = scan(file, path.stat().st_size)
    except (struct.error, IndexError, ValueError):
        return None
    return replace(timing, durations=tuple(duration or _ZERO for duration in timing.durations))


def _gif(file: BinaryIO, size: int) -> Timing:
    """GIF89a specification, sections 15 to 27."""
    durations: list[float] = []
    delay, overhangs = 0.0, False
    width, height, flags = struct.unpack_from("<HHB", file.read(13), 6)
    file.seek(_color_table(flags), 1)
    while (block := file.read(1)) not in (b";", b""):
        if block == b"!":
            label = file.read(1)
            content = file.read(file.read(1)[0])
            if label == b"\xf9" and len(content) == 4:
                delay = 10.0 * struct.unpack_from("<H", content, 1)[0]
            if not content:
                continue
        elif block == b",":
            x, y, columns, rows, flags = struct.unpack("<4HB", file.read(9))
            overhangs |= x + columns > width or y + rows > height
            file.seek(_color_table(flags) + 1, 1)
        else:
            continue  # what some writers leave between blocks
        if not _skip_data(file):
            return Timing(tuple(durations), is_cut_off=True)
        if block == b",":
            durations.append(delay)
    return Timing(tuple(durations), overhangs=overhangs)


def _skip_data(file: BinaryIO) -> bool:
    """Skip the data blocks up to the empty one that ends them; whether there is one."""
    while (length := file.read(1)) not in (b"\0", b""):
        file.seek(length[0], 1)
    return bool(length)


def _color_table(flags: int) -> int:
    """Return the bytes of a color table, whose presence and size stand in a block's flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _png(file: BinaryIO, size: int) -> Timing:
    """APNG: a frame is an fcTL chunk with the data chunks after it (PNG, third edition, section 11.3)."""
    durations: list[float] = []
    promised = default_image = 0
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        end = file.tell() + length + 4
        if end > size:
            return Timing(tuple(durations[:-1]), promised, is_cut_off=True)
        if name == b"acTL":
            promised = struct.unpack(">I", file.read(4))[0]
        elif name == b"fcTL":
            numerator, denominator = struct.unpack_from(">HH", file.read(length), 20)
            durations.append(1000 * numerator / (denominator or 100))
        elif name == b"IDAT" and not durations:
            default_image = 1
            durations.append(0)
        file.seek(end)
    return Timing(tuple(durations), promised + default_image, is_cut_off=name != b"IEND")


def _webp(file: BinaryIO, size: int) -> Timing:
    """RIFF chunks ANMF (WebP container specification, "Animation")."""
    durations: list[float] = []
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        end = file.tell() + length + length % 2
        if end > size + 1:
            return Timing(tuple(durations), is_cut_off=True)
        if name == b"ANMF":
            durations.append(int.from_bytes(file.read(16)[12:15], "little"))
        file.seek(end)
    return Timing(tuple(durations))


def _avif(file: BinaryIO, size: int) -> Timing:
    """Box stts of the first track (ISO 14496-12, section 8.6.1.2)."""
    content = _box(file, size, b"moov", b"trak", b"mdia")
    media = file.tell()
    header = _box(file, content, b"mdhd")
    data = file.read(header - file.tell())
    scale = struct.unpack_from(">I", data, 20 if data[0] else 12)[0]
    file.seek(media)
    end = _box(file, content, b"minf", b"stbl", b"stts")
    data = file.read(end - file.tell())
    count = struct.unpack_from(">I", data, 4)[0]
    durations: list[float] = []
    for entry in range(min(count, len(data) // 8 - 1)):
        samples, ticks = struct.unpack_from(">II", data, 8 + 8 * entry)
        durations += [1000 * ticks / scale] * min(samples, size)
    return Timing(tuple(durations))


def _box(file: BinaryIO, end: int, *names: bytes) -> int:
    """Go into the first box of each name in turn, and return where the last one ends."""
    for name in names:
        end = next(stop for found, stop in _boxes(file, end) if found == name)
    return end


def _boxes(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int]]:
    while file.tell() + 8 <= end:
        start = file.tell()
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = struct.unpack(">Q", file.read(8))[0]
        if length < 8:
            length = end - start
        yield name, min(start + length, end)
        file.seek(start + length)
    raise ValueError("there is no such box")


_SCANS: dict[str, Callable[[BinaryIO, int], Timing]] = {
    "GIF": _gif,
    "PNG": _png,
    "WEBP": _webp,
    "AVIF": _avif,
}
