"""Videos whose frames show their own number as a pattern of bars, which survives any codec."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

BITS, WIDTH, HEIGHT = 8, 128, 64


def draw(number: int) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image of a number below 256."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            image[8:-8, bit * 16 + 2 : bit * 16 + 14] = 255
    return image


def read(image: NDArray[Any]) -> int:
    """Return the number that an image shows."""
    return sum(1 << bit for bit in range(BITS) if image[HEIGHT // 2, bit * 16 + 8].max() > 127)


def write_video(
    path: Path,
    times: Sequence[int],
    tick: Fraction,
    *,
    codec: str = "mpeg4",
    rate: Fraction | int = 25,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video whose frame i shows i and begins at ``times[i]`` ticks."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = tick
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(number))
            frame.pts, frame.time_base = time, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
