"""The buttons that carry a volume's objects on to the time before or after."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_plugin.annotation.carrying import carry_to
from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.runtime.application import Sam2Application
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.task_progress_row import TaskProgressRow
from sam2_plugins.session.carrying import CarriedObjects

__all__ = ["CarryPanel"]

_TOOLTIP = (
    "Find each object at that time on the plane where it is largest, and track it there through the planes, "
    "under the same id"
)


class CarryPanel(Panel):
    """Shown where a volume over time is tracked through its planes: every time has a session of its own.

    Parameters
    ----------
    application
        Knows where sessions lie that cannot lie beside their image.

    Attributes
    ----------
    carried
        Emitted with the places, by axis, that objects were carried on to.
    """

    carried = Signal(object)

    def __init__(self, application: Sam2Application, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._application = application
        self.before, self.after = button("", _TOOLTIP), button("", _TOOLTIP)
        self.progress_row = TaskProgressRow(self.before, self.after)
        row = QHBoxLayout()
        row.addWidget(QLabel("Carry to"))
        row.addWidget(self.before, 1)
        row.addWidget(self.after, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.progress_row)
        self.before.clicked.connect(lambda: self._carry(-1))
        self.after.clicked.connect(lambda: self._carry(1))
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Offer to carry the objects of another annotation on, if that is of one time of a volume."""
        super().show_annotation(annotation)
        self.progress_row.clear_if_closed()
        self.setVisible(annotation is not None and _time_of(annotation) is not None)

    def refresh(self) -> None:
        """Name the times, and offer those that there are."""
        annotation = self.annotation
        time = None if annotation is None else _time_of(annotation)
        if annotation is None or time is None:
            return
        session = annotation.session
        busy, tracking = self.progress_row.busy, annotation.propagation.running
        masked = any(session.frames_of(object_id) for object_id in session.objects)
        last = annotation.stack.plan.sizes["T"] - 1
        for one, to, words in (
            (self.before, time - 1, f"◀ time point {time - 1}"),
            (self.after, time + 1, f"time point {time + 1} ▶"),
        ):
            there = 0 <= to <= last
            one.setText(words if there else "")
            one.setVisible(there)
            if not busy:
                one.offer(
                    masked and not tracking,
                    "Objects are being tracked; stop that first" if tracking else "No object has a mask yet",
                )

    def _carry(self, by: int) -> None:
        annotation = self.annotation
        time = None if annotation is None else _time_of(annotation)
        if annotation is None or time is None:
            return
        places = {**annotation.stack.fixed, "T": time + by}
        there = annotation.stack.at(places)

        def carried(result: CarriedObjects) -> None:
            self.status_message.emit(f"{result}. Press “Work at time point {time + by}” to see them there.")
            self.carried.emit(places)

        self.progress_row.start(
            annotation,
            "Carrying on",
            carry_to(annotation, there, self._application.sessions),
            None,
            then=carried,
            stopped=lambda: self.status_message.emit(
                f"Stopped; what was found at time point {time + by} already stays there."
            ),
            failed=self.failed.emit,
        )


def _time_of(annotation: AnnotationController) -> int | None:
    """Return the time point of a volume that is tracked through its planes; None of any other image."""
    stack = annotation.stack
    return stack.fixed.get("T") if stack.plan.axis == "Z" else None
