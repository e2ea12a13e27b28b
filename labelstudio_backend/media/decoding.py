"""Decoding of untrusted images and videos in a process of their own.

A file may be made to crash its decoder or to fill its memory. Images are decoded wholly in that process,
with caps on pixels, memory and time. Videos are tried in it (index and first frames) and then decoded here,
frame by frame; one that crashes the decoder later costs the worker, which the server replaces.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

__all__ = ["check_video", "read_image"]

_SCRIPT = Path(__file__).with_name("decoder_script.py")
_SECONDS = 60.0
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Environment variables that the process gets: no tokens."""


def read_image(path: Path, name: str, max_pixels: int = Settings.max_pixels) -> NDArray[Any]:
    """Read an image as a browser shows it: turned as its EXIF orientation says, and on white.

    Parameters
    ----------
    path
        The file.
    name
        What messages call it.
    max_pixels
        More of them are not read.

    Returns
    -------
    ``(H, W)`` in its own type if gray, else ``(H, W, 3)`` uint8; not writable.

    Raises
    ------
    InputError
        If it is not an image, damaged, or too large.
    """
    reply, pixels = _run_decoder("image", path, name, max_pixels)
    if "error" in reply:
        if reply["error"] == "unknown":
            raise InputError(f"{name} is not an image that can be read; import a PNG, JPEG or WebP instead.")
        raise InputError(f"The image {name} is damaged ({str(reply['reason']).rstrip('.')}).")
    return np.frombuffer(pixels, np.dtype(reply["dtype"])).reshape(reply["shape"])


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


def _run_decoder(kind: str, path: Path, name: str, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    command = [sys.executable, "-I", str(_SCRIPT), kind, str(path), str(max_pixels)]
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            env={**environment, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"The {kind} {name} takes too long to decode; export it again.") from None
    line, _, pixels = done.stdout.partition(b"\n")
    if done.returncode or not line:
        raise InputError(f"The {kind} {name} cannot be decoded safely; export it again as PNG or MP4.")
    reply: dict[str, Any] = json.loads(line)
    if reply.get("error") == "size":
        raise InputError(
            f"The {kind} {name} has too many pixels to be read safely (more than {max_pixels}); "
            "make it smaller, or set MAX_PIXELS where the server is started."
        )
    return reply, pixels
