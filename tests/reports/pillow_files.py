"""Test images of Pillow, read as Pillow reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_files import CORPORA, Corpus, Frames, gray

_FOLDER = CORPORA / "pillow-13.0.0" / "Tests" / "images"

_SERIES = "its last page is of another kind, a series of its own that the description names"
_CANVAS = "Pillow's second frame is larger than the canvas, to which viewers cut it"
_LAYERS = "layers of a Photoshop file are parts of one image, not frames; what they merge to is read"

EXCEPTIONS = {
    "frame_size.mpo": "its second image has another size: a preview, which is named in the description",
    "hopper.psd": _LAYERS,
    "multipage-mmap.tiff": _SERIES,
    "multipage.tiff": _SERIES,
    "multipage_out_of_order.tiff": _SERIES,
    "negative_layer_count.psd": _LAYERS,
    "no_rows_per_strip.tif": _SERIES,
    "test_extents.gif": _CANVAS,
    "test_extents_transparency.gif": _CANVAS,
    "tiff_strip_planar_raw_with_overviews.tif": "further pages are overviews, which are chosen by --level",
}
"""Files that are read differently, and why that is right."""


def files() -> Mapping[str, Path]:
    """Return every file below the folder of images, whatever it is called."""
    return {str(path.relative_to(_FOLDER)): path for path in sorted(_FOLDER.rglob("*")) if path.is_file()}


def read(path: Path) -> Frames:
    """Read the frames of an image as its viewers show them, gray, alpha left out."""
    from PIL import Image, ImageOps, ImageSequence

    Image.init()
    frames = []
    with Image.open(path, formats=[name for name in Image.ID if name not in ("EPS", "WMF")]) as image:
        for frame in ImageSequence.Iterator(image):
            frames.append(gray(_colors(ImageOps.exif_transpose(frame))))
            if len(frames) == 42:
                break
    return frames


def _colors(image: Any) -> NDArray[Any]:
    if image.mode in ("LA", "La"):
        image = image.convert("LA").getchannel(0)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "F", "I") and not image.mode.startswith("I;16"):
        has_alpha = "A" in image.mode or "transparency" in image.info
        image = (image.convert("RGBA") if has_alpha else image).convert("RGB")
    return np.asarray(image)


PILLOW = Corpus("Pillow", files, read, EXCEPTIONS)
