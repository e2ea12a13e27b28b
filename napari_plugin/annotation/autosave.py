"""Whether what is done is on disk, in words, and what is written there at the end."""

from contextlib import suppress

from qtpy.QtCore import QObject, Signal

from napari_plugin.layers import ImageStack
from sam2_engine import InputError
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.storage import OpenedSession

__all__ = ["AutosaveStatus"]


class AutosaveStatus(QObject):
    """The session folder of an annotation, watched.

    Attributes
    ----------
    told, failed
        Emitted with a sentence when everything is on disk again; with an error when something is not.
    folder
        Where the session is kept; None if it could not be.
    """

    status_message = Signal(str)
    failed = Signal(object)

    def __init__(self, kept: OpenedSession, stack: ImageStack, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = kept.folder
        self._stack = stack
        self._known = PhysicalScale() if kept.folder is None else kept.folder.scale
        self._session = kept.session
        self._trouble = kept.save_error

    def watch(self) -> None:
        """Tell when the last actions could not be written, and when they could after all."""
        if self.folder is None or self.folder.save_error == self._trouble:
            return
        self._trouble = self.folder.save_error
        if self._trouble is None:
            self.status_message.emit("Everything is on disk again.")
        else:
            self.failed.emit(
                InputError(
                    f"What you do is not kept on disk: {self._trouble.rstrip('.')}. It is written as soon as "
                    "that is mended; do not close the window before."
                )
            )

    @property
    def at_risk(self) -> str | None:
        """Why work would be lost if the session were closed, in a sentence; None if none would."""
        session = self._session
        reason = self._trouble if self.folder is None else self.folder.save_error
        if reason and any(session.frames_of(i) or session.prompts_of(i) for i in session.objects):
            return f"What was done here is not on disk: {reason}"
        return None

    @property
    def scale(self) -> PhysicalScale:
        """Sizes of pixels, planes and frames: as the image layer says, else as the session knows."""
        return self._stack.physical_scale.filled(self._known)

    def close(self) -> None:
        """Write down the sizes of pixels as they are now, and let others open the folder."""
        if self.folder is not None:
            with suppress(OSError, InputError):  # exports of the folder then have the sizes of before
                self.folder.set_scale(self.scale)
            self.folder.close()
