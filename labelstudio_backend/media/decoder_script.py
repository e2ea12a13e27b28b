"""Decoder of one untrusted file, run as a process of its own by ``decoding``.

``python -I decoder_script.py (image | video) FILE MAX_PIXELS`` writes one line of JSON, and after it the
pixels of an image. It imports nothing of ours, so that it starts quickly.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

_GRAY = ("L", "LA", "La")
_HIGH_BIT_DEPTH = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of Pillow with more than 8 bits, always gray."""
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "JPEG2000", "ICO", "PPM")
"""What browsers show, and a few beside; none that runs a program, as Pillow does for PostScript."""
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


def decode_image(path: Path, max_pixels: int) -> Any:
    """Return an image as a browser shows it: turned as its EXIF orientation says, and on white."""
    import numpy as np
    from PIL import Image, ImageOps

    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # the limit is our own, before any pixel is read
    with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as opened:
        if opened.width * opened.height > max_pixels:
            raise TooManyPixelsError
        image = ImageOps.exif_transpose(opened)
        if image.mode not in _HIGH_BIT_DEPTH and image.has_transparency_data:
            background = Image.new("RGBA", image.size, "white")
            background.alpha_composite(image.convert("RGBA"))
            image = background.convert("L" if image.mode in _GRAY else "RGB")
        elif image.mode not in (*_HIGH_BIT_DEPTH, *_GRAY):
            image = image.convert("RGB")
        return np.ascontiguousarray(image)


def try_video(path: Path, max_pixels: int, options: dict[str, str]) -> None:
    """Read a video's index and decode its first frames, to find out whether that is safe."""
    import av

    with av.open(str(path.absolute()), options=options) as container:
        stream = container.streams.video[0]
        if stream.codec_context.width * stream.codec_context.height > max_pixels:
            raise TooManyPixelsError
        for _ in container.demux(stream):
            pass
    with av.open(str(path.absolute()), options=options) as container:
        stream = container.streams.video[0]
        for number, frame in enumerate(container.decode(stream)):
            if frame.width * frame.height > max_pixels:
                raise TooManyPixelsError
            frame.to_ndarray(format="rgb24")
            if number + 1 == _MAX_FRAMES:
                break


def main() -> None:
    """Decode what the command line names, and write the result or the error."""
    kind, file, max_pixels, *more = sys.argv[1:]
    limit_this_process(int(max_pixels))
    reply: dict[str, Any]
    pixels = None
    try:
        if kind == "image":
            pixels = decode_image(Path(file), int(max_pixels))
            reply = {"shape": pixels.shape, "dtype": pixels.dtype.str}
        else:
            try_video(Path(file), int(max_pixels), json.loads(more[0]))
            reply = {}
    except (TooManyPixelsError, MemoryError):
        reply = {"error": "size"}
    except Exception as error:
        unknown = type(error).__name__ == "UnidentifiedImageError"
        reply = {"error": "unknown" if unknown else "damaged", "reason": str(error).split("\n")[0][:200]}
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    if pixels is not None:
        sys.stdout.buffer.write(pixels.data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
