"""The choice of the image to annotate, and of how its axes are read."""

from typing import Any

from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_plugin.layers import ImageStack, in_words
from napari_plugin.widgets.buttons import button

__all__ = ["ImagePanel"]


class ImagePanel(QWidget):
    """A list of the viewer's Image layers; axes and channels of the chosen one, and the axis to track along.

    Attributes
    ----------
    chosen
        Emitted when the user chose another image, or none.
    corrected
        Emitted when the user changed axes, channel or tracking axis of the chosen image.
    moved
        Emitted when the user wants to work where the sliders stand, not where objects are tracked.
    place_offered
        Emitted when the button for that appears.
    """

    chosen = Signal()
    corrected = Signal()
    place_offered = Signal()
    moved = Signal()

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Image] = []
        self._stack: ImageStack | None = None
        self.combo = QComboBox()
        self.combo.setToolTip("The image to annotate")
        self.combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.axes = QLineEdit()
        self.axes.setToolTip(
            "One letter per axis: T time, Z depth, C channels, Y, X. "
            "Correct it here, for example ZYX, and press Enter."
        )
        self.axes.setMinimumWidth(80)
        self.axes.setMaximumWidth(110)
        self.channel = QComboBox()
        self.channel.setToolTip("Which channels the model sees")
        self.channel.setVisible(False)
        self.along = QComboBox()
        self.along.setToolTip(
            "What objects are tracked along; across the planes, a volume is cut as coronal or sagittal views"
        )
        self.along.setVisible(False)
        self.here = button(
            "", "Objects are tracked elsewhere; each place has objects and a session of its own"
        )
        self.here.setVisible(False)
        self.description = QLabel()
        self.description.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.axes)
        row.addWidget(self.channel, 1)
        row.addWidget(self.along, 1)
        row.addStretch()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Image", self.combo)
        form.addRow("Axes", row)
        form.addRow("", self.description)
        form.addRow("", self.here)
        for widget in (self.combo, self.channel, self.along):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        self.combo.activated.connect(lambda _: self.chosen.emit())
        self.channel.activated.connect(lambda _: self.corrected.emit())
        self.along.activated.connect(lambda _: self.corrected.emit())
        self.here.clicked.connect(lambda: self.moved.emit())
        viewer.dims.events.point.connect(self._offer_place)
        self.axes.returnPressed.connect(self.corrected.emit)
        viewer.layers.events.inserted.connect(self._refresh)
        viewer.layers.events.removed.connect(self._refresh)
        self._refresh()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        number = self.combo.currentIndex() - 1
        return self._layers[number] if number >= 0 else None

    @property
    def channel_choice(self) -> int | None:
        """The chosen channel, None for all."""
        return self.channel.currentIndex() - 1 if self.channel.currentIndex() > 0 else None

    @property
    def along_choice(self) -> str | None:
        """Letter of the axis to track along, None for the usual one."""
        return self.along.currentData() if self.along.count() else None

    def choose(self, layer: Image | None) -> None:
        """Show a layer as the chosen one."""
        self.combo.setCurrentIndex(self._layers.index(layer) + 1 if layer in self._layers else 0)

    def show_axes(self, text: str, description: str) -> None:
        """Show axes that may be corrected, with words about them."""
        self.axes.setText(text)
        self.description.setText(description)
        self._stack = None
        self.along.clear()
        for widget in (self.channel, self.along, self.here):
            widget.setVisible(False)

    def show_stack(self, stack: ImageStack) -> None:
        """Show how an image is read."""
        self.show_axes(stack.axes, "; ".join(filter(None, (stack.description, stack.tracked_along))))
        self._stack = stack
        for letter, words in stack.ways.items():
            self.along.addItem(words, letter)
        self.along.setCurrentIndex(self.along.findData(stack.way))
        self.along.setVisible(len(stack.ways) > 1)
        self._offer_place()
        names = ["all channels", *(f"channel {i}" for i in range(stack.num_channels))]
        self.channel.setVisible(stack.num_channels > 1)
        if self.channel.count() != len(names):
            self.channel.clear()
            self.channel.addItems(names)
        only = stack.opening["channel"] if stack.num_channels > 1 else None
        self.channel.setCurrentIndex(0 if only is None else only + 1)

    def _offer_place(self, event: Any = None) -> None:
        """Offer to work where the sliders stand, if that is another place."""
        stack = self._stack
        if stack is None or not stack.fixed:
            return
        places = stack.shown_places(self._viewer)
        offered = places != stack.fixed
        self.here.setText(f"Work {in_words(places)}")
        if offered and self.here.isHidden():
            self.place_offered.emit()
        self.here.setVisible(offered)

    def disconnect_viewer(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.dims.events.point.disconnect(self._offer_place)
        self._viewer.layers.events.inserted.disconnect(self._refresh)
        self._viewer.layers.events.removed.disconnect(self._refresh)
        for layer in self._layers:
            layer.events.name.disconnect(self._refresh)

    def _refresh(self, event: Any = None) -> None:
        chosen = self.layer
        for layer in self._layers:
            layer.events.name.disconnect(self._refresh)
        self._layers = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Image)]
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItems(["choose an image", *(layer.name for layer in self._layers)])
        for layer in self._layers:
            layer.events.name.connect(self._refresh)
        self.choose(chosen)
