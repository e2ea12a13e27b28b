"""The choice of the model, the size of its input, and the device that it runs on."""

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.runtime.application import Sam2Application
from napari_plugin.runtime.download import Download
from napari_plugin.widgets.file_dialogs import ask_for_file
from napari_plugin.widgets.panels.named_model_field import NamedModelField
from napari_plugin.widgets.prompt_bar import PromptBar
from sam2_engine.errors import InputError
from sam2_engine.modeling.approximations import FAST
from sam2_engine.weights.locations import WEIGHT_SUFFIXES, ModelStatus, find, list_models
from sam2_engine.weights.registry import REGISTRY
from sam2_engine.wording import size_in_words
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.runtime.model_store import available_devices
from sam2_plugins.runtime.out_of_memory import OutOfMemoryError

__all__ = ["ModelPanel"]

_SIZES = (1024, 768, 512, 384, 320, 256)
_BROWSE = "Weights of your own …"
_BY_NAME = "By name, folder or hf:owner/name …"


class ModelPanel(QWidget):
    """All models by name, those on this machine and those that can be downloaded; input size and device.

    Parameters
    ----------
    application
        Whose models and device.

    Attributes
    ----------
    chosen
        Emitted with the model's name, which may carry the size of its input, when the user chose another.
    training_wanted
        Emitted when the user wants to fine-tune a model.
    failed
        Emitted with an error for the user.
    prompt_bar
        What is asked or waited for: a download, another device.
    model
        Name of the chosen model.
    """

    chosen = Signal(str)
    training_wanted = Signal()
    failed = Signal(object)

    def __init__(self, application: Sam2Application, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._application = application
        self._download: Download | None = None
        self._own_files: list[str] = []
        self.combo, self.size, self.device = QComboBox(), QComboBox(), QComboBox()
        self.combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setToolTip("The model that finds objects: small ones are fast, large ones are better")
        self.size.setToolTip("Side of the model's input: smaller is faster and coarser")
        self.device.setToolTip("What the model runs on")
        self.fast = QCheckBox("fast")
        self.fast.setToolTip(
            "Look for small objects around where they last were: tracks many of them several times as fast, "
            "with nearly the same masks"
        )
        self.prompt_bar = PromptBar()
        self.by_name = NamedModelField(application, self.prompt_bar)
        for widget in (self.combo, self.size, self.fast, self.device):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        row = QHBoxLayout()
        row.addWidget(self.size, 1)
        row.addWidget(self.fast)
        row.addWidget(QLabel("on"))
        row.addWidget(self.device, 1)
        row.addWidget(self._more())
        form = QFormLayout()
        form.addRow("Model", self.combo)
        form.addRow(self.by_name)
        form.addRow("Input", row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.prompt_bar)
        for name, words in available_devices().items():
            self.device.addItem(name, name)
            self.device.setItemData(self.device.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
        self.show_model(application.model)
        self.show_device(application.store.device_name)
        self.combo.activated.connect(self._on_picked)
        self.by_name.found.connect(self._on_named)
        self.by_name.failed.connect(self.failed.emit)
        self.size.activated.connect(lambda _: self._on_set())
        self.fast.clicked.connect(lambda _: self._on_set())
        self.device.activated.connect(lambda _: application.use_device(self.device.currentData()))
        application.device_changed.connect(self.show_device)

    def _more(self) -> QToolButton:
        """Return a button with a menu of what is seldom wanted."""
        menu = QMenu(self)
        self.fine_tune = menu.addAction("Teach it your objects …")
        self.fine_tune.triggered.connect(lambda _: self.training_wanted.emit())
        more = QToolButton()
        more.setText("⋯")
        more.setStyleSheet("QToolButton::menu-indicator { image: none; }")  # it would lie on the dots
        more.setToolTip("More: teach it your objects")
        more.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        more.setMenu(menu)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        return more

    # ------------------------------------------------------------------ showing

    def show_model(self, model: str) -> None:
        """Let a model be the chosen one, for example a session's; ``chosen`` is not emitted."""
        self.model = model
        name, size, approximations = ModelName.parse(model)
        self.fast.setChecked(approximations is not None)
        self._list(name)
        self.combo.setCurrentIndex(self.combo.findData(name))
        registered = REGISTRY.get(name)
        known = None if registered is None else registered.config
        self.fast.setEnabled(known is None or known.remembers_windows)
        self.size.clear()
        self.size.addItem("its own size" if known is None else _pixels(known.image_size), None)
        step = 1 if known is None else known.size_step
        smaller = {one for one in _SIZES if known is None or (one < known.image_size and one % step == 0)}
        for one in sorted(smaller | ({size} if size else set()), reverse=True):
            self.size.addItem(_pixels(one), one)
        self.size.setCurrentIndex(0 if size is None else self.size.findData(size))

    def show_device(self, device: str) -> None:
        """Show what the model runs on, which may be the address of another machine."""
        if self.device.findData(device) < 0:
            self.device.addItem(device.rpartition("://")[2], device)
            self.device.setItemData(self.device.count() - 1, device, Qt.ItemDataRole.ToolTipRole)
        self.device.setCurrentIndex(self.device.findData(device))

    def _list(self, chosen: str) -> None:
        """Fill the list: what is on this machine first, and what is chosen in any case."""
        models = list_models()
        names = [status.name for status in models]
        if chosen not in (*names, *self._own_files):
            self._own_files.append(chosen)
        self.combo.clear()
        for status in sorted(models, key=lambda one: not one.available):
            here = "" if status.available else ", not here yet"
            self.combo.addItem(f"{status.name}  ({size_in_words(status.megabytes * 1e6)}{here})", status.name)
            if status.registered is not None:
                words = f"For {status.registered.purpose}. {status.registered.terms}"
                self.combo.setItemData(self.combo.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
        for file in self._own_files:
            self.combo.addItem(_called(Path(file)), file)
            self.combo.setItemData(self.combo.count() - 1, file, Qt.ItemDataRole.ToolTipRole)
        for line in (_BY_NAME, _BROWSE):
            self.combo.addItem(line, line)

    # ------------------------------------------------------------------ choosing

    def _on_picked(self, index: int) -> None:
        name = self.combo.itemData(index)
        if name == _BY_NAME:
            self.show_model(self.model)
            self.by_name.ask()
            return
        self.by_name.dismiss()
        if name == _BROWSE:
            name = self._browsed()
        status = next((one for one in list_models() if one.name == name), None)
        if name and (status is None or status.available):
            self.choose(name, None)
            return
        self.show_model(self.model)
        if status is not None:
            self._offer_download(status)

    def _on_named(self, typed: str) -> None:
        name, size, approximations = ModelName.parse(typed)
        if find(name) is None and name in REGISTRY:
            self.offer_download(name)
            return
        self.fast.setChecked(approximations is not None)
        self.choose(name, size)

    def _on_set(self) -> None:
        self.choose(ModelName.parse(self.model).weights, self.size.currentData())

    def choose(self, name: str, size: int | None = None) -> None:
        """Choose a model, as the user does; ``fast`` stays as it is."""
        self.prompt_bar.clear()
        self.show_model(str(ModelName(name, size, FAST if self.fast.isChecked() else None)))
        self.chosen.emit(self.model)

    def _browsed(self) -> str:
        suffixes = " ".join(f"*{suffix}" for suffix in WEIGHT_SUFFIXES)
        file = ask_for_file(self, "weights", "Weights of a SAM 2 model", f"Weights ({suffixes})")
        return "" if file is None else str(file)

    # ------------------------------------------------------------------ downloads

    def offer_download(self, name: str) -> None:
        """Offer to fetch an official model that is not on this machine."""
        for status in list_models():
            if status.name == name and not status.available:
                self._offer_download(status)

    def _offer_download(self, status: ModelStatus) -> None:
        known = status.registered
        if self._download is not None or known is None:
            return
        if known.path is None:
            self.failed.emit(
                InputError(
                    f"{status.name} can be fetched by hand only: get its file from {known.page}, and choose "
                    f'it by "{_BROWSE}". {known.terms}'
                )
            )
            return
        size = size_in_words(status.megabytes * 1e6)
        self.prompt_bar.offer(
            f"{status.name} is not on this machine yet.{f' {known.terms}' if known.needs_consent else ''}",
            f"{'Accept and download' if known.needs_consent else 'Download'} {size}",
            lambda: self._fetch(status.name),
        )

    def _fetch(self, name: str) -> None:
        def progressed(done: int, total: int | None) -> None:
            of = "" if total is None else f" of {size_in_words(total)}"
            self.prompt_bar.show_progress(
                done // 1024, total and total // 1024, f"Downloading {name}: {size_in_words(done)}{of}"
            )

        def arrived() -> None:
            self._download = None
            self.choose(name, None)

        def failed(error: BaseException) -> None:
            self._download = None
            self.prompt_bar.clear()
            self.failed.emit(error)

        self.prompt_bar.wait(f"Downloading {name} …", self.cancel_download)
        self._download = Download(self._application.worker, name, progressed, arrived, failed)

    def cancel_download(self) -> None:
        """Cancel a download; what has arrived stays for the next time."""
        if self._download is not None:
            self._download.cancel()
            self._download = None

    # ------------------------------------------------------------------ too little memory

    def offer_cpu(self, error: OutOfMemoryError) -> None:
        """Offer to go on where there is more memory."""
        if error.device != "cpu":
            self.prompt_bar.offer(
                f"The memory of {error.device} is full.",
                "Compute on the CPU",
                lambda: self._application.use_device("cpu"),
            )


def _pixels(side: int) -> str:
    return f"{side} × {side}"


def _called(file: Path) -> str:
    """Return what weights are called: a fine-tuned ``model.safetensors`` by its folder."""
    return f"{file.parent.name}/{file.name}" if file.stem == "model" else file.name
