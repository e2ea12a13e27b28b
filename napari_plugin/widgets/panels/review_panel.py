"""The Review tab: doubtful masks, worst first, to verify or to track again."""

from collections.abc import Callable

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets import keys
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.rows import keep_rows
from sam2_plugins.review import ReviewItem

__all__ = ["ReviewPanel"]

_MAX_ROWS = 200
_COLUMNS = ("Frame", "Object", "Doubt", "Why")


class ReviewPanel(Panel):
    """The queue, and what can be done with the current object on the shown frame.

    Attributes
    ----------
    item_chosen
        Emitted with a ``ReviewItem`` that the user wants to see.
    """

    item_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue: list[ReviewItem] = []
        self._row = -1
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.list = _queue_list()
        self.previous = button("◀ Previous", "The doubtful mask before this one", keys.PREVIOUS_DOUBT)
        self.next = button("Next ▶", "The next doubtful mask", keys.NEXT_DOUBT)
        self.verify = button(
            "Verify", "The current object's mask is right on the shown frame; go on to the next", keys.VERIFY
        )
        self.unverify = button(
            "Unverify", "Let the current object's mask be changed here again", keys.UNVERIFY
        )
        self.propagate = button(
            "Track again from here ▶",
            "Track the current object again, from the shown frame to the next verified one",
            keys.PROPAGATE_FROM_SHOWN,
        )
        grid = QGridLayout()
        grid.addWidget(self.previous, 0, 0)
        grid.addWidget(self.next, 0, 1)
        grid.addWidget(self.verify, 1, 0)
        grid.addWidget(self.unverify, 1, 1)
        grid.addWidget(self.propagate, 2, 0, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.summary)
        layout.addWidget(self.list, 1)
        layout.addLayout(grid)
        self.previous.clicked.connect(lambda: self.step(-1))
        self.next.clicked.connect(lambda: self.step(1))
        self.verify.clicked.connect(self._verify)
        self.unverify.clicked.connect(self._with(lambda one: one.verify(False)))
        self.propagate.clicked.connect(self._with(lambda one: one.propagate_from_shown()))
        self.list.itemClicked.connect(lambda item: self._go_to(self.list.indexOfTopLevelItem(item)))
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Show the queue of an annotation, or nothing."""
        self._row = -1
        super().show_annotation(annotation)

    def refresh(self) -> None:
        """Show the newest queue; the chosen item stays chosen if it is still in it."""
        annotation = self.annotation
        chosen = self._key(self._row)
        self._queue = [] if annotation is None else annotation.review.queue[:_MAX_ROWS]
        places = [(item.object_id, item.frame) for item in self._queue]
        if chosen in places:
            self._row = places.index(chosen)
        elif chosen is not None:
            self._row -= 1  # the next one has moved up into its place
        objects = {} if annotation is None else annotation.session.objects
        names = {one.id: one.name for one in objects.values()}
        with QSignalBlocker(self.list):
            self.list.clear()
            for item in self._queue:
                name = names.get(item.object_id, str(item.object_id))
                self.list.addTopLevelItem(
                    QTreeWidgetItem([str(item.frame), name, f"{item.score:.0%}", item.told(names)])
                )
            if chosen in places:
                self.list.setCurrentItem(self.list.topLevelItem(self._row))
        self._summarize()
        self._enable()

    def show_frame(self, frame: int) -> None:
        """Offer what can be done on the frame that is shown."""
        self._enable()

    def _enable(self) -> None:
        annotation, masked, verified = self.annotation, False, False
        if annotation is not None and annotation.current in annotation.session.objects:
            session, current, frame = annotation.session, annotation.current, annotation.shown_frame
            masked = session.accepted(current, frame) is not None
            verified = frame in session.verified(current)
        for one, enabled, lacking in (
            (self.previous, bool(self._queue), "No mask is left to be reviewed"),
            (self.next, bool(self._queue), "No mask is left to be reviewed"),
            (self.verify, masked and not verified, "The current object has no mask here to be verified"),
            (self.unverify, verified, "The current object has no verified mask here"),
            (self.propagate, masked, "The current object has no mask here to be tracked from"),
        ):
            one.offer(enabled, lacking)

    def step(self, by: int) -> None:
        """Go to the next (1) or the previous (-1) doubtful mask."""
        if self._queue:
            self._go_to(min(max(self._row + by, 0), len(self._queue) - 1))

    def _go_to(self, row: int) -> None:
        self._row = row
        item = self.list.topLevelItem(row)
        self.list.setCurrentItem(item)
        self.status_message.emit(
            f"{item.text(1)}, frame {item.text(0)}: {item.text(3)}."
        )  # too long for its column
        self.item_chosen.emit(self._queue[row])

    def _verify(self) -> None:
        annotation = self.annotation
        if annotation is not None:
            here = (annotation.current, annotation.shown_frame)
            annotation.verify(True)
            if self._key(self._row) == here:
                self.step(1)

    def _key(self, row: int) -> tuple[int, int] | None:
        if not 0 <= row < len(self._queue):
            return None
        return self._queue[row].object_id, self._queue[row].frame

    def _summarize(self) -> None:
        if self.annotation is None:
            self.summary.clear()
            return
        annotations, doubts = self.annotation.session.annotations, len(self.annotation.review.doubtful)
        masks, verified = annotations.num_masks, annotations.num_verified
        self.summary.setText(f"{doubts} of {masks} masks are doubtful, worst first; {verified} are verified.")

    def _with(self, act: Callable[[AnnotationController], None]) -> Callable[[], None]:
        def clicked() -> None:
            if self.annotation is not None:
                act(self.annotation)

        return clicked


def _queue_list() -> QTreeWidget:
    made = QTreeWidget()
    made.setColumnCount(len(_COLUMNS))
    made.setHeaderLabels(list(_COLUMNS))
    made.setRootIsDecorated(False)
    made.setUniformRowHeights(True)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
    made.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    keep_rows(made)
    return made
