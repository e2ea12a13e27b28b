"""The Find tab: everything on the shown frame without a click, to choose objects from."""

from collections.abc import Generator

from magicgui.widgets import CheckBox, SpinBox
from napari import Viewer
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.layers import Tool
from napari_plugin.layers.candidate_layer import CandidateLayer
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.form import form
from napari_plugin.widgets.heading import heading
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.prompt_bar import PromptBar
from napari_plugin.widgets.remembered import remember_field
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.wording import counted
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import (
    AutomaticSettings,
    FoundObject,
    find_objects,
    number_objects,
)
from sam2_plugins.session.propagation_plan import Direction
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["AutomaticPanel"]

_DEFAULTS = AutomaticSettings()
_LEAST_CONFIDENCE = 0.15
"""What is less sure is not even searched for; above it the slider hides and shows at once."""
_MOST = 5000
_FINE = 2
"""So many times the clicks per side, for many small objects."""


class AutomaticPanel(Panel):
    """Searches for objects, shows them as a layer to choose from, and makes objects of the chosen ones.

    Parameters
    ----------
    viewer
        Where candidates are shown.
    store
        The models.

    Attributes
    ----------
    found
        The candidates, the surest first.
    """

    def __init__(self, viewer: Viewer, store: ModelStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._store = viewer, store
        self.found: list[FoundObject] = []
        self._left_out: set[int] = set()
        self._frame = 0
        self._session: AnnotationSession | None = None
        self._layer: CandidateLayer | None = None
        self._cancel: CancelToken | None = None
        self._confidence: float | None = None  # of the model, until a person chooses another one
        self._confidence_is_chosen = False
        self.find = button("Find objects", "Find everything on the shown frame, without clicks")
        self.prompt_bar = PromptBar()
        self.fine = CheckBox(
            text="many small objects",
            tooltip=f"Look {_FINE * _FINE} times as closely; takes {_FINE * _FINE} times as long",
        )
        self.confidence = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.confidence.setRange(_LEAST_CONFIDENCE, 0.95)
        self.confidence.setValue(VARIANTS["nano"].confidence)
        self.confidence.setToolTip("Show only objects of at least this confidence")
        self.confidence.findChild(QSlider).setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.min_area = SpinBox(
            value=_DEFAULTS.min_area,
            min=1,
            max=10**6,
            label="Area at least (pixels)",
            tooltip="Leave out smaller objects",
        )
        self.max_objects = SpinBox(
            value=_DEFAULTS.max_objects,
            min=1,
            max=_MOST,
            label="Objects at most",
            tooltip="Show only so many, the surest",
        )
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.all = button("All", "Choose all that are shown")
        self.none = button("None", "Leave all out, to choose a few by clicks")
        self.discard = button("Discard", "Take the found objects away")
        self.add = button("Add the chosen", "Make objects of the chosen ones; one undo takes them back")
        self.propagate = button("◀ Track the chosen ▶", "Make objects of the chosen and track them both ways")
        self._lay_out()
        self.find.clicked.connect(self._start)
        self.confidence.valueChanged.connect(self._on_confidence)
        self.min_area.changed.connect(self._show_choice)
        self.max_objects.changed.connect(self._show_choice)
        self.all.clicked.connect(lambda: self._leave_out(set()))
        self.none.clicked.connect(lambda: self._leave_out(set(range(1, len(self.found) + 1))))
        self.discard.clicked.connect(self._discard)
        self.add.clicked.connect(lambda: self._add_chosen(propagate=False))
        self.propagate.clicked.connect(lambda: self._add_chosen(propagate=True))
        viewer.layers.events.removed.connect(self._on_layer_removed)
        self.show_annotation(None)

    def _lay_out(self) -> None:
        for field, name in (
            (self.fine, "many_small"),
            (self.min_area, "min_area"),
            (self.max_objects, "max_objects"),
        ):
            remember_field(field, name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Find everything on this frame"))
        layout.addWidget(self.find)
        layout.addWidget(self.prompt_bar)
        settings = form(self.fine, self.min_area, self.max_objects)
        settings.insertRow(1, "Confidence at least", self.confidence)
        layout.addLayout(settings)
        layout.addWidget(self.summary)
        for row in ((self.all, self.none, self.discard), (self.add, self.propagate)):
            line = QHBoxLayout()
            for one in row:
                line.addWidget(one)
            layout.addLayout(line)
        layout.addStretch()

    # ------------------------------------------------------------------ called by the dock

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Search in another image: what was found on the one before is discarded."""
        if annotation is not self.annotation:
            self._discard()
        super().show_annotation(annotation)
        self.propagate.setVisible(annotation is None or annotation.stack.plan.length > 1)

    def refresh(self) -> None:
        """Discard what was found if it belongs to another place in the image."""
        annotation = self.annotation
        if self._session is not None and (annotation is None or annotation.session is not self._session):
            self._discard()
        self._show_choice()

    def disconnect_viewer(self) -> None:
        """Disconnect from the viewer."""
        self._discard()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)

    # ------------------------------------------------------------------ searching

    def _start(self) -> None:
        annotation = self.annotation
        assert annotation is not None
        self._discard()
        session, frame, cancel = annotation.session, annotation.shown_frame, CancelToken()
        settings = AutomaticSettings(
            confidence=_LEAST_CONFIDENCE,
            min_area=self.min_area.value,
            max_objects=_MOST,
            points_per_side=_DEFAULTS.points_per_side * (_FINE if self.fine.value else 1),
        )
        search = ResultGenerator(self._search(session, frame, settings))
        self._session, self._frame, self._cancel = session, frame, cancel
        self.find.setEnabled(False)
        self.prompt_bar.wait("Finding objects …", cancel.cancel, "Stop")

        def on_step(step: object) -> None:
            if self._cancel is cancel and not cancel.cancelled and isinstance(step, tuple):
                done, total = step
                self.prompt_bar.show_progress(done, total, f"Finding objects: {done:,} of {total:,} places")

        def ended(_: int) -> None:
            if self._cancel is cancel:
                self._end_search()
                if hasattr(search, "result"):
                    self._show_found(annotation, search.result)
                else:
                    self.status_message.emit("Finding objects was stopped.")

        def failed(error: BaseException) -> None:
            if self._cancel is cancel:
                self._end_search()
                self.failed.emit(error)

        annotation.run_steps(search, on_step, ended, failed, cancel)

    def _search(
        self, session: AnnotationSession, frame: int, settings: AutomaticSettings
    ) -> Generator[tuple[int, int], None, list[FoundObject]]:
        """Search on the worker's thread, where the frame is read too."""
        self._confidence = self._store.load(session.model_name).confidence
        return (
            yield from find_objects.steps(
                self._store, session.model_name, session.frames[frame], session.window, settings
            )
        )

    def _end_search(self) -> None:
        self._cancel = None
        self.prompt_bar.clear()
        self.find.setEnabled(True)

    def _show_found(self, annotation: AnnotationController, found: list[FoundObject]) -> None:
        if not found:
            self.status_message.emit("Nothing was found; click on the objects, or try a larger model.")
            return
        self.found = found
        if not self._confidence_is_chosen and self._confidence is not None:
            with QSignalBlocker(self.confidence):
                self.confidence.setValue(self._confidence)
        labels = number_objects(annotation.session.shape, found)
        self._layer = CandidateLayer(self._viewer, annotation.stack, self._frame, labels, self._toggle)
        self._leave_out(set())

    # ------------------------------------------------------------------ choosing

    @property
    def shown(self) -> list[int]:
        """Numbers of the candidates that pass the limits, from 1, the surest first."""
        least, smallest = self.confidence.value(), self.min_area.value
        passing = [i for i, one in enumerate(self.found, 1) if one.score >= least and one.area >= smallest]
        return passing[: self.max_objects.value]

    @property
    def chosen(self) -> list[int]:
        """Those among them that were not left out."""
        return [i for i in self.shown if i not in self._left_out]

    def _on_confidence(self) -> None:
        self._confidence_is_chosen = True
        self._show_choice()

    def _toggle(self, number: int) -> None:
        if number in self.shown:
            self._leave_out(self._left_out ^ {number})

    def _leave_out(self, numbers: set[int]) -> None:
        self._left_out = numbers
        self._show_choice()

    def _show_choice(self) -> None:
        shown, chosen = self.shown, self.chosen
        if self._layer is not None:
            self._layer.color(set(shown), set(chosen))
        for one in (self.all, self.none, self.discard):
            one.setEnabled(bool(self.found))
        for one in (self.add, self.propagate):
            one.setEnabled(bool(chosen))
        if self.found:
            self.summary.setText(
                f"{len(shown)} of {len(self.found)} found on frame {self._frame} are shown, "
                f"{len(chosen)} chosen. Click on one to leave it out, or to take it in again."
            )
        else:
            self.summary.setText("Found objects appear in the image, to choose from.")

    def _add_chosen(self, propagate: bool) -> None:
        annotation, frame = self.annotation, self._frame
        assert annotation is not None
        masks = [self.found[i - 1].mask for i in self.chosen]
        self._discard()

        def act(session: AnnotationSession) -> tuple[int, ...]:
            unused = [i for i in session.objects if not session.frames_of(i) and not session.prompts_of(i)]
            first = session.annotations.highest_used_id + 1
            ids = (*unused, *range(first, first + len(masks)))[: len(masks)]
            session.import_masks(frame, dict(zip(ids, masks)), as_prompts=True)
            return ids

        def added(ids: tuple[int, ...]) -> None:
            annotation.select_object(ids[0])
            self.status_message.emit(f"{counted(len(ids), 'object')} added; one undo takes them back.")
            if propagate:
                annotation.propagate(Direction.BOTH, object_ids=ids)

        annotation.edit(act, added)

    # ------------------------------------------------------------------ the end

    def _discard(self) -> None:
        """Stop searching, and take the candidates away."""
        if self._cancel is not None:
            self._cancel.cancel()
            self._end_search()
        layer, self._layer = self._layer, None
        self.found, self._left_out, self._session = [], set(), None
        if layer is not None:
            layer.close()
            if self.annotation is not None and not self.annotation.closed:
                self.annotation.tools.use(Tool.CLICK)
        self._show_choice()

    def _on_layer_removed(self, event: object) -> None:
        if self._layer is not None and getattr(event, "value", None) is self._layer.layer:
            self._discard()
