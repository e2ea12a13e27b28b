"""A person in a napari window, for the scripts that make the screenshots: mouse, keys, menus, a watch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from napari import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit, QMenu, QTabWidget, QWidget

__all__ = ["ALT", "CONTROL", "Person", "wait_until"]

_NO_BUTTON, _LEFT = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
_NONE = Qt.KeyboardModifier.NoModifier
CONTROL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier


def wait_until(happened: Callable[[], bool], seconds: float = 900) -> None:
    """Let the window live until something happened."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError("nothing happened in the window")
        QTest.qWait(20)


class Person:
    """Mouse, keyboard and watch.

    Parameters
    ----------
    viewer
        Whose window it is.

    Attributes
    ----------
    times
        For every step so far its name, the seconds it took, and the seconds of processor time in them. Not
        counted is what a person needs to read and aim, and what screenshots take.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        started = time.time() - psutil.Process().create_time()
        self.times = [("start napari", started, time.process_time())]
        self._not_counted = np.zeros(2)
        self._window: Any = viewer.window._qt_window
        self._canvas: Any = self._window._qt_viewer.canvas

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the time of a step."""
        before, self._not_counted = _clocks(), np.zeros(2)
        yield
        waited, computed = _clocks() - before - self._not_counted
        self.times.append((name, waited, computed))
        print(f"{waited:7.1f} s, {computed:6.1f} s computing: {name}", flush=True)

    def show_times(self) -> None:
        """Print a table of all steps."""
        print("| step | s | of these computing |\n|---|---|---|")
        for name, waited, computed in [
            *self.times,
            ("all", *np.sum([one[1:] for one in self.times], axis=0)),
        ]:
            print(f"| {name} | {waited:.1f} | {computed:.1f} |")

    def choose(self, *path: str) -> None:
        """Choose from the menu bar; every entry is named by how it begins."""
        menu: Any = self._window.menuBar()
        for number, words in enumerate(path):
            if isinstance(menu, QMenu):
                menu.aboutToShow.emit()  # napari fills and enables entries then
            action = next(one for one in menu.actions() if _plain(one.text()).startswith(words))
            if number == len(path) - 1:
                if not action.isEnabled():
                    raise RuntimeError(f"the menu entry {words} is gray")
                action.trigger()
            else:
                menu = action.menu()

    def press(self, button: QWidget) -> None:
        """Press a button with the mouse, once it can be pressed."""
        wait_until(lambda: button.isVisible() and button.isEnabled())
        QTest.mouseClick(button, _LEFT, _NONE, button.rect().center())

    def open_tab(self, tabs: QTabWidget, name: str) -> None:
        """Press the title of a tab."""
        bar = tabs.tabBar()
        number = next(number for number in range(tabs.count()) if tabs.tabText(number) == name)
        QTest.mouseClick(bar, _LEFT, _NONE, bar.tabRect(number).center())

    def press_key(self, key: str) -> None:
        """Press a letter while the mouse is over the canvas."""
        QTest.keyClick(self._canvas.native, getattr(Qt.Key, f"Key_{key}"), _NONE)

    def move_slider(self, frame: int) -> None:
        """Move the first slider below the image."""
        self._window._qt_viewer.dims.slider_widgets[0].slider.setValue(frame)

    def click_image(self, layer: Any, x: float, y: float, held: Any = _NONE) -> None:
        """Click on pixel (x, y) of a layer on the shown frame, with a key held down."""
        place = self._place(layer, x, y)
        spot = QPointF(self._canvas.native.mapToGlobal(place))
        move = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), spot, _NO_BUTTON, _NO_BUTTON, _NONE)
        QApplication.sendEvent(self._canvas.native, move)
        QTest.mouseClick(self._canvas.native, _LEFT, held, place)

    def _place(self, layer: Any, x: float, y: float) -> QPoint:
        node = self._canvas.layer_to_visual[layer].node
        position = node.get_transform("visual", "canvas").map([x, y, 0, 1])
        return QPoint(*(round(float(value / position[3])) for value in position[:2]))

    def answer_file_dialog(self, path: Path) -> None:
        """Type a path into the file dialog that is about to open, and press its button."""

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            if not isinstance(dialog, QFileDialog):
                QTimer.singleShot(50, answer)
                return
            line = dialog.findChild(QLineEdit)
            line.setText(str(path))
            QTest.keyClick(line, Qt.Key.Key_Return)

        QTimer.singleShot(50, answer)

    def take(self, path: Path) -> None:
        """Take a screenshot of the window, when it is drawn."""
        before = _clocks()
        QTest.qWait(700)
        self.viewer.window.screenshot(str(path), flash=False, canvas_only=False)
        self._not_counted += _clocks() - before


def _clocks() -> NDArray[np.float64]:
    """Return the time, and the processor time of all threads."""
    return np.array([time.perf_counter(), time.process_time()])


def _plain(text: str) -> str:
    return text.replace("&", "")
