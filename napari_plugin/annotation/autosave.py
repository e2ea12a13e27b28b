"""The autosave of a session: whether everything is on disk, in words."""

from contextlib import suppress

from qtpy.QtCore import QObject, Signal

from napari_plugin.layers import ImageStack
from sam2_engine import InputError
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.storage import OpenedSession, SessionFolder

__all__ = ["AutosaveStatus"]


class AutosaveStatus(QObject):
    """The session folder of an annotation, and whether the last action could be written into it.

    Attributes
    ----------
    status_message, failed
        Emitted with a sentence when everything is on disk again; with an error when something is not.
    """

    status_message = Signal(str)
    failed = Signal(object)

    def __init__(self, opened: OpenedSession, stack: ImageStack, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._opened, self._stack = opened, stack
        self._said = opened.save_error

    @property
    def folder(self) -> SessionFolder | None:
        """Where the session is saved; None if it could not be, or nothing was done in it yet."""
        return self._opened.folder

    @property
    def save_error(self) -> str | None:
        """Why what was done last is not on disk, in a sentence; None if it is."""
        return self._opened.save_error if self.folder is None else self.folder.save_error

    def check(self) -> None:
        """Emit whether the last actions could not be written, or could be after all."""
        if self.folder is not None and self.folder.notice is not None:
            notice, self.folder.notice = self.folder.notice, None
            self.failed.emit(InputError(notice))
        before, self._said = self._said, self.save_error
        if self._said == before:
            return
        if self._said is None:
            self.status_message.emit("Everything is saved again.")
        else:
            self.failed.emit(
                InputError(
                    f"What you do is not saved: {self._said.rstrip('.')}. It is written as soon as "
                    "that is mended; do not close the window before."
                )
            )

    @property
    def unsaved_reason(self) -> str | None:
        """Why work would be lost if the session were closed, in a sentence; None if none would."""
        session, reason = self._opened.session, self.save_error
        if reason and any(session.frames_of(i) or session.prompts_of(i) for i in session.objects):
            return f"What was done here is not saved: {reason}"
        return None

    @property
    def scale(self) -> PhysicalScale:
        """Sizes of pixels, planes and frames: as the image layer says, else as the session knows."""
        return self._stack.physical_scale.filled(self._opened.scale)

    def close(self) -> None:
        """Write down the sizes of pixels as they are now, and let others open the folder."""
        if not self.scale.is_like(self._opened.scale):  # a person has said so: that is kept, too
            with suppress(InputError):
                self._opened.begin()
        if self.folder is not None:
            with suppress(OSError, InputError):  # exports of the folder then have the sizes of before
                self.folder.set_scale(self.scale)
        self._opened.close()
