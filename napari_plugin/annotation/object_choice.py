"""The choice of the object that the next prompts belong to, and objects that begin with a prompt."""

from qtpy.QtCore import QObject, Signal

from sam2_engine import InputError
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import UndoGroup

__all__ = ["ObjectChoice"]


class ObjectChoice(QObject):
    """Which object the next prompts belong to, and whether they add to it or take away.

    Parameters
    ----------
    session
        Whose objects.

    Attributes
    ----------
    changed
        Emitted when another object is chosen, or prompts do the opposite from now on.
    began
        Emitted with an object that was made for a prompt and the group in which one undo takes back both.
    failed
        Emitted with an error.
    current
        Id of the object, 0 if there is none.
    excluding
        Whether the next clicks take away from it.
    """

    changed = Signal()
    began = Signal(int, object)
    failed = Signal(object)

    def __init__(self, session: AnnotationSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.current, self.excluding = 0, False

    @property
    def is_known(self) -> bool:
        """Whether anything but a name is known of the current object."""
        return self.current in self._session.objects and bool(self._session.frames_of(self.current))

    def select(self, object_id: int) -> None:
        """Let the next prompts belong to an object, and add to it."""
        self.current = object_id
        self.set_excluding(False)

    def set_excluding(self, excluding: bool) -> None:
        """Let the next clicks take away from the current object, or add to it."""
        self.excluding = excluding
        self.changed.emit()

    def make(self, undo_group: UndoGroup | None = None) -> bool:
        """Make an object and choose it; return whether that was possible."""
        try:
            object_id = self._session.add_object(undo_group=undo_group)
        except InputError as error:
            self.failed.emit(error)
            return False
        self.select(object_id)
        return True

    def make_for_prompt(self) -> None:
        """Make an object that one undo takes back together with its first prompt."""
        undo_group = UndoGroup()
        if self.make(undo_group):
            self.began.emit(self.current, undo_group)

    def owner_of_new(self) -> int:
        """Return the object that a prompt without one belongs to; it is made if there is none."""
        if self.current not in self._session.objects:
            self.make_for_prompt()
        return self.current

    def update(self) -> None:
        """Choose another object if the current one is gone."""
        objects = self._session.objects
        if self.current not in objects:
            self.select(max(objects, default=0))
