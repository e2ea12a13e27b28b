"""Videos whose frames tell their numbers, written by PyAV."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

COUNT = 40
WIDTH, HEIGHT = 96, 64


def number_plate(number: int) -> NDArray[np.uint8]:
    """Draw a frame that tells its number: six black or white squares, its bits."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for bit in range(6):
        image[16:48, bit * 16 : bit * 16 + 16] = 255 * (number >> bit & 1)
    return image


def number_of(image: NDArray[Any]) -> int:
    """Read the number of a frame back, through whatever compression has done to it."""
    gray = image.astype(float) if image.ndim == 2 else image.mean(2)
    return sum(int(gray[24:40, bit * 16 + 4 : bit * 16 + 12].mean() > 127) << bit for bit in range(6))


def write(
    path: Path,
    codec: str,
    layout: str,
    coding: dict[str, str],
    *,
    draw: Callable[[int], NDArray[np.uint8]] = number_plate,
    **container: Any,
) -> Path:
    """Write ``COUNT`` frames at 25 per second."""
    with av.open(str(path), "w", **container) as output:
        stream = output.add_stream(codec, rate=25, options=coding)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        for number in range(COUNT):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), "rgb24")))
        output.mux(stream.encode())
    return path
