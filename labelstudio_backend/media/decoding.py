"""Decoding of untrusted images and videos in a process of their own.

A file may be made to crash its decoder or to fill its memory. Images are decoded wholly in that process,
with caps on pixels, memory and time. Videos are tried in it (index and first frames) and then decoded here,
frame by frame; one that crashes the decoder later costs the worker, which the server replaces.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.media.memory_budget import MemoryBudget
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

__all__ = ["check_video", "read_image"]

_SCRIPT = Path(__file__).with_name("decoder_script.py")
_SECONDS = 60.0
_MAX_LINE = 1 << 16
_BYTES_PER_PIXEL = 12
"""While an image of 8-bit colors is decoded: 7.4 in the decoder (measured on 200 million pixels), 3 here."""
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Environment variables that the process gets: no tokens."""


def read_image(
    path: Path, name: str, max_pixels: int = Settings.max_pixels, budget: MemoryBudget | None = None
) -> NDArray[Any]:
    """Read an image as a browser shows it: turned as its EXIF orientation says, and on white.

    Parameters
    ----------
    path
        The file.
    name
        What messages call it.
    max_pixels
        More of them are not read.
    budget
        Memory that is shared with other decoders; None for no limit but the file's own.

    Returns
    -------
    ``(H, W)`` in its own type if gray, else ``(H, W, 3)`` uint8; not writable.

    Raises
    ------
    InputError
        If it is not an image, damaged, or too large.
    """
    reply, pixels = _run_decoder("image", path, name, max_pixels, budget)
    if pixels is None:
        if reply.get("error") == "unknown":
            raise InputError(f"{name} is not an image that can be read; import a PNG, JPEG or WebP instead.")
        raise InputError(f"The image {name} is damaged ({str(reply.get('reason')).rstrip('.')}).")
    return pixels


def check_video(path: Path, name: str, max_pixels: int = Settings.max_pixels) -> None:
    """Make sure that a video is safe to decode; whether it is a video at all, its reader finds out.

    Parameters
    ----------
    path, name, max_pixels
        As for :func:`read_image`; the pixels of one frame.

    Raises
    ------
    InputError
        If its frames are too large, or it crashes or outlasts its decoder.
    """
    _run_decoder("video", path, name, max_pixels)


def _run_decoder(
    kind: str, path: Path, name: str, max_pixels: int, budget: MemoryBudget | None = None
) -> tuple[dict[str, Any], NDArray[Any] | None]:
    """Run the decoder; it says how large the image is, and goes on once there is memory for that."""
    command = [sys.executable, "-I", str(_SCRIPT), kind, str(path), str(max_pixels)]
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment, "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        decoder = _Decoder(process)
        try:
            reply = decoder.read_line()
            if "pixels" in reply:
                needed = _BYTES_PER_PIXEL * min(int(reply["pixels"]), max_pixels)
                with (budget or MemoryBudget(needed)).held(needed):
                    reply = decoder.go_on()
                    pixels = None if "error" in reply else decoder.read_pixels(reply, max_pixels)
            else:
                pixels = None
        except _BrokenError:
            if decoder.is_late:
                raise InputError(f"The {kind} {name} takes too long to decode; export it again.") from None
            raise InputError(
                f"The {kind} {name} cannot be decoded safely; export it again as PNG or MP4."
            ) from None
        finally:
            process.kill()
    if reply.get("error") == "size":
        raise InputError(
            f"The {kind} {name} has too many pixels to be read safely (more than {max_pixels}); "
            "make it smaller, or set MAX_PIXELS where the server is started."
        )
    return reply, pixels


class _BrokenError(Exception):
    """The decoder ended, or said what it never says."""


class _Decoder:
    """The process of a decoder, which has so many seconds for each answer."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.is_late = False
        self._process = process

    def read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        with self._in_time():
            line = self._process.stdout.readline(_MAX_LINE)
        try:
            reply = json.loads(line)
        except ValueError:
            raise _BrokenError from None
        if not isinstance(reply, dict):
            raise _BrokenError
        return reply

    def go_on(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except OSError:
            raise _BrokenError from None
        return self.read_line()

    def read_pixels(self, reply: dict[str, Any], max_pixels: int) -> NDArray[Any]:
        """Read the pixels to where they stay, so that they are in memory once."""
        assert self._process.stdout is not None
        try:
            shape, dtype = tuple(int(side) for side in reply["shape"]), np.dtype(str(reply["dtype"]))
            if len(shape) not in (2, 3) or shape[0] * shape[1] > max_pixels or prod(shape[2:]) > 4:
                raise _BrokenError
            if dtype.kind not in "biuf":
                raise _BrokenError
            pixels = np.empty(shape, dtype)
        except (KeyError, TypeError, ValueError):
            raise _BrokenError from None
        with self._in_time():
            read = self._process.stdout.readinto(pixels.data.cast("B"))  # type: ignore[attr-defined]
        if read != pixels.nbytes:
            raise _BrokenError
        pixels.flags.writeable = False
        return pixels

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        timer = threading.Timer(_SECONDS, self._end)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.is_late = True
        self._process.kill()
