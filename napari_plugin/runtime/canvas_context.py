"""The canvas's OpenGL context, made current before a layer is removed: without it, napari may crash."""

import weakref
from collections.abc import Callable
from typing import Any

from napari import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import QObject
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMainWindow

__all__ = ["CanvasContext"]


class CanvasContext:
    """Makes the canvas's OpenGL context the current one before napari removes a layer.

    napari (0.9.2) deletes the OpenGL programs, buffers and textures of a removed layer at once, in whatever
    context happens to be current. That is mostly the one in which Qt composes its windows: it shares objects
    with the canvas, but a program deleted there can crash a later draw of the canvas (glDrawArrays; seen
    with Mesa 22.3). To be taken away when napari sees to it itself.

    Parameters
    ----------
    viewer
        Whose layers may be removed.
    widget
        What is docked in the viewer's window.
    """

    def __init__(self, viewer: Viewer, widget: QObject) -> None:
        self._widget = widget
        self._events = viewer.layers.events
        self._window: Callable[[], QMainWindow | None] = lambda: None
        self._events.removing.connect(self.make_current)

    def close(self) -> None:
        """Stop listening."""
        self._events.removing.disconnect(self.make_current)

    def find_window(self) -> None:
        """Remember the window that the widget is docked in; to be called when the widget is shown."""
        window = _main_window_of(self._widget)
        if window is not None:
            self._window = weakref.ref(window)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the canvas in pixels of the window; None while there is no window."""
        return next(((canvas.width(), canvas.height()) for canvas in self._canvases()), None)

    def focus(self) -> None:
        """Let keys go to the canvas."""
        for canvas in self._canvases():
            canvas.setFocus()

    def make_current(self, event: Any = None) -> None:
        """Let OpenGL calls go to the canvas from now on."""
        for canvas in self._canvases():
            canvas.makeCurrent()

    def _canvases(self) -> list[QOpenGLWidget]:
        window = self._window()
        if window is None or not isalive(window):
            return []
        return list(window.centralWidget().findChildren(QOpenGLWidget))


def _main_window_of(widget: QObject | None) -> QMainWindow | None:
    # Not widget.window(): a dock that floats is a window of its own.
    while widget is not None and not isinstance(widget, QMainWindow):
        widget = widget.parent()
    return widget
