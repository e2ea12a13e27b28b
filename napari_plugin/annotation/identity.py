"""Corrections of who is who, from the shown frame on."""

from napari_plugin.annotation.controller import AnnotationController
from sam2_plugins.everything.accepting import came_from as division

__all__ = ["came_from", "delete_from", "divide", "mark_absent", "merge", "split", "swap"]


def merge(annotation: AnnotationController, object_id: int, other: int) -> None:
    """Make two objects one, which has the first one's name."""
    annotation.edit(
        lambda session: session.lineage.merge(object_id, other),
        lambda _: annotation.select_object(object_id),
    )


def split(annotation: AnnotationController, object_id: int) -> None:
    """Let what is known of an object from the shown frame on belong to a new one."""
    frame = annotation.shown_frame
    annotation.edit(lambda session: session.lineage.split(object_id, frame), annotation.select_object)


def swap(annotation: AnnotationController, object_id: int, other: int) -> None:
    """Exchange two objects from the shown frame on."""
    frame = annotation.shown_frame
    annotation.edit(lambda session: session.lineage.swap(object_id, other, frame))


def divide(annotation: AnnotationController, object_id: int) -> None:
    """Let an object end before the shown frame; its daughters are to be clicked there."""
    frame = annotation.shown_frame

    def divided(daughters: tuple[int, ...]) -> None:
        annotation.select_object(daughters[0])
        objects = annotation.session.objects
        names = [objects[i].name for i in daughters if i in objects]
        annotation.status_message.emit(f"Click on each daughter on frame {frame}: {' and '.join(names)}.")

    annotation.edit(lambda session: session.lineage.divide(object_id, frame), divided)


def came_from(annotation: AnnotationController, object_id: int, mother: int) -> None:
    """Let an object be the daughter of another one, which divided where it begins."""
    annotation.edit(lambda session: division(session, object_id, mother))


def mark_absent(annotation: AnnotationController, object_id: int) -> None:
    """Let an object not be there on the shown frame."""
    frame = annotation.shown_frame
    annotation.edit(lambda session: session.lineage.mark_absent(object_id, frame))


def delete_from(annotation: AnnotationController, object_id: int) -> None:
    """Let an object end before the shown frame."""
    frame = annotation.shown_frame
    annotation.edit(lambda session: session.lineage.delete_from(object_id, frame))
