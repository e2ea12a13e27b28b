"""The menu of one object: identity, lineage, and where it ends."""

from collections.abc import Callable

from qtpy.QtWidgets import QMenu, QWidget

from napari_plugin.annotation import identity
from napari_plugin.annotation.controller import AnnotationController

__all__ = ["object_menu"]


def object_menu(
    annotation: AnnotationController,
    object_id: int,
    rename: Callable[[], None],
    parent: QWidget | None = None,
) -> QMenu:
    """Return the menu of an object; "here" is the frame that is shown now."""
    frame = annotation.shown_frame
    names = {one.id: one.name for one in annotation.session.objects.values()}
    others = [other for other in names if other != object_id]
    menu = QMenu(parent)
    menu.addAction("Rename", rename)
    menu.addSeparator()
    merging, swapping = QMenu("Merge into", menu), QMenu(f"Swap from frame {frame} on with", menu)
    coming = QMenu("Came from", menu)

    def offer(other: int) -> None:  # a closure: Qt hands a value to whatever takes an argument
        merging.addAction(names[other], lambda: identity.merge(annotation, other, object_id))
        swapping.addAction(names[other], lambda: identity.swap(annotation, object_id, other))
        coming.addAction(names[other], lambda: identity.came_from(annotation, object_id, other))

    for other in others:
        offer(other)
    for submenu in (merging, swapping, coming):
        submenu.setEnabled(bool(others))
        menu.addMenu(submenu)
    menu.addAction(f"Split at frame {frame}", lambda: identity.split(annotation, object_id))
    menu.addAction(f"Divides at frame {frame}", lambda: identity.divide(annotation, object_id))
    menu.addAction(
        f"Absent on frame {frame}",
        lambda: identity.mark_absent(annotation, object_id),
    )
    menu.addAction(
        f"Ends before frame {frame}",
        lambda: identity.delete_from(annotation, object_id),
    )
    menu.addAction("Remove", lambda: annotation.remove_object(object_id))
    return menu
