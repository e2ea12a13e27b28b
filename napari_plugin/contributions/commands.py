"""The commands of napari's menus and palette: the dock, fine-tuning in it, and a session's folder."""

from napari import Viewer

from napari_plugin.widgets.dock import AnnotationDock, dock_of
from napari_plugin.widgets.file_dialogs import ask_for_folder

__all__ = ["fine_tune", "open_dock", "open_session"]


def open_dock(viewer: Viewer) -> AnnotationDock:
    """Show the window's dock, or open it."""
    dock = dock_of(viewer)
    if dock is None:
        _, dock = viewer.window.add_plugin_dock_widget("sam2-plugins", "Segment and track")
        assert isinstance(dock, AnnotationDock)
    dock.show_in_window()
    return dock


def fine_tune(viewer: Viewer) -> None:
    """Open the dialog for fine-tuning on the session of the image that is being annotated."""
    open_dock(viewer).fine_tune()


def open_session(viewer: Viewer) -> None:
    """Ask for a session's folder and open it, as if it were dragged into the window."""
    folder = ask_for_folder(open_dock(viewer), "session", "A session's folder, *.sam2")
    if folder is not None:
        viewer.open(str(folder), plugin="sam2-plugins")
