"""The controller of one image being annotated: its session, its layers, and what runs between them."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from napari import Viewer
from qtpy.QtCore import QObject, Qt, Signal

from napari_plugin.annotation.autosave import AutosaveStatus
from napari_plugin.annotation.layer_sync import LayerSync
from napari_plugin.annotation.names import NameView
from napari_plugin.annotation.object_choice import ObjectChoice
from napari_plugin.annotation.propagation import LabeledFrame, Propagation
from napari_plugin.annotation.review import ReviewModel
from napari_plugin.annotation.tracks import TrackView
from napari_plugin.layers import (
    Companions,
    ImageStack,
    MaskLayer,
    PromptLayers,
    SurfaceClicks,
    Tool,
    Tools,
    TransformSync,
)
from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.runtime.jobs import CancelToken, Priority, Progress
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import Change
from sam2_plugins.session.propagation_plan import Direction
from sam2_plugins.storage import OpenedSession, SessionFolder

__all__ = ["AnnotationController"]

T = TypeVar("T")


class AnnotationController(QObject):
    """Objects, prompts and masks of one Image layer.

    Called in the window's thread only; what computes runs on the application's worker.

    Parameters
    ----------
    viewer, stack
        Where, and on what.
    opened
        The session, and the folder that it is saved in.
    task_runner
        How work gets done.

    Attributes
    ----------
    changed
        Emitted when objects, the current one, or what is known of them changed.
    status_message
        Emitted with a sentence for the user.
    failed
        Emitted with an error of the work.
    progressed
        Emitted with the progress of a propagation after each frame.
    ended
        Emitted with the reason in words when a layer it needs has gone; it is closed then.
    tool_changed
        Emitted when another tool works, or none: ``tools`` says which.
    warned
        Emitted with a sentence about what was left out; it holds until something works.
    edited
        Emitted when something asked for was done.
    show_each_frame
        Whether the viewer shows each frame as it is finished.
    autosave
        The session on disk.
    sync, review, tracks, names, propagation, companions
        The synchronization of layers and session; the review queue; the Tracks layer; names on the canvas;
        tracking; all layers that belong to the image.
    """

    changed = Signal()
    status_message = Signal(str)
    failed = Signal(object)
    progressed = Signal(object)
    ended = Signal(str)
    tool_changed = Signal()
    warned = Signal(str)
    edited = Signal()
    _must_end = Signal(str)

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        opened: OpenedSession,
        task_runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        session = opened.session
        self.stack, self.session = stack, session
        self.show_each_frame = False
        self._choice = ObjectChoice(session, self)
        self._viewer, self._task_runner = viewer, task_runner
        self._closed = False
        self.autosave = AutosaveStatus(opened, stack, self)
        self.review = ReviewModel(session, task_runner, self)
        self.propagation = Propagation(task_runner, self)
        self.companions = Companions(viewer, stack)
        earlier = self.companions.take_masks(stack)
        self.tracks = TrackView(viewer, stack, session, task_runner, self.companions, self)
        self.names = NameView(viewer, stack, session, self.companions, self)
        self.masks = MaskLayer(
            viewer, stack, lambda stroke: self.sync.paint(stroke), self.warned.emit, earlier
        )
        self.prompts = PromptLayers(
            viewer,
            stack,
            lambda: self.sync.read_soon(),
            self._begin_object,
            self._object_to_choose,
            self.select_object,
        )
        self.sync = LayerSync(
            viewer, stack, self.masks, self.prompts, self._choice.owner_of_new, session, task_runner, self
        )
        self.layers = (self.masks.layer, self.prompts.boxes, self.prompts.points)
        self.tools = Tools(
            viewer, self.prompts.points, self.prompts.boxes, self.masks.layer, self.tool_changed.emit
        )
        self._surface_clicks = SurfaceClicks(
            viewer, self.masks, self.prompts, self.tools, self.status_message.emit
        )
        self._transform_sync = TransformSync(stack, self.companions.all)
        for layer in self.layers:
            self.companions.add(layer)
        self._connect()
        if session.objects:
            self._show_what_is_known()
        else:  # the first click, box or stroke makes the first object: until then, nothing is written
            self.select_object(0)
        self.tools.use(Tool.CLICK)

    def _connect(self) -> None:
        self._choice.changed.connect(self._on_choice)
        self._choice.began.connect(self.sync.join)
        self._choice.failed.connect(self.failed)
        self._must_end.connect(self._end, Qt.ConnectionType.QueuedConnection)
        self.autosave.status_message.connect(self.status_message)
        self.sync.status_message.connect(self.warned)
        self.sync.changed.connect(self.edited)
        self.autosave.failed.connect(self.failed)
        for worker in (self.review, self.tracks, self.propagation, self.sync):
            worker.failed.connect(self._on_failure)
        self.propagation.stepped.connect(self._on_frame_propagated)
        self.propagation.ended.connect(self._on_propagated)
        self.sync.changed.connect(self._on_edited)
        self.masks.layer.events.selected_label.connect(self._on_label_picked)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self.stack.layer.events.data.connect(self._on_pixels_replaced)

    def _show_what_is_known(self) -> None:
        self.select_object(max(self.session.objects))
        self.edit(lambda _: None)

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """Stop all work and stop listening; the layers stay as they are.

        Clicks that wait, for a model to be loaded say, reach the session all the same.
        """
        if self._closed:
            return
        self.sync.read()
        self._closed = True
        self._task_runner.close()
        self.sync.close()
        self.review.close()
        self.tracks.close()
        self.names.close()
        self.companions.close()
        self._surface_clicks.close()
        self.tools.close()
        self._transform_sync.close()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.stack.layer.events.data.disconnect(self._on_pixels_replaced)
        self.masks.layer.events.selected_label.disconnect(self._on_label_picked)
        self.masks.close()
        self.prompts.close()
        if self.sync.busy:
            self._task_runner.run_last(self.autosave.close)
        else:
            self.autosave.close()

    @property
    def closed(self) -> bool:
        """Whether it has ended, and nothing comes of work that was asked for."""
        return self._closed

    @property
    def folder(self) -> SessionFolder | None:
        """Where the session is saved; None if it could not be, or nothing was done in it yet."""
        return self.autosave.folder

    def show_layers(self, shown: bool) -> None:
        """Show its layers and let the mouse place clicks, or hide them because another image is chosen."""
        self.companions.show(shown)
        if shown:
            self.tools.use(Tool.CLICK)

    def remove_layers(self) -> None:
        """Take its layers out of the viewer, of a closed annotation; the masks only with their image."""
        self.companions.remove(keep=self.masks.layer if self.stack.layer in self._viewer.layers else None)

    def _on_layer_removed(self, event: Any) -> None:
        for view in (self.tracks, self.names):
            if view.owns(event.value):
                view.show(False)
                self.changed.emit()
                return
        if event.value == self.stack.layer or event.value in self.layers:
            self.propagation.stop()
            # Not at once: whoever removes layers may be about to remove more.
            self._must_end.emit(f"Layer '{event.value.name}' was removed, so annotating has ended.")

    def _on_pixels_replaced(self, event: Any) -> None:
        self._must_end.emit(f"The pixels of '{self.stack.layer.name}' were replaced; choose it again.")

    def _end(self, reason: str) -> None:
        if not self._closed:
            unsaved = self.autosave.unsaved_reason
            if unsaved is not None:  # the masks are nowhere else
                self.companions.release(self.masks.layer)
                if self.masks.layer not in self._viewer.layers:
                    self._viewer.layers.append(self.masks.layer)
                reason = f"{reason} {unsaved} The masks stay in the layer '{self.masks.layer.name}'."
            self.close()
            self.remove_layers()
            self.ended.emit(reason)

    # ------------------------------------------------------------------ objects

    @property
    def current(self) -> int:
        """Id of the object that the next prompts belong to, 0 if there is none."""
        return self._choice.current

    @property
    def excluding(self) -> bool:
        """Whether the next clicks take away from it."""
        return self._choice.excluding

    def select_object(self, object_id: int) -> None:
        """Let the next prompts belong to an object, and add to it."""
        self._choice.select(object_id)

    def set_excluding(self, excluding: bool) -> None:
        """Let the next clicks take away from the current object, or add to it."""
        self._choice.set_excluding(excluding)

    def add_object(self) -> None:
        """Make an object, to which the next prompts belong; those of just now have their own."""
        self.sync.read()
        self._choice.make()

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks."""
        if object_id in self.session.objects:
            self.edit(lambda session: session.remove_object(object_id))

    def _begin_object(self) -> None:
        """Let the next prompt begin an object, which the current one is as long as nothing is known of it."""
        self.sync.read()
        prompted = {object_id for object_id, _ in self.prompts.read()}
        known = self.current in self.session.objects
        if not known or self.current in prompted or self._choice.is_known:
            self._choice.make_for_prompt()

    def _object_to_choose(self, frame: int, x: float, y: float) -> int:
        """Return the other object whose mask a click hits; 0 if the current one is only to begin there."""
        hit = self.masks.label_at(frame, x, y)
        others = self.session.objects.keys() - {self.current}
        return hit if self._choice.is_known and hit in others else 0

    def _on_choice(self) -> None:
        # The label goes first: with its colors, the layer says again which one is picked.
        self.masks.select(self.current or self.session.annotations.next_id)  # a stroke makes an object
        self._color_layers()
        self.prompts.set_next(self.current, self.excluding)
        self.changed.emit()

    def _color_layers(self) -> None:
        for view in (self.masks, self.prompts):
            view.color(self.session.objects.values())

    def _on_label_picked(self, event: Any) -> None:
        picked = int(self.masks.layer.selected_label)
        if picked != self.current and picked in self.session.objects:
            self.select_object(picked)

    # ------------------------------------------------------------------ edits

    def edit(self, act: Callable[[AnnotationSession], T], then: Callable[[T], None] = lambda _: None) -> None:
        """Change the session off the window's thread; all layers then show what it knows."""
        self.sync.edit(act, then)

    def undo(self) -> None:
        """Take the last action back, whatever it was."""
        self.propagation.interrupt()
        self.edit(lambda one: (one.undo_name, one.undo()), lambda done: self._report("Undone", *done))

    def redo(self) -> None:
        """Do again what was undone last."""
        self.propagation.interrupt()
        self.edit(lambda one: (one.redo_name, one.redo()), lambda done: self._report("Redone", *done))

    def _report(self, verb: str, what: str | None, changes: tuple[Change, ...]) -> None:
        self.status_message.emit(f"{verb}: {what}." if what else "There is nothing to undo or redo any more.")
        frames = {change.frame for change in changes if change.frame is not None}
        if frames and self.shown_frame not in frames:  # show what has changed
            self.stack.show_frame(self._viewer, min(frames, key=lambda one: abs(one - self.shown_frame)))

    def _on_edited(self) -> None:
        self._color_layers()
        self._choice.update()
        self._update_soon()
        self.changed.emit()

    def _update_soon(self) -> None:
        self.autosave.check()
        self.review.update_soon()
        self.tracks.update_soon()
        self.names.update_soon()

    # ------------------------------------------------------------------ review and identity

    @property
    def active_layer(self) -> str:
        """Name of the layer that the mouse works in."""
        active = self._viewer.layers.selection.active
        return "" if active is None else str(active.name)

    @property
    def shown_frame(self) -> int:
        """The frame that the viewer shows."""
        return self.stack.shown_frame(self._viewer)

    def verify(self, verified: bool) -> None:
        """Verify the current object's mask on the shown frame, or unverify it."""
        object_id, frame = self.current, self.shown_frame
        self.edit(lambda session: session.verify(object_id, [frame], verified))

    def propagate_from_shown(self) -> None:
        """Track the current object again, from the shown frame to the one before its next verified one."""
        self.propagate(Direction.FORWARD, from_shown=True, object_ids=(self.current,))

    def go_to(self, object_id: int, frame: int, canvas: tuple[int, int] | None = None) -> None:
        """Choose an object and show a frame; given the canvas's size in pixels, center and zoom on it."""
        if object_id in self.session.objects:
            self.select_object(object_id)
        self.stack.show_frame(self._viewer, frame)
        accepted = self.session.accepted(object_id, frame)
        if canvas is not None and accepted is not None and not accepted.mask.is_empty:
            rows, columns = accepted.mask.box
            self.stack.zoom_to(self._viewer, (columns.start, rows.start, columns.stop, rows.stop), canvas)

    def run_steps(
        self,
        steps: Iterable[T],
        on_step: Callable[[T], None],
        then: Callable[[int], None],
        failed: Callable[[BaseException], None],
        cancel: CancelToken | None = None,
        priority: Priority = Priority.BACKGROUND,
    ) -> None:
        """Do long work off the window's thread; what a person asked for, after what was asked for before."""
        if priority is Priority.BACKGROUND:  # else it comes by itself, perhaps while a lasso is being drawn
            self.sync.read()
        self._task_runner.run_steps(
            steps, on_step=on_step, then=then, failed=failed, cancel=cancel, priority=priority
        )

    # ------------------------------------------------------------------ propagation

    def propagate(
        self, direction: Direction, from_shown: bool = False, object_ids: tuple[int, ...] | None = None
    ) -> None:
        """Track objects; masks appear frame by frame.

        Parameters
        ----------
        direction
            To the end of the stack, to its beginning, or both.
        from_shown
            Begin at the shown frame, not at the first prompts (backwards alone: the last), and end before
            each object's next verified frame.
        object_ids
            Which objects; None for all.
        """
        if self.propagation.running:
            return
        self.sync.read()  # a click of just now counts
        start = self.stack.shown_frame(self._viewer) if from_shown else None
        self.propagation.start(self.session, self.sync.stale_frames.label_image, direction, start, object_ids)
        self.changed.emit()

    def resume(self) -> None:
        """Continue where it was stopped; else track what is missing."""
        if not self.propagation.running:
            self.sync.read()
            self.propagation.resume(self.session, self.sync.stale_frames.label_image)
            self.changed.emit()

    def _on_frame_propagated(self, labeled: LabeledFrame, progress: Progress) -> None:
        self.masks.write(*labeled)
        self._update_soon()
        if self.show_each_frame:
            self.stack.show_frame(self._viewer, labeled[0])
        self.progressed.emit(progress)

    def _on_propagated(self, sentence: str) -> None:
        self.status_message.emit(sentence)
        if self.propagation.exchanged:
            self.sync.show_all()
        self._update_soon()
        self.changed.emit()

    def _on_failure(self, error: BaseException) -> None:
        self.failed.emit(error)
        self.changed.emit()
