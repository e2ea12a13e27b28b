"""The menu of one object: identity, lineage, and where it ends."""

from collections.abc import Callable

from qtpy.QtWidgets import QMenu, QWidget

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
    lineage = annotation.session.lineage
    menu = QMenu(parent)
    menu.addAction("Rename", rename)
    menu.addSeparator()
    merging, swapping = QMenu("Merge into", menu), QMenu(f"Swap from frame {frame} on with", menu)

    def offer(other: int) -> None:  # a closure: Qt hands a value to whatever takes an argument
        merging.addAction(names[other], lambda: annotation.merge(other, object_id))
        swapping.addAction(
            names[other], lambda: annotation.edit(lambda _: lineage.swap(object_id, other, frame))
        )

    for other in others:
        offer(other)
    for submenu in (merging, swapping):
        submenu.setEnabled(bool(others))
        menu.addMenu(submenu)
    menu.addAction(f"Split at frame {frame}", lambda: annotation.split(object_id))
    menu.addAction(f"Divides at frame {frame}", lambda: annotation.divide(object_id))
    menu.addAction(
        f"Absent on frame {frame}",
        lambda: annotation.edit(lambda _: lineage.mark_absent(object_id, frame)),
    )
    menu.addAction(
        f"Delete from frame {frame} on",
        lambda: annotation.edit(lambda _: lineage.delete_from(object_id, frame)),
    )
    menu.addAction("Remove", lambda: annotation.remove_object(object_id))
    return menu
