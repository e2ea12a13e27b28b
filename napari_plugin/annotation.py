"""One image being annotated: its session, its layers, and the work in flight between them."""

from collections.abc import Iterator
from typing import Any

from napari import Viewer
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_plugin.layers import ImageStack, MaskLayer, PromptKey, PromptLayers
from napari_plugin.prompt_sync import PromptSync
from napari_plugin.propagation import Direction, LabelledFrame, Propagation
from napari_plugin.workers import Client
from sam2_plugins.annotation_session import AnnotationSession
from sam2_plugins.jobs import Priority, Progress

__all__ = ["Annotation"]


class Annotation(QObject):
    """Objects, prompts and masks of one Image layer.

    Called in the window's thread only; what computes runs on the application's worker.

    Parameters
    ----------
    viewer, stack
        Where, and on what.
    session
        The owner of objects, prompts and masks.
    client
        How work gets done.

    Attributes
    ----------
    changed
        Emitted when objects, the current one, or what is known of them changed.
    told
        Emitted with a sentence for the user.
    failed
        Emitted with an error of the work.
    progressed
        Emitted with the progress of a propagation after each frame.
    ended
        Emitted with the reason in words when a layer it needs has gone; it is closed then.
    current
        Id of the object that the next prompts belong to, 0 if there is none.
    excluding
        Whether the next clicks take away from it.
    follow_view
        Whether the viewer shows each frame as it is finished.
    """

    changed = Signal()
    told = Signal(str)
    failed = Signal(object)
    progressed = Signal(object)
    ended = Signal(str)
    _must_end = Signal(str)

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        session: AnnotationSession,
        client: Client,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.stack, self.session = stack, session
        self.current, self.excluding, self.follow_view = 0, False, False
        self._viewer, self._client = viewer, client
        self._sync = PromptSync(session)
        self._closed = False
        self._reading = _deferred(self, self._read_prompts)
        self._must_end.connect(self._end, Qt.ConnectionType.QueuedConnection)
        self.propagation = Propagation(client, self)
        self.propagation.stepped.connect(self._on_followed_frame)
        self.propagation.ended.connect(self._on_followed)
        self.propagation.failed.connect(self._on_failure)
        self.masks = MaskLayer(viewer, stack)
        self.prompts = PromptLayers(viewer, stack, self._reading.start)
        self.layers = (self.masks.layer, self.prompts.boxes, self.prompts.points)
        for layer in self.layers:
            viewer.add_layer(layer)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        stack.layer.events.data.connect(self._on_pixels_replaced)
        self.add_object()
        self.prompts.point()

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """Stop all work and stop listening; the layers stay as they are."""
        if self._closed:
            return
        self._closed = True
        self._client.close()
        self._reading.stop()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.stack.layer.events.data.disconnect(self._on_pixels_replaced)
        self.prompts.close()
        self.masks.layer.editable = True

    def remove_prompt_layers(self) -> None:
        """Take clicks and boxes out of the viewer, with this annotation closed and its image still there."""
        for layer in (self.prompts.boxes, self.prompts.points):
            self._viewer.layers.remove(layer)

    def use_session(self, session: AnnotationSession, client: Client) -> None:
        """Go on with a new, empty session: the same objects and prompts, masks anew."""
        self._client.close()
        for one in self.session.objects.values():
            session.add_object(one.name, one.label, object_id=one.id)
        self.session, self._client = session, client
        self._sync = PromptSync(session)
        self.propagation.reset(client)
        self.masks.clear()
        self._reading.start()

    def _on_layer_removed(self, event: Any) -> None:
        if event.value == self.stack.layer or event.value in self.layers:
            self.propagation.stop()
            # Not at once: whoever removes layers may be about to remove more.
            self._must_end.emit(f"Layer '{event.value.name}' was removed, so annotating has ended.")

    def _on_pixels_replaced(self, event: Any) -> None:
        self._must_end.emit(f"The pixels of '{self.stack.layer.name}' were replaced; choose it again.")

    def _end(self, reason: str) -> None:
        if not self._closed:
            self.close()
            for layer in (self.prompts.boxes, self.prompts.points):
                layer.visible = False  # nobody listens to them any more, but they are somebody's work
            self.ended.emit(reason)

    # ------------------------------------------------------------------ objects

    def add_object(self) -> None:
        """Make an object, to which the next prompts belong."""
        object_id = self.session.add_object()
        self.masks.color(self.session.objects.values())
        self.select_object(object_id)

    def select_object(self, object_id: int) -> None:
        """Let the next prompts belong to an object, and add to it."""
        self.current = object_id
        self.set_excluding(False)

    def set_excluding(self, excluding: bool) -> None:
        """Let the next clicks take away from the current object, or add to it."""
        self.excluding = excluding
        self.prompts.set_next(self.current, excluding)
        self.changed.emit()

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks."""
        session = self.session
        if object_id not in session.objects:
            return
        self.prompts.remove_object(object_id)
        self._sync.want(self.prompts.read())

        def steps() -> Iterator[LabelledFrame]:
            frames = session.frames_of(object_id)
            session.remove_object(object_id)
            for frame in frames:
                yield frame, session.label_image(frame)

        def removed(_: int) -> None:
            if self.current == object_id:
                self.select_object(max(session.objects, default=0))
            self.changed.emit()

        self._client.run_steps(
            steps(), on_step=self._show, then=removed, failed=self._on_failure, priority=Priority.INTERACTIVE
        )

    # ------------------------------------------------------------------ prompts

    def _read_prompts(self) -> None:
        for sentence in self.prompts.drop_unusable():
            self.told.emit(sentence)
        wanted = self.prompts.read()
        if any(object_id not in self.session.objects for object_id, _ in wanted):
            if self.current not in self.session.objects:
                self.add_object()
            self.prompts.adopt(set(self.session.objects), self.current)
            wanted = self.prompts.read()
        for key in self._sync.want(wanted):
            self._preview(key)

    def _preview(self, key: PromptKey) -> None:
        session, sync, frame = self.session, self._sync, key[1]

        def compute() -> LabelledFrame | None:
            return (frame, session.label_image(frame)) if sync.apply(key) else None

        def show(labelled: LabelledFrame | None) -> None:
            if labelled is not None:
                self._show(labelled)
                self.changed.emit()

        self._client.run(compute, then=show, failed=self._on_failure)

    def _show(self, labelled: LabelledFrame) -> None:
        self.masks.write(*labelled)

    # ------------------------------------------------------------------ propagation

    def propagate(self, direction: Direction, from_shown: bool = False) -> None:
        """Follow all objects; masks appear frame by frame.

        Parameters
        ----------
        direction
            To the end of the stack, to its beginning, or both.
        from_shown
            Begin at the shown frame, not at the first prompts (backwards alone: the last).
        """
        if self.propagation.running:
            return
        self._read_prompts()  # a click of just now counts
        start = self.stack.shown_frame(self._viewer) if from_shown else None
        self.propagation.start(self.session, direction, start)
        self.changed.emit()

    def _on_followed_frame(self, labelled: LabelledFrame, progress: Progress) -> None:
        self._show(labelled)
        if self.follow_view:
            self.stack.show_frame(self._viewer, labelled[0])
        self.progressed.emit(progress)

    def _on_followed(self, sentence: str) -> None:
        self.told.emit(sentence)
        self.changed.emit()

    def _on_failure(self, error: BaseException) -> None:
        self.failed.emit(error)
        self.changed.emit()


def _deferred(parent: QObject, function: Any) -> QTimer:
    """Return a timer whose ``start`` lets ``function`` run once, when the events at hand are dealt with."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(0)
    timer.timeout.connect(function)
    return timer
