"""Widget in which a person verifies the masklets of a data set: accept, reject, correct, by a key each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Points
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QVBoxLayout, QWidget

from napari_plugin.contributions.readers import image_layer
from napari_plugin.layers.label_stack import LabelStack
from napari_plugin.runtime.application import Sam2Application, sam2_application
from napari_plugin.runtime.workers import TaskRunner
from napari_plugin.widgets.buttons import Button
from napari_plugin.widgets.file_dialogs import ask_for_folder
from napari_plugin.widgets.sentence import Sentence
from sam2_engine import InputError
from sam2_engine.wording import counted
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.queue import QueuedMasklet, VerificationQueue
from sam2_plugins.measure.physical_scale import PhysicalScale

__all__ = ["MaskletWidget"]

T = TypeVar("T")

_KEYS = {"a": "accept", "r": "reject", "c": "correct", "x": "turn_clicks", "z": "take_back"}
_BEGIN = "Choose the folder of a data set that `sam2 masklets` made, and say who you are."


class MaskletWidget(QWidget):
    """The masklets of a data set, one after the other, each with its video and its masks.

    A accepts, R rejects. C goes to the most doubtful frame that nobody has settled; after clicks there, C
    tracks the masklet again. X turns clicks from inside to outside, Z takes the last verdict back.

    Parameters
    ----------
    viewer
        The window.
    application
        Models and workers; None for those of the running application.

    Attributes
    ----------
    queue
        What is verified; None before a data set is chosen.
    """

    def __init__(self, viewer: Viewer, application: Sam2Application | None = None) -> None:
        super().__init__()
        self.viewer = viewer
        self._application = application or sam2_application()
        self._tasks = TaskRunner(self._application.worker, self)
        self.queue: VerificationQueue | None = None
        self._image: Image | None = None
        self._masks: Labels | None = None
        self._clicks: Points | None = None
        self._video = ""
        self._known_clicks = 0
        self._untracked = self._is_busy = False
        self._build()
        self._earlier_keys = {key: viewer.keymap.get(coerce_keybinding(key)) for key in _KEYS}
        self._bind_keys(viewer)

    def _build(self) -> None:
        self.who, self.second = QLineEdit(), QCheckBox("Look at what another person decided")
        self.message = Sentence()
        self.message.setText(_BEGIN)
        form = QFormLayout()
        form.addRow("Your name", self.who)
        form.addRow("", self.second)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self._button("Open data set…", "A folder that `sam2 masklets` made", self.choose))
        for text, tooltip, act in (
            ("Accept (A)", "It is right on every frame", self.accept),
            ("Reject (R)", "It is none to keep", self.reject),
            ("Correct (C)", "Go to the most doubtful frame; after clicks: track again", self.correct),
            ("Clicks inside / outside (X)", "What the next clicks say", self.turn_clicks),
            ("Take back (Z)", "Withdraw the last verdict", self.take_back),
        ):
            layout.addWidget(self._button(text, tooltip, act))
        layout.addWidget(self.message)
        layout.addStretch(1)

    def _button(self, text: str, tooltip: str, act: Callable[[], None]) -> Button:
        made = Button(text, tooltip)
        made.clicked.connect(lambda: act())
        return made

    def _bind_keys(self, provider: Any) -> None:
        """Let the keys act whatever is active: the window, or a layer, whose own keys go first otherwise."""
        for key, name in _KEYS.items():
            provider.bind_key(key, _on_key(getattr(self, name)), overwrite=True)

    # ------------------------------------------------------------------ what a person does

    def choose(self) -> None:
        """Ask for the folder of a data set, and begin."""
        folder = ask_for_folder(self, "masklets", "A data set that `sam2 masklets` made")
        if folder is not None:
            self.open(folder)

    def open(self, folder: Path) -> None:
        """Begin with a data set."""
        self.close_queue()
        try:
            dataset = MaskletDataset.open(folder)
            self.queue = VerificationQueue(
                dataset, self._application.store, self.who.text(), second=self.second.isChecked()
            )
        except InputError as error:
            self.message.setText(str(error))
            return
        self._next()

    def accept(self) -> None:
        """Accept the masklet that is shown; corrections that are not tracked yet are tracked first."""
        if self._untracked:
            self._track()
        elif (queue := self._shown()) is not None:
            self._run(queue.accept, lambda _: self._next())

    def reject(self) -> None:
        """Reject the masklet that is shown."""
        if (queue := self._shown()) is not None:
            self._run(queue.reject, lambda _: self._next())

    def correct(self) -> None:
        """Go to the most doubtful frame that nobody has settled; after corrections, track again."""
        if self._untracked:
            self._track()
        elif (queue := self._shown()) is not None:
            self._run(queue.next_frame, self._go_to)

    def turn_clicks(self) -> None:
        """Let the next clicks say inside in place of outside, or outside in place of inside."""
        if self._clicks is not None:
            inside = not bool(self._clicks.feature_defaults["inside"][0])
            self._clicks.feature_defaults = {"inside": inside}
            self._clicks.current_face_color = "lime" if inside else "red"
            self.message.setText(f"The next clicks are {'inside' if inside else 'outside'}.")

    def take_back(self) -> None:
        """Withdraw the last verdict, and show its masklet again."""
        if self.queue is not None and not self._is_busy:
            self._run(self.queue.take_back, lambda shown: None if shown is None else self._show(shown))

    def close_queue(self) -> None:
        """Write what was decided, and let others work on the video."""
        if self.queue is not None:
            self._tasks.run_last(self.queue.close)
        self.queue = None

    def closeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Leave nothing unwritten, and the keys as they were."""
        self.close_queue()
        for key, earlier in self._earlier_keys.items():
            self.viewer.bind_key(key, earlier, overwrite=True)
        super().closeEvent(event)

    # ------------------------------------------------------------------ how

    def _shown(self) -> VerificationQueue | None:
        busy = self._is_busy or self.queue is None or self.queue.current is None
        return None if busy else self.queue

    def _run(self, function: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run something off the window's thread; until it is done no other key counts."""
        self._is_busy = True

        def done(result: T) -> None:
            self._is_busy = False
            then(result)

        def failed(error: BaseException) -> None:
            self._is_busy = False
            self.message.setText(str(error))
            if not isinstance(error, InputError):
                raise error

        self._tasks.run(function, then=done, failed=failed)

    def _next(self) -> None:
        if self.queue is not None:
            self._run(self.queue.next, self._show)

    def _show(self, shown: QueuedMasklet | None) -> None:
        queue = self.queue
        if shown is None or queue is None:
            self._clear()
            problems = " ".join(queue.problems.values()) if queue is not None else ""
            self.message.setText(f"Nothing is left to verify. {problems}".strip())
            return
        if shown.video != self._video:
            self._show_video(shown.video)
        self._untracked = False
        self._draw()
        self._forget_clicks()
        left = counted(queue.num_left, "masklet")
        self.message.setText(
            f"{shown.video}, masklet {shown.masklet}, quality {shown.quality:.2f}; {left} to go."
        )

    def _show_video(self, video: str) -> None:
        assert self.queue is not None
        self._clear()
        session = self.queue.session
        pixels, options, _ = image_layer(session, video, PhysicalScale())
        self._image = self.viewer.add_image(pixels, **options)
        shape = (len(session.frames), *session.shape)
        self._masks = self.viewer.add_labels(LabelStack(shape, np.uint8, (1, 2)), name="masklet")
        self._clicks = self.viewer.add_points(
            ndim=3, name="corrections", features={"inside": np.empty(0, bool)}, face_color="lime", size=6
        )
        self._clicks.feature_defaults = {"inside": True}
        self._clicks.events.data.connect(self._on_clicks)
        for layer in (self._image, self._masks, self._clicks):
            self._bind_keys(layer)
        self._video = video

    def _clear(self) -> None:
        for layer in (self._clicks, self._masks, self._image):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._clicks = self._masks = self._image = None
        self._video = ""

    def _draw(self, frames: tuple[int, ...] | None = None) -> None:
        """Draw the masklet on some frames, by default on all."""
        assert self.queue is not None
        assert self._masks is not None
        length = len(self.queue.session.frames)
        for frame in range(length) if frames is None else frames:
            mask = self.queue.mask(frame)
            self._masks.data[frame] = 0 if mask is None else mask
        self._masks.refresh()

    def _go_to(self, frame: int | None) -> None:
        if frame is None or self._clicks is None:
            self.message.setText("Every frame is settled; accept or reject it.")
            return
        steps = self.viewer.dims.current_step
        self.viewer.dims.current_step = (*steps[:-3], frame, *steps[-2:])
        self.viewer.layers.selection.active = self._clicks
        self._clicks.mode = "add"
        self.message.setText(f"Frame {frame}: click inside (X: outside), then C tracks it again.")

    def _on_clicks(self, event: Any) -> None:
        """Take over a new click."""
        clicks, queue = self._clicks, self._shown()
        if clicks is None or queue is None or len(clicks.data) <= self._known_clicks:
            return
        self._known_clicks = len(clicks.data)
        frame, y, x = (float(value) for value in clicks.data[-1])
        inside = bool(clicks.features["inside"].iloc[-1])
        where = round(frame)
        self._untracked = True
        self._run(
            lambda: queue.correct(where, points=[(x, y)], labels=[int(inside)]),
            lambda _: self._draw((where,)),
        )

    def _track(self) -> None:
        queue = self._shown()
        if queue is None:
            return
        self._is_busy = True
        self.message.setText("Tracking…")

        def done(_: int) -> None:
            self._is_busy = self._untracked = False
            self._draw()
            self._forget_clicks()
            self.message.setText("Tracked again: A accepts, R rejects, C goes to the next frame.")

        def failed(error: BaseException) -> None:
            self._is_busy = False
            self.message.setText(str(error))

        self._tasks.run_steps(queue.track(), on_step=lambda _: None, then=done, failed=failed)

    def _forget_clicks(self) -> None:
        if self._clicks is not None:
            self._known_clicks = 0
            with self._clicks.events.data.blocker():
                self._clicks.data = np.empty((0, 3))


def _on_key(act: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _: act()
