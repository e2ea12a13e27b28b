"""The tutorial of docs/napari.md in a real window: its images, and the time of each step.

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/images/napari_screenshot.py [FOLDER]

Menus, buttons, keys and the image are used as a person does, by mouse and keyboard. Every mask in the
images is nano's. Only one thing the script knows better than a person: the sample is synthetic, so it takes
from the ground truth whether a doubtful mask is right, and where to click if it is not.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.settings import get_plugin_settings
from napari_person import ALT, CONTROL, Person, wait_until
from numpy.typing import NDArray
from qtpy.QtTest import QTest

from napari_plugin.widgets.dock import AnnotationDock
from sam2_engine.evaluation.simulated_user import error_click
from sam2_engine.synthetic import moving_cells
from sam2_plugins.session.propagation_plan import Direction

CELLS = ((234, 86), (161, 174), (194, 267), (35, 164))
"""(x, y) in pixels of the first frame, one click per cell."""

SHOT_FRAME = 14
"""The screenshot is taken when the cells were tracked to this frame."""

RIGHT = 0.8
"""The person takes a doubtful mask for right if its IoU with the ground truth is at least this."""

MOST_CLICKS = 3
"""So many clicks correct one mask at most."""

MOST_DOUBTS = 3
"""So many doubtful masks are reviewed."""

CROWDED = 19
"""Everything is searched for on this frame, where some cells touch."""

SIZE, DOCK_WIDTH = (1340, 880), 326


class Tutorial:
    """The steps, in their order, each of them timed; screenshots are taken between them.

    Parameters
    ----------
    cells
        ``(x, y)`` on the first frame, one click per object.
    folder
        Where screenshots go; None for none.
    """

    def __init__(self, cells: Sequence[tuple[int, int]], folder: Path | None) -> None:
        self.cells, self._folder = cells, folder
        get_plugin_settings(path_dir=None)  # the dock is as it comes, whatever was ticked in it before
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*SIZE)
        self.person = Person(self.viewer)

    def open_sample(self) -> None:
        """Open the sample and the dock, by the menus."""
        with self.person.step("open the sample"):
            self.person.choose("File", "Open Sample", "SAM 2", "Moving cells")
        self._ground_truth = moving_cells(num_frames=40, size=320, seed=7)[1]
        self.open_dock()

    def open_dock(self) -> None:
        """Open the dock by the menu."""
        with self.person.step("open the dock; it reads the image"):
            self.person.choose("Layers", "Track", "Segment and track")
            self.dock = self._find_dock()
            wait_until(lambda: self.dock.annotation is not None)
        self.dock.setMinimumWidth(DOCK_WIDTH)
        QTest.qWait(500)
        self.viewer.reset_view()  # the dock has taken some of the room

    def _find_dock(self) -> AnnotationDock:
        window: Any = self.viewer.window._qt_window
        wait_until(lambda: bool(window.findChildren(AnnotationDock)))
        return window.findChildren(AnnotationDock)[0]

    @property
    def _annotation(self) -> Any:
        assert self.dock.annotation is not None
        return self.dock.annotation

    def click_cells(self) -> None:
        """Click on every cell, each a new object."""
        session = self._annotation.session
        self.person.move_slider(0)  # napari opens a stack in its middle
        for number, place in enumerate(self.cells):
            with self.person.step("click on a cell" if not number else f"new object, cell {number + 1}"):
                if number:
                    self.person.press_key("N")
                self.person.click_image(self._annotation.prompts.points, *place)
                wait_until(lambda: bool(self._annotation.current))
                wait_until(lambda: 0 in session.frames_of(self._annotation.current))
        self._take("napari-click.png")

    def track(self) -> None:
        """Track the cells to the end, with a screenshot meanwhile."""
        annotation, panel = self._annotation, self.dock.propagation
        self.person.press(panel.tracks)
        self.person.press(panel.show_each_frame)
        frames = len(annotation.session) - 1
        with self.person.step(f"track {len(self.cells)} cells through {frames} frames"):
            self.person.press(panel.buttons[Direction.FORWARD])
            wait_until(lambda: len(annotation.session.frames_of(1)) > min(SHOT_FRAME, frames // 2))
            self._take("napari.png")
            wait_until(lambda: not annotation.propagation.running)

    def review(self) -> None:
        """Review the most doubtful masks; verify what is right, correct what is not."""
        self.person.open_tab(self.dock.tabs, "Review")
        with self.person.step("the doubtful masks are listed"):
            wait_until(lambda: bool(self._annotation.review.queue))
            QTest.qWait(2000)  # until it is up to date
        for number in range(MOST_DOUBTS):
            with self.person.step(f"doubtful mask {number + 1}"):
                self.person.press(self.dock.review.next)
                if not number:
                    self._take("napari-review.png")
                self._judge()
                wait_until(lambda: not self._annotation.propagation.running)
                QTest.qWait(2000)
            if not self._annotation.review.doubtful:
                break

    def _judge(self) -> None:
        """Verify the shown mask if it is right; else go to where it went wrong, correct it, track again."""
        annotation = self._annotation
        object_id, frame = annotation.current, annotation.shown_frame
        if self._iou(object_id, frame) >= RIGHT:
            self.person.press_key("H")
            wait_until(lambda: frame in annotation.session.verified(object_id))
            return
        while frame > 0 and self._iou(object_id, frame - 1) < RIGHT:
            frame -= 1
            self.person.move_slider(frame)
        for number in range(MOST_CLICKS):
            if number and self._iou(object_id, frame) >= RIGHT:
                break
            self._correct(object_id, frame)
        self.person.press_key("U")
        wait_until(lambda: annotation.propagation.running)

    def _correct(self, object_id: int, frame: int) -> None:
        """Click once where the mask is most wrong, and wait for the new one."""
        click = error_click(self._mask(object_id, frame), self._ground_truth_of(object_id, frame))
        assert click is not None
        (x, y), included = click
        before = self._annotation.session.accepted(object_id, frame)
        held = ALT if included else CONTROL  # whatever mask lies there
        self.person.click_image(self._annotation.prompts.points, x, y, held)
        wait_until(lambda: self._annotation.session.accepted(object_id, frame) is not before)
        iou = self._iou(object_id, frame)
        print(f"{'+' if included else '-'} click on object {object_id}, frame {frame}: IoU {iou:.2f}")

    def _iou(self, object_id: int, frame: int) -> float:
        mask, expected = self._mask(object_id, frame), self._ground_truth_of(object_id, frame)
        return float((mask & expected).sum() / max((mask | expected).sum(), 1))

    def _mask(self, object_id: int, frame: int) -> NDArray[np.bool_]:
        return np.asarray(self._annotation.session.accepted(object_id, frame).mask.to_array())

    def _ground_truth_of(self, object_id: int, frame: int) -> NDArray[np.bool_]:
        """Return the mask that a person has in mind."""
        x, y = self.cells[object_id - 1]
        return np.asarray(self._ground_truth[frame] == self._ground_truth[0, y, x])

    def measure(self) -> None:
        """Measure everything, and show one row."""
        self.person.open_tab(self.dock.tabs, "Measure")
        with self.person.step("measure"):
            self.person.press(self.dock.measure.measure)
            wait_until(lambda: len(self.dock.measure.view.model.table) > 0)
            wait_until(self.dock.measure.measure.isEnabled)
        self.dock.measure.view.picked.emit(1, len(self._annotation.session) // 2)
        self.viewer.reset_view()
        self._take("napari-measure.png")

    def save(self, path: Path) -> None:
        """Save the table, with the file dialog."""
        with self.person.step("save the CSV"):
            self.person.answer_file_dialog(path)
            self.person.press(self.dock.measure.save)
            wait_until(path.exists)
        print("".join(path.read_text().splitlines(keepends=True)[:3]))
        self.person.open_tab(self.dock.tabs, "Files")
        self._take("napari-files.png")

    def find(self) -> None:
        """Find everything on a frame without clicks, with no other masks shown."""
        annotation, panel = self._annotation, self.dock.automatic
        annotation.masks.layer.visible = False
        self.person.open_tab(self.dock.tabs, "Annotate")
        self.person.press(self.dock.propagation.tracks)
        annotation.stack.show_frame(self.viewer, CROWDED)
        self.person.open_tab(self.dock.tabs, "Find")
        with self.person.step("find everything on a frame"):
            self.person.press(panel.find)
            wait_until(lambda: bool(panel.found) and panel.find.isEnabled())
        self._take("napari-find.png")

    def _take(self, name: str) -> None:
        if self._folder is not None:
            self.person.take(self._folder / name)


def main(folder: Path) -> None:
    """Go through the tutorial."""
    tutorial = Tutorial(CELLS, folder)
    tutorial.open_sample()
    tutorial.click_cells()
    tutorial.track()
    tutorial.review()
    tutorial.measure()
    with tempfile.TemporaryDirectory() as home:
        tutorial.save(Path(home) / "cells.csv")
    tutorial.person.show_times()
    tutorial.find()
    tutorial.viewer.close()


if __name__ == "__main__":
    os.environ["SAM2_SESSIONS"] = tempfile.mkdtemp()  # the screenshots begin with nothing
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
