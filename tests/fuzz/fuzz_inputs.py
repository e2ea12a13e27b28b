"""Small valid inputs that fuzzing starts from, by target."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from mutation import Files

__all__ = ["INPUTS"]

STACK = np.kron(np.random.default_rng(0).integers(0, 255, (4, 6, 8)), np.ones((1, 4, 4))).astype(np.uint8)
"""(T, Y, X) = (4, 24, 32): squares, so that every codec makes it small."""


def _tiff(pixels: Any = STACK, **options: Any) -> bytes:
    held = io.BytesIO()
    tifffile.imwrite(held, pixels, **{"metadata": {"axes": "TYX"}, "photometric": "minisblack", **options})
    return held.getvalue()


def tiff() -> dict[str, Files]:
    color = np.stack([STACK] * 3, axis=-1)
    kinds = {
        "plain": _tiff(metadata=None),
        "deflate": _tiff(compression="zlib"),
        "imagej": _tiff(imagej=True),
        "ome": _tiff(ome=True, compression="lzw"),
        "tiled": _tiff(STACK[0], tile=(16, 16), compression="zstd", metadata=None),
        "big": _tiff(STACK.astype(np.uint16), bigtiff=True, predictor=True, compression="zlib"),
        "color": _tiff(color, photometric="rgb", compression="packbits", metadata={"axes": "TYXS"}),
        "jpeg": _tiff(color[0], photometric="rgb", compression="jpeg", metadata=None),
        "planar": _tiff(np.stack([STACK[0]] * 3), photometric="rgb", planarconfig="separate", metadata=None),
        "float": _tiff(STACK.astype(np.float32), rowsperstrip=5, byteorder=">"),
        "palette": _tiff(
            STACK[0] // 16, photometric="palette", colormap=np.zeros((3, 256), np.uint16), metadata=None
        ),
    }
    return {name: {"a.tif": content} for name, content in kinds.items()}


INPUTS: dict[str, Callable[[], dict[str, Files]]] = {"tiff": tiff}
