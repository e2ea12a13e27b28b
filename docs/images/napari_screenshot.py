"""Makes the pictures of docs/napari.md: nano finds and follows cells of the sample data in a real window.

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/images/napari_screenshot.py

Every mask in the pictures is what nano answered to the clicks that are given below.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtTest import QTest

from napari_plugin._widget.dock import AnnotationDock
from napari_plugin.propagation import Direction

CLICKS = ((234, 86), (161, 174), (194, 267), (35, 164))
"""(x, y) in pixels of the first frame, one per cell."""

FRAME = 9
"""The cells are shown on this frame, while those after it are still being followed."""

LATE_CLICK = (92, 267)
"""(x, y) on a fifth cell, on the frame that is shown."""

HARDER_CLICKS = ((23, 77), (291, 222), (133, 102), (173, 79))
"""(x, y) on the same frame, for the review: cells at the border of the image, and two that nearly touch."""

LOCKED = 9
"""Frames of the first cell whose masks are locked."""

MEASURED = (1, 20)
"""Object and frame that are chosen in the table."""

SIZE = (1340, 880)
DOCK_WIDTH = 326


def wait_until(happened: Callable[[], bool], seconds: int = 600) -> None:
    """Let the window live until something happened."""
    for _ in range(10 * seconds):
        if happened():
            return
        QTest.qWait(100)
    raise TimeoutError("nothing happened in the window")


def show_tab(dock: AnnotationDock, name: str) -> None:
    """Open a tab by its name."""
    names = [dock.tabs.tabText(number) for number in range(dock.tabs.count())]
    dock.tabs.setCurrentIndex(names.index(name))


def find_cells(dock: AnnotationDock) -> None:
    """Look for everything on the first frame."""
    wait_until(lambda: dock.annotation is not None)
    show_tab(dock, "Find")
    dock.automatic.find.click()
    wait_until(lambda: bool(dock.automatic.found) and dock.automatic.find.isEnabled())


def follow_cells(dock: AnnotationDock) -> None:
    """Click on every cell, each a new object, and follow them until FRAME."""
    show_tab(dock, "Annotate")
    annotation = dock.annotation
    assert annotation is not None
    for number, (x, y) in enumerate(CLICKS):
        if number:
            dock.objects.new.click()
        annotation.prompts.points.add([0, y, x])
    dock.propagation.follow_view.setChecked(True)
    dock.propagation.buttons[Direction.FORWARD].click()
    wait_until(lambda: len(annotation.session.frames_of(1)) > FRAME)
    dock.propagation.follow_view.setChecked(False)
    annotation.stack.show_frame(dock.viewer, FRAME)
    dock.objects.new.click()
    x, y = LATE_CLICK
    annotation.prompts.points.add([FRAME, y, x])
    wait_until(lambda: annotation.session.frames_of(annotation.current) == [FRAME])


def review(dock: AnnotationDock) -> None:
    """Follow these and harder cells to the end, lock some masks, and look at what is most doubtful."""
    annotation = dock.annotation
    assert annotation is not None
    wait_until(lambda: not annotation.propagation.running)
    late = [annotation.current]
    for x, y in HARDER_CLICKS:
        dock.objects.new.click()
        annotation.prompts.points.add([FRAME, y, x])
        late.append(annotation.current)
    annotation.propagate(Direction.FORWARD, object_ids=tuple(late))
    wait_until(lambda: not annotation.propagation.running)
    annotation.edit(lambda session: session.verify(1, range(LOCKED)))
    show_tab(dock, "Review")
    wait_until(lambda: annotation.reviewing.worst(late[-1]) is not None)
    QTest.qWait(4000)
    dock.review.next.click()


def measure(dock: AnnotationDock) -> None:
    """Measure everything in micrometres and minutes, and go to one row; tracks are shown."""
    annotation = dock.annotation
    assert annotation is not None
    for layer in (annotation.stack.layer, *annotation.layers):
        layer.scale, layer.units = (5, 0.65, 0.65), ("min", "um", "um")
    dock.propagation.tracks.click()
    show_tab(dock, "Measure")
    dock.measure.measure.click()
    wait_until(dock.measure.measure.isEnabled)
    dock.measure.view.picked.emit(*MEASURED)
    dock.viewer.reset_view()
    QTest.qWait(3000)


def main(folder: Path) -> None:
    """Open the sample as a person would, work on it, and take the pictures."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    viewer.open_sample("sam2-plugins", "moving_cells")
    _, dock = viewer.window.add_plugin_dock_widget("sam2-plugins", "Segment and track")
    dock.setMinimumWidth(DOCK_WIDTH)
    QTest.qWait(500)
    viewer.reset_view()  # the dock has taken some of the room

    def take(name: str) -> None:
        QTest.qWait(500)
        viewer.window.screenshot(str(folder / name), flash=False, canvas_only=False)

    find_cells(dock)
    take("napari-find.png")
    dock.automatic.discard.click()
    follow_cells(dock)
    take("napari.png")
    review(dock)
    take("napari-review.png")
    measure(dock)
    take("napari-measure.png")
    show_tab(dock, "Files")
    take("napari-files.png")
    viewer.close()


if __name__ == "__main__":
    os.environ.setdefault("SAM2_SESSIONS", tempfile.mkdtemp())  # the pictures begin with nothing
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
