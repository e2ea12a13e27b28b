"""The commands of napari's menus: fine-tuning, which opens dock and dialog."""

from napari import Viewer

from napari_plugin.widgets.dock import AnnotationDock

__all__ = ["fine_tune"]


def fine_tune(viewer: Viewer) -> None:
    """Open the dialog for fine-tuning on the session of the image that is being annotated."""
    _, dock = viewer.window.add_plugin_dock_widget("sam2-plugins", "Segment and track")
    assert isinstance(dock, AnnotationDock)
    dock.fine_tune()
