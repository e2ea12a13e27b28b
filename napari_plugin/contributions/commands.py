"""The commands of napari's menus and palette: the dock, fine-tuning in it, and a session's folder."""

from napari import Viewer

from napari_plugin.layers.surface_layer import Meshes, meshes_of, show_meshes
from napari_plugin.widgets.dock import AnnotationDock, dock_of
from napari_plugin.widgets.file_dialogs import ask_for_folder
from sam2_engine import InputError
from sam2_plugins.export.volumes.meshes import no_solid
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["fine_tune", "open_dock", "open_session", "show_surfaces"]


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


def show_surfaces(viewer: Viewer) -> None:
    """Show the objects of the volume that is being annotated as meshes, in three dimensions."""
    dock = open_dock(viewer)
    annotation = dock.annotation
    if annotation is None:
        dock.show_message("Choose a volume first; then its objects are shown as surfaces.")
        return
    session, stack = annotation.session, annotation.stack
    if reason := no_solid(session):
        dock.show_failure(InputError(reason))
        return
    work: ResultGenerator[Meshes] = ResultGenerator(meshes_of(session, stack, annotation.autosave.scale))

    def done(_: int) -> None:
        show_meshes(viewer, stack, work.result)

    dock.show_message("Surfaces are computed…")
    annotation.run_steps(work, lambda _: None, done, dock.show_failure)
