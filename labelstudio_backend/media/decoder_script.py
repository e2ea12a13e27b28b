"""Decoder of one untrusted file, run as a process of its own by ``decoding``.

``python -I decoder_script.py (image | video) FILE MAX_PIXELS`` writes one line of JSON, and after it the
pixels of an image. Before it decodes an image it writes how many pixels that has, and waits for a line.
Of ours it imports the readers alone, so that it starts quickly.
"""

import contextlib
import itertools
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

_BYTES_PER_PIXEL = 32
"""Of the largest image that is allowed: its colors, turned, on a background, as an array."""
_BASE_BYTES = 1 << 30
_CPU_SECONDS = 60
_MAX_FRAMES = 8


class TooManyPixelsError(Exception):
    """The header alone tells that the file is too large."""


def limit_this_process(max_pixels: int) -> None:
    """Cap memory and processor time, where the system can, and leave no core file behind."""
    try:
        import resource
    except ImportError:  # Windows: only the time limit of whoever waits for this process
        return
    memory = _BASE_BYTES + _BYTES_PER_PIXEL * max_pixels
    for kind, cap in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        # There may be a lower cap from outside already, and macOS knows no cap of the address space.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (cap, cap))


class NoImageError(Exception):
    """The file begins as no known image does."""


def import_without_pytorch(*packages: str) -> None:
    """Make modules of packages importable without what their ``__init__`` loads, which takes seconds."""
    for name in packages:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [
            str(Path(__file__).resolve().parents[2].joinpath(*name.split(".")))
        ]
        sys.modules[name] = module_from_spec(spec)


def decode_image(path: Path, max_pixels: int, before: Callable[[int], None] = lambda _: None) -> Any:
    """Return an image as a browser shows it: upright, and on white; ``before`` is called with its pixels."""
    import_without_pytorch("sam2_engine", "sam2_engine.frames")
    import numpy as np

    from sam2_engine.frames.file_kinds import IMAGES, TIFF, kind_of

    kind = kind_of(path)
    if kind not in IMAGES:
        raise NoImageError
    pixels = (_decode_tiff if kind == TIFF else _decode)(path, max_pixels, before)
    if pixels.shape[0] * pixels.shape[1] > max_pixels:
        raise TooManyPixelsError
    return np.ascontiguousarray(pixels)


def wait_for_memory(pixels: int) -> None:
    """Say how many pixels are about to be decoded, and wait until there is memory for them."""
    sys.stdout.buffer.write(json.dumps({"pixels": pixels}).encode() + b"\n")
    sys.stdout.buffer.flush()
    if not sys.stdin.buffer.readline():
        sys.exit(1)  # whoever asked is gone


def _decode(path: Path, max_pixels: int, before: Callable[[int], None]) -> Any:
    from sam2_engine.frames.images.decoding import ImageDecoder, ImageTooLargeError

    try:
        with ImageDecoder(path, background="white", max_pixels=max_pixels) as decoder:
            height, width = decoder.shape or (max_pixels, 1)  # without a header that tells: the most
            before(height * width)
            return decoder.read()
    except ImageTooLargeError as error:
        raise TooManyPixelsError from error


def _decode_tiff(path: Path, max_pixels: int, before: Callable[[int], None]) -> Any:
    from sam2_engine.frames.tiff_frames import open_tiff

    with open_tiff(path, single=True) as frames:
        if frames.shape[0] * frames.shape[1] > max_pixels:
            raise TooManyPixelsError
        before(frames.shape[0] * frames.shape[1])
        return frames[0]


def try_video(path: Path, max_pixels: int) -> None:
    """Read a video's packets and decode its first frames, to find out whether that is safe."""
    import_without_pytorch("sam2_engine", "sam2_engine.frames")
    from sam2_engine.frames.videos.container import (
        choose_stream,
        open_container,
        prepare,
        read_images,
        read_packets,
    )

    with open_container(path) as container:
        number, _ = choose_stream(container, path.name)
        size = container.streams.video[number].codec_context
        if size.width * size.height > max_pixels:
            raise TooManyPixelsError
        for _ in read_packets(container):
            pass
    with open_container(path) as container:
        images = read_images(container, prepare(container.streams.video[number]), {})
        for image in itertools.islice(images, _MAX_FRAMES):
            if image is None:  # a damaged frame, which is refused when it is asked for
                continue
            if image.width * image.height > max_pixels:
                raise TooManyPixelsError
            image.to_ndarray(format="rgb24")


def main() -> None:
    """Decode what the command line names, and write the result or the error."""
    kind, file, max_pixels = sys.argv[1:]
    limit_this_process(int(max_pixels))
    reply: dict[str, Any]
    pixels, path = None, Path(file)
    try:
        if kind == "image":
            pixels = decode_image(path, int(max_pixels), wait_for_memory)
            reply = {"shape": pixels.shape, "dtype": pixels.dtype.str}
        else:
            try_video(path, int(max_pixels))
            reply = {}
    except (TooManyPixelsError, MemoryError):
        reply = {"error": "size"}
    except NoImageError:
        reply = {"error": "unknown"}
    except Exception as error:
        reason = str(error.__cause__ or error).split("\n")[0]
        reply = {"error": "damaged", "reason": reason[:200].replace(path.name, "it")}
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    if pixels is not None:
        sys.stdout.buffer.write(pixels.data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
