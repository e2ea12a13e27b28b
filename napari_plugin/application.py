"""What all windows of one application share: the loaded models and the device's queue of work."""

import atexit
from pathlib import Path

from qtpy.QtCore import QCoreApplication, QObject

from napari_plugin.workers import Worker
from sam2_plugins.model_store import ModelStore

__all__ = ["Sam2Application", "sam2_application"]


class Sam2Application(QObject):
    """One model store and one worker, which end with the application.

    Parameters
    ----------
    store
        Models and their device.
    model
        Name of the model that a new dock begins with: by default the one that is fast everywhere.
    sessions
        Folder for sessions of images that are no files; None for the user's own.
    parent
        What it lives as long as.
    """

    def __init__(
        self,
        store: ModelStore,
        model: str = "nano",
        sessions: Path | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.store, self.model, self.sessions = store, model, sessions
        self.worker = Worker(self)

    def close(self) -> None:
        """Stop all work."""
        self.worker.close()


def sam2_application() -> Sam2Application:
    """Return what the running application shares, made at first use."""
    application = QCoreApplication.instance()
    if application is None:
        raise RuntimeError("there is no Qt application yet")
    for child in application.children():
        if isinstance(child, Sam2Application):
            return child
    made = Sam2Application(ModelStore(), parent=application)
    atexit.register(made.close)  # the device is not left in the middle of a computation
    return made
