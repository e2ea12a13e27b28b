"""Draws synthetic.png: a row per style: frames of one scene with outlines, then first frames of others.

Run as ``python docs/images/synthetic_sheet.py [FILE]``.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage.segmentation import find_boundaries

from sam2_engine.synthetic import STYLES, render_scene

SIDE, GAP, HEADING = 192, 4, 18
FRAMES = 17
SHOWN = (0, 8, 16)
OTHER_SEEDS = (2, 3, 4)


def main(path: Path) -> None:
    """Draw the sheet."""
    columns = len(SHOWN) + len(OTHER_SEEDS)
    sheet = Image.new("RGB", (columns * (SIDE + GAP), len(STYLES) * (SIDE + GAP + HEADING)), "white")
    write = ImageDraw.Draw(sheet)
    for row, style in enumerate(STYLES):
        top = row * (SIDE + GAP + HEADING)
        scene = render_scene(style, FRAMES, SIDE, seed=1)
        tiles = [outlined(scene.frames[t], scene.labels[t]) for t in SHOWN]
        for seed in OTHER_SEEDS:
            other = render_scene(style, 1, SIDE, seed)
            tiles.append(rgb(other.frames[0]))
        births = f", {len(scene.parents)} births" if scene.parents else ""
        write.text((2, top + 3), f"{style}: frames {SHOWN} of one scene{births}", "black")
        write.text((len(SHOWN) * (SIDE + GAP), top + 3), "first frames of others", "black")
        for column, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (column * (SIDE + GAP), top + HEADING))
    palette = sheet.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(path, optimize=True)


def rgb(frame: np.ndarray) -> np.ndarray:
    """Return a gray or colored frame as (H, W, 3)."""
    return frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)


def outlined(frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Draw the outline of every object, in a color that belongs to its id."""
    picture = rgb(frame).copy()
    edge = find_boundaries(labels, mode="inner")
    colors = np.random.default_rng(0).integers(80, 256, (int(labels.max()) + 1, 3)).astype(np.uint8)
    picture[edge] = colors[labels[edge]]
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("synthetic.png"))
