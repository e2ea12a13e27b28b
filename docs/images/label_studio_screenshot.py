"""Makes the pictures of docs/label-studio.md: nano answers in a real Label Studio, driven in Chromium.

    python docs/images/label_studio_screenshot.py

What `make e2e` has drives it, with the configurations of the guide, on synthetic cells: two clicks and a
rectangle on an image, and a box in a video that is followed to its end.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.synthetic import moving_cells

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "e2e"))

from label_studio_host import GUIDE, LabelStudio, Workspace, drive_page, make_project  # noqa: E402

HEIGHT, WIDTH, FRAMES, RATE = 480, 640, 24, 10
MARGIN = 4
"""Pixels between a cell and the rectangle around it, or the click beside it."""

WORDS = {"Car": "Cell", "Person": "Debris", 'framerate="25"': f'framerate="{RATE}"'}
"""What is put for the guide's words, as the video shows cells at another rate."""

PANE = (240, 48, 1400, 900)
"""The part of the page without the list of tasks: left, top, right, bottom."""


def write_media(folder: Path, frames: NDArray[np.uint8]) -> tuple[Path, Path]:
    """Write the first frame as a picture, and all of them as a video."""
    picture, video = folder / "cells.png", folder / "cells.mp4"
    Image.fromarray(frames[0]).save(picture)
    with av.open(video, "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return picture, video


def bounds(mask: NDArray[np.bool_]) -> list[int]:
    """Return the rectangle around a cell, with a margin: left, top, right, bottom."""
    (top, bottom), (left, right) = ((found.min(), found.max()) for found in np.nonzero(mask))
    return [int(left) - MARGIN, int(top) - MARGIN, int(right) + MARGIN, int(bottom) + MARGIN]


def nearest(labels: NDArray[np.uint16], x: int, y: int) -> NDArray[np.bool_]:
    """Return the cell that is nearest to a point."""
    rows, columns = np.nonzero(labels)
    closest = np.argmin((rows - y) ** 2 + (columns - x) ** 2)
    return labels == labels[rows[closest], columns[closest]]


def scenes(labels: NDArray[np.uint16]) -> dict[str, dict[str, Any]]:
    """Return where the page is clicked, by the kind of work."""
    one, other = nearest(labels, WIDTH // 3, HEIGHT // 2), nearest(labels, 2 * WIDTH // 3, HEIGHT // 2)
    left, top, right, bottom = bounds(one)
    middle = (left + right) // 2, (top + bottom) // 2
    common = {"size": [WIDTH, HEIGHT], "labels": ["Cell", "Debris"]}
    clicks = {"click": middle, "background": [middle[0], bottom], "box": bounds(other)}
    return {
        "prompts": {**common, **clicks},
        "video": {**common, "box": bounds(other), "frames": FRAMES, "shown": FRAMES - 4},
    }


def main() -> None:
    """Make both pictures."""
    folder = Path(tempfile.mkdtemp())
    counts, labels = moving_cells(FRAMES, (HEIGHT, WIDTH), seed=7, num_cells=14)
    low, high = np.percentile(counts[0], (0.1, 99.9))
    frames = (np.clip((counts - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    configs = re.findall(r"```xml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    label_studio = LabelStudio.install_and_start(folder)
    workspace = Workspace(folder, label_studio.url, label_studio.access_token())
    try:
        backend = workspace.serve("nano")
        for config, media, (kind, scene) in zip(
            configs, write_media(folder, frames), scenes(labels[0]).items()
        ):
            for word, other in WORDS.items():
                config = config.replace(word, other)
            project = make_project(label_studio, backend, config, media)
            shot = folder / f"{kind}.png"
            drive_page(label_studio, kind, project, shot, scene=scene)
            with Image.open(shot) as page:
                page.crop(PANE).save(
                    HERE / f"label-studio-{'image' if kind == 'prompts' else 'video'}.png", optimize=True
                )
    finally:
        for service in (*workspace.started, label_studio):
            service.stop()


if __name__ == "__main__":
    main()
