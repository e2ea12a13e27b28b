"""Mutation of small folders of files, packed into archives: by what a file holds, so that it stays such.

A JSON file is rarely one after a byte of it was flipped, and a PNG's chunks have checksums; so the values of
the former are replaced, and the latter's sums made right again.
"""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

__all__ = ["Files", "Raw", "mutate", "pack", "unpack"]

Files = dict[str, bytes]
Raw = Callable[[bytes, int], bytes]
"""Mutates plain bytes: the fuzzer's own way, which knows what the code under test compares with."""

MAX_BYTES = 1 << 16
_PNG = b"\x89PNG\r\n\x1a\n"
_NUMBERS = [0, 1, 2, 3, -1, -2, 7, 127, 128, 255, 256, 65535, 65536, 16_700_000]
_NUMBERS += [2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
_ODD: list[Any] = [None, True, False, *_NUMBERS, 0.5, -0.0, 1e308, float("nan"), float("inf"), -1e-9, 10**30]
_ODD += [
    "",
    "x",
    "\0",
    "\ud800",
    "9" * 40,
    "../..",
    "x" * 3000,
    [],
    [[]],
    {},
    {"x": 1},
    [None],
    [0, 1],
    [-1] * 5,
]


def pack(files: Files) -> bytes:
    """Return files as one archive; the same ones always as the same bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
    return held.getvalue()


def unpack(data: bytes) -> Files:
    """Return the files of an archive; none if it is no archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
        return {}


def mutate(data: bytes, random: Random, raw: Raw | None = None) -> bytes:
    """Return a packed folder in which one or a few things are different."""
    files = unpack(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not files:
            break
        name = random.choice(sorted(files))
        chance = random.random()
        if chance < 0.02 and len(files) > 1:
            del files[name]
        elif chance < 0.05:
            files[name] = files[random.choice(sorted(files))]
        else:
            files[name] = _changed(files[name], random, raw or _flipped(random))
    return pack(files)


def _changed(content: bytes, random: Random, raw: Raw, depth: int = 0) -> bytes:
    """Return the content of a file with one thing changed."""
    if depth < 3 and random.random() < 0.95:
        for form in (_zipped, _gzipped, _chunks, _json, _json_lines, _headed_json):
            if (changed := form(content, random, raw, depth)) is not None:
                return changed
    chance = random.random()
    if chance < 0.5 and len(content) >= 8:
        return _with_number(content, random)
    if chance < 0.55:
        return content[: random.randrange(len(content) + 1)]
    return raw(content, MAX_BYTES)


def _flipped(random: Random) -> Raw:
    def raw(content: bytes, _: int) -> bytes:
        changed = bytearray(content or b"\0")
        for _ in range(random.choice((1, 1, 2, 8))):
            changed[random.randrange(len(changed))] = random.randrange(256)
        return bytes(changed)

    return raw


def _with_number(content: bytes, random: Random) -> bytes:
    """Replace some bytes, most often of the header, by a number that is at some edge."""
    size = random.choice((1, 2, 2, 4, 4, 4, 8))
    last = len(content) - size
    at = random.randint(0, min(last, random.choice((64, 400, 400, last))))
    number = random.choice(_NUMBERS) if random.random() < 0.8 else random.getrandbits(8 * size)
    order = random.choice(("little", "big"))
    return content[:at] + (number % 256**size).to_bytes(size, order) + content[at + size :]


def _zipped(content: bytes, random: Random, raw: Raw, depth: int) -> bytes | None:
    files = unpack(content) if content[:4] == b"PK\3\4" else None
    if not files:
        return None
    name = random.choice(sorted(files))
    files[name] = _changed(files[name], random, raw, depth + 1)
    return pack(files)


def _gzipped(content: bytes, random: Random, raw: Raw, depth: int) -> bytes | None:
    if content[:2] != b"\x1f\x8b":
        return None
    try:
        return gzip.compress(_changed(gzip.decompress(content), random, raw, depth + 1), 1, mtime=0)
    except (OSError, EOFError, zlib.error):
        return None


def _chunks(content: bytes, random: Random, raw: Raw, depth: int) -> bytes | None:
    """Change one chunk of a PNG file."""
    if not content.startswith(_PNG):
        return None
    chunks, at = [], len(_PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return None
    number = random.randrange(len(chunks))
    kind, body = chunks[number]
    if kind == b"IDAT" and random.random() < 0.7:
        body = zlib.compress(_changed(_inflated(body), random, raw, 3), 1)
    else:
        body = _changed(body, random, raw, 3)
    chunks[number] = kind, body
    written = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return _PNG + b"".join(written)


def _inflated(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error:
        return body


def _json(content: bytes, random: Random, raw: Raw, depth: int) -> bytes | None:
    """Replace, remove or repeat one value of JSON."""
    if content.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    places = list(_places(value))
    if not places or random.random() < 0.02:
        return json.dumps(random.choice(_ODD)).encode()
    holder, key = random.choice(places)
    chance = random.random()
    if chance < 0.1:
        del holder[key]
    elif chance < 0.2 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif chance < 0.3:
        other, its_key = random.choice(places)
        holder[key] = json.loads(json.dumps(other[its_key]))
    elif chance < 0.5 and isinstance(holder[key], int | float):
        number = holder[key]
        holder[key] = random.choice(
            (number + 1, number - 1, -number, number * 1000, number + 0.5, str(number))
        )
    elif chance < 0.6 and isinstance(holder[key], str):
        holder[key] = raw(holder[key].encode("utf-8", "replace"), MAX_BYTES).decode("utf-8", "replace")
    else:
        holder[key] = random.choice(_ODD)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place that holds a value within a value."""
    held = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in held:
        yield value, key
        yield from _places(one)


def _json_lines(content: bytes, random: Random, raw: Raw, depth: int) -> bytes | None:
    lines = content.splitlines(keepends=True)
    if len(lines) < 2 or not all(line[:1] == b"{" for line in lines):
        return None
    number = random.randrange(len(lines))
    changed = _json(lines[number].rstrip(), random, raw, depth)
    lines[number] = (changed or raw(lines[number].rstrip(), MAX_BYTES)) + b"\n"
    return b"".join(lines)


def _headed_json(content: bytes, random: Random, raw: Raw, depth: int) -> bytes | None:
    """Change the header of a safetensors file: JSON behind its length, before the numbers."""
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8 or random.random() < 0.1:
        return None
    header = _json(content[8 : 8 + length], random, raw, depth)
    return None if header is None else len(header).to_bytes(8, "little") + header + content[8 + length :]
