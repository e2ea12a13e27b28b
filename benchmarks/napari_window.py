"""A real napari window with the dock in it, moving discs to track, and one page for the results."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask.array as da
import napari
import numpy as np
import scenes
from napari.settings import get_plugin_settings
from qtpy.QtTest import QTest

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.dock import AnnotationDock

RESULTS = Path(__file__).parent / "results" / "napari.md"
TITLE = "The napari plugin: how smooth it stays, and what it costs in memory"
SIZE = (1320, 860)
LEAST_COLUMNS = 5


def columns_for(objects: int) -> int:
    """Return how many discs lie beside each other."""
    return max(LEAST_COLUMNS, int(np.ceil(np.sqrt(objects))))


def center(frame: int, number: int, side: int, objects: int) -> tuple[float, float]:
    """Return a disc's (x, y) in pixels on a frame: it circles within its own cell of a grid."""
    columns = columns_for(objects)
    rows = -(-objects // columns)
    column, row, phase = number % columns, number // columns, frame / 25 + number
    x, y = (column + 0.5) / columns, (row + 0.5) / rows
    reach = 0.15 / columns
    return side * (x + reach * np.cos(phase)), side * (y + reach * np.sin(phase))


def draw(frame: int, side: int, objects: int) -> np.ndarray:
    """Draw one frame, (side, side) uint16: discs over noise, which is the same on every 16th frame."""
    y, x = np.mgrid[:side, :side]
    image = np.random.default_rng(frame % 16).integers(200, 900, (side, side)).astype(np.uint16)
    radius = 0.25 * side / columns_for(objects)
    for number in range(objects):
        cx, cy = center(frame, number, side, objects)
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] += 3000 + 100 * number
    return image


def stack(frames: int, side: int, objects: int) -> da.Array:
    """Return (frames, side, side) uint16 that are drawn when they are read."""

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        return draw(block_id[0], side, objects)[None]

    chunks = ((1,) * frames, (side,), (side,))
    return da.map_blocks(block, chunks=chunks, dtype=np.uint16, meta=np.zeros((0, 0, 0), np.uint16))


def wait_until(happened: Callable[[], bool], seconds: float = 7200) -> None:
    """Let the window live until something happened."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError("nothing happened in the window")
        QTest.qWait(20)


def open_dock(
    pixels: object, objects: int, cache: bool = True
) -> tuple[napari.Viewer, AnnotationDock, AnnotationController]:
    """Open a window on a stack, and click on every disc of its first frame, each a new object.

    ``cache``: whether napari caches what it has shown of a dask array, up to a quarter of the memory.
    """
    os.environ["SAM2_SESSIONS"] = tempfile.mkdtemp()
    get_plugin_settings(path_dir=None)  # the dock is as it comes, whatever was ticked in it before
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    viewer.add_image(pixels, cache=cache, name="discs", contrast_limits=(0, 6000))
    viewer.dims.set_point(0, 0)
    _, dock = viewer.window.add_plugin_dock_widget("sam2-plugins", "Segment and track")
    wait_until(lambda: dock.annotation is not None)
    annotation = dock.annotation
    side = pixels.shape[-1]
    for number in range(objects):
        if number:
            dock.objects.new.click()
        x, y = center(0, number, side, objects)
        annotation.prompts.points.add([0, y, x])
        wait_until(lambda: bool(annotation.current))
        wait_until(lambda: annotation.session.frames_of(annotation.current) == [0])
    return viewer, dock, annotation


def write_section(name: str, measured: str, lines: list[str]) -> None:
    """Put a section into the page of results."""
    scenes.write_section(RESULTS, TITLE, name, [measured, "", *lines])
