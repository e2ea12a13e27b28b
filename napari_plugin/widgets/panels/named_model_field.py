"""The field for a model that is in no list: of the Hugging Face hub, a folder, a file, by what is typed."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_plugin.runtime.application import Sam2Application
from napari_plugin.runtime.download import Download
from napari_plugin.runtime.workers import run_in_thread
from napari_plugin.widgets.prompt_bar import PromptBar
from sam2_engine.errors import InputError
from sam2_engine.weights.hub import HubModel, find_on_hub
from sam2_engine.weights.hub_names import HubName, is_hub_name
from sam2_engine.weights.locations import find
from sam2_engine.weights.registry import REGISTRY
from sam2_engine.wording import size_in_words
from sam2_plugins.runtime.model_name import ModelName

__all__ = ["NamedModelField"]

T = TypeVar("T")


class NamedModelField(QLineEdit):
    """Hidden until a model is asked for by its name; what is typed is looked for off the window's thread.

    Parameters
    ----------
    application
        Where models are loaded.
    prompt_bar
        Says what is looked for, and asks before anything is fetched.

    Attributes
    ----------
    found
        Emitted with the name of a model that has been loaded, or that is registered.
    failed
        Emitted with an error for the user; what was typed stays, to be mended.
    """

    found = Signal(str)
    failed = Signal(object)

    def __init__(
        self, application: Sam2Application, prompt_bar: PromptBar, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._application, self._prompt_bar = application, prompt_bar
        self._wanted: object = None
        self._download: Download | None = None
        self.setPlaceholderText("hf:owner/name, a folder, a file, nano@384")
        self.setToolTip("Name of a model, and Return; Escape takes it back")
        self.setVisible(False)
        self.returnPressed.connect(self._on_typed)

    def ask(self) -> None:
        """Let a name be typed."""
        self.setVisible(True)
        self.selectAll()
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def dismiss(self) -> None:
        """Take it back, also what is being looked for."""
        self._stop()
        self._prompt_bar.clear()
        self.clear()
        self.setVisible(False)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Take it back by Escape."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        else:
            super().keyPressEvent(event)

    # ------------------------------------------------------------------ looking for it

    def _on_typed(self) -> None:
        typed = self.text().strip().strip("'\"")
        if not typed:
            self.dismiss()
            return
        self._stop()
        try:
            name = ModelName.parse(Path(typed).expanduser() if typed.startswith("~") else typed).absolute()
            on_hub = HubName.parse(name.weights) if is_hub_name(name.weights) else None
        except (InputError, RuntimeError) as error:  # a home that is nobody's
            self.failed.emit(error if isinstance(error, InputError) else InputError(f"{error}."))
            return
        if on_hub is not None and on_hub.registered is not None:
            name = name._replace(weights=on_hub.registered)
        if name.weights in REGISTRY:
            self._end(str(name))
        elif on_hub is not None and find(name.weights) is None:
            self._look_on_hub(name)
        else:
            self._load(name)

    def _load(self, name: ModelName) -> None:
        store = self._application.store
        self._in_background(
            f"Loading {name} …", lambda: store.load(str(name)), lambda _: self._end(str(name))
        )

    def _look_on_hub(self, name: ModelName) -> None:
        def offer(model: HubModel) -> None:
            self._prompt_bar.offer(
                f"{model.name} is on the hub, and not on this machine yet. {model.terms} See {model.page}.",
                "Accept and download" if model.needs_consent else "Download",
                lambda: self._fetch(name),
            )

        self._in_background(f"Looking for {name.weights} …", lambda: find_on_hub(name.weights), offer)

    def _fetch(self, name: ModelName) -> None:
        def progressed(done: int, total: int | None) -> None:
            of = "" if total is None else f" of {size_in_words(total)}"
            sentence = f"Downloading {name.weights}: {size_in_words(done)}{of}"
            self._prompt_bar.show_progress(done // 1024, total and total // 1024, sentence)

        self._prompt_bar.wait(f"Downloading {name.weights} …", self._stop)
        self._download = Download(
            self._application.worker, name.weights, progressed, lambda: self._load(name), self._fail
        )

    def _in_background(self, sentence: str, function: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do something off the window's thread, unless it is stopped before it has ended."""
        wanted = self._wanted = object()
        self._prompt_bar.wait(sentence, self._stop)

        def unless_stopped(outcome: Callable[[], None]) -> None:
            if self._wanted is wanted:
                self._prompt_bar.clear()
                outcome()

        run_in_thread(
            self._application.worker,
            sentence,
            function,
            lambda result: unless_stopped(lambda: then(result)),
            lambda error: unless_stopped(lambda: self._fail(error)),
        )

    def _end(self, name: str) -> None:
        self.dismiss()
        self.found.emit(name)

    def _fail(self, error: BaseException) -> None:
        self._prompt_bar.clear()
        self.failed.emit(error)

    def _stop(self) -> None:
        self._wanted = None
        if self._download is not None:
            self._download.cancel()
            self._download = None
