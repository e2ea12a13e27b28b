"""Whether what is done is on disk, in words, and what is written there at the end."""

from contextlib import suppress

from qtpy.QtCore import QObject, Signal

from sam2_engine import InputError
from sam2_plugins.physical_scale import PhysicalScale
from sam2_plugins.storage import KeptSession

__all__ = ["KeptWork"]


class KeptWork(QObject):
    """The session folder of an annotation, watched.

    Attributes
    ----------
    told, failed
        Emitted with a sentence when everything is on disk again; with an error when something is not.
    folder
        Where the session is kept; None if it could not be.
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(self, kept: KeptSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = kept.folder
        self._session = kept.session
        self._trouble = kept.trouble

    def watch(self) -> None:
        """Tell when the last actions could not be written, and when they could after all."""
        if self.folder is None or self.folder.trouble == self._trouble:
            return
        self._trouble = self.folder.trouble
        if self._trouble is None:
            self.told.emit("Everything is on disk again.")
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
        reason = self._trouble if self.folder is None else self.folder.trouble
        if reason and any(session.frames_of(i) or session.prompts_of(i) for i in session.objects):
            return f"What was done here is not on disk: {reason}"
        return None

    def close(self, scale: PhysicalScale) -> None:
        """Let others open the folder, and write down the sizes of pixels if they are known by now."""
        if self.folder is None:
            return
        if scale.is_physical or scale.has_time:
            with suppress(OSError, InputError):  # exports of the folder then have the sizes of before
                self.folder.set_scale(scale)
        self.folder.close()
