"""The state that all windows of one application share: loaded models and the device's job queue."""

import atexit
from pathlib import Path

from qtpy.QtCore import QCoreApplication, QObject, Signal

from napari_plugin.runtime.preferences import Preferences, on_preferences_changed, read_preferences
from napari_plugin.runtime.workers import TaskRunner, Worker
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.run_estimate import RunMeasurements

__all__ = ["Sam2Application", "sam2_application"]


class Sam2Application(QObject):
    """One model store and one worker, which end with the application.

    Parameters
    ----------
    store
        Models and their device.
    model
        Name of the model that a new session begins with: by default the one that is fast everywhere.
    sessions
        Folder for sessions that cannot be saved beside their image; None for the user's own.
    parent
        What it lives as long as.

    Attributes
    ----------
    device_changed
        Emitted with the device that models run on from now on.
    """

    device_changed = Signal(str)

    def __init__(
        self,
        store: ModelStore,
        model: str = "nano",
        sessions: Path | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.store, self.model, self.sessions = store, model, sessions
        self._preferred_device = store.device
        self.worker = Worker(self)
        self._task_runner = TaskRunner(self.worker, self)

    def use_device(self, device: str) -> None:
        """Let all models run on another device, after what is being computed."""

        def changed(_: None) -> None:
            self.device_changed.emit(self.store.device_name)

        def failed(error: BaseException) -> None:
            raise error

        self._task_runner.run(lambda: self.store.use_device(device), then=changed, failed=failed)

    def apply(self, preferences: Preferences) -> None:
        """Apply what the user set; sessions that are open stay with their model."""
        self.model, self.sessions = preferences.model, preferences.sessions
        self.store.encoded_bytes = preferences.encoded_bytes
        if preferences.device != self._preferred_device:
            self._preferred_device = preferences.device
            self.use_device(preferences.device)

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
    preferences = read_preferences()
    measurements = RunMeasurements.of_this_machine()
    store = ModelStore(preferences.device, encoded_bytes=preferences.encoded_bytes, measurements=measurements)
    made = Sam2Application(store, preferences.model, preferences.sessions, application)
    on_preferences_changed(made.apply)
    atexit.register(made.close)  # the device is not left in the middle of a computation
    return made
