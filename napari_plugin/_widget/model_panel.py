"""Which model is used, and what it runs on."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from sam2_engine.model_files import list_models

__all__ = ["ModelPanel"]


class ModelPanel(QWidget):
    """A list of the models on this machine.

    Parameters
    ----------
    preferred
        Name of the model that is chosen at first.

    Attributes
    ----------
    chosen
        Emitted with the model's name when the user chose another one.
    """

    chosen = Signal(str)

    def __init__(self, preferred: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        names = [status.name for status in list_models() if status.available]
        names.sort(key=lambda name: name != preferred)
        self.combo = QComboBox()
        self.combo.addItems(names or [preferred])
        self.combo.setToolTip("Models on this machine. Get more with: sam2 download sam2.1_hiera_small")
        self.combo.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.device = QLabel()
        self.device.setToolTip("What the model runs on")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Model"))
        row.addWidget(self.combo, 1)
        row.addWidget(self.device)
        self.combo.textActivated.connect(self.chosen.emit)

    @property
    def model(self) -> str:
        """Name of the chosen model."""
        return str(self.combo.currentText())

    def show_device(self, device: str) -> None:
        """Show what the model runs on."""
        self.device.setText(f"on {device}" if device else "")
