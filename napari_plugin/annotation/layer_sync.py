"""The synchronization of layers and session, in both directions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from napari import Viewer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_plugin.annotation.painting import apply_lasso, apply_stroke
from napari_plugin.annotation.prompt_sync import PromptSync
from napari_plugin.annotation.propagation import LabeledFrame
from napari_plugin.annotation.stale_frames import StaleFrames, prompts_in
from napari_plugin.layers import (
    BrushStroke,
    ImageStack,
    Lasso,
    MaskLayer,
    PromptKey,
    PromptLayers,
)
from napari_plugin.runtime.workers import TaskRunner
from sam2_engine.prompts import Prompt
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import UndoGroup

__all__ = ["LayerSync"]

T = TypeVar("T")


class LayerSync(QObject):
    """What is new in the prompt layers goes to the session; what is new in the session, into the layers.

    Called in the window's thread; the session is only changed on the worker's, in the order of the calls.

    Parameters
    ----------
    viewer, stack, masks, prompts
        The layers, and where they lie.
    owner
        Returns the object that prompts without a known one belong to.
    session, task_runner
        What is changed, and where.

    Attributes
    ----------
    changed
        Emitted when the session has changed and the layers show it, or are about to.
    status_message, failed
        Emitted with a sentence, or an error, for the user.
    stale_frames
        Knows which frames are out of date.
    """

    changed = Signal()
    status_message = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        masks: MaskLayer,
        prompts: PromptLayers,
        owner: Callable[[], int],
        session: AnnotationSession,
        task_runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._stack, self._masks, self._prompts = viewer, stack, masks, prompts
        self._owner = owner
        self._session, self._task_runner = session, task_runner
        self._sync, self.stale_frames = PromptSync(session), StaleFrames(session)
        self._edits = 0
        self._read_timer = QTimer(self)  # at once, but after the events at hand
        self._read_timer.setSingleShot(True)
        self._read_timer.setInterval(0)
        self._read_timer.timeout.connect(self.read)

    def join(self, object_id: int, undo_group: UndoGroup) -> None:
        """Let the next click or box of an object be undone together with what was done in a group."""
        self._sync.join(object_id, undo_group)

    def close(self) -> None:
        """Do nothing any more."""
        self._read_timer.stop()

    # ------------------------------------------------------------------ layers -> session

    @property
    def busy(self) -> bool:
        """Whether clicks or edits wait for the session."""
        return self._edits > 0 or self._sync.busy

    def read_soon(self) -> None:
        """Read the prompt layers when the events at hand are dealt with."""
        self._read_timer.start()

    def read(self) -> None:
        """Bring the session what is new in the prompt layers, unless it is being edited: then afterwards."""
        self._read_timer.stop()
        if self._edits:
            return
        lassos = self._prompts.take_lassos()
        for sentence in self._prompts.drop_unusable():
            self.status_message.emit(sentence)
        wanted = self._prompts.read()
        if any(object_id not in self._session.objects for object_id, _ in wanted):
            owner = self._owner()
            self._prompts.adopt(set(self._session.objects), owner)
            wanted = self._prompts.read()
        for key in self._sync.want(wanted):
            self._apply_prompts(key)
        for lasso in lassos:
            self._apply_lasso(lasso)

    def _apply_lasso(self, lasso: Lasso) -> None:
        object_id = lasso.object_id if lasso.object_id in self._session.objects else self._owner()
        owned, excluding = replace(lasso, object_id=object_id), self._prompts.excluding
        self.edit(lambda session: apply_lasso(session, owned, excluding))

    def _apply_prompts(self, key: PromptKey) -> None:
        sync, stale_frames, frame = self._sync, self.stale_frames, key[1]

        def compute() -> LabeledFrame | None:
            return (frame, stale_frames.label_image(frame)) if sync.apply(key) else None

        def show(labeled: LabeledFrame | None) -> None:
            if labeled is not None:
                self._masks.write(*labeled)
                self.changed.emit()

        def refused(error: BaseException) -> None:
            self._restore({key})
            self.failed.emit(error)

        self._task_runner.run(compute, then=show, failed=refused)

    def paint(self, stroke: BrushStroke) -> None:
        """Bring the session what was painted in the Labels layer."""
        stale_frames = self.stale_frames

        def act(session: AnnotationSession) -> None:
            for frame in set(stroke.frames.tolist()):
                stale_frames.mark(frame)
            apply_stroke(session, stroke)

        self.edit(act)

    # ------------------------------------------------------------------ session -> layers

    def edit(
        self,
        act: Callable[[AnnotationSession], T],
        then: Callable[[T], None] = lambda _: None,
    ) -> None:
        """Change the session, and let all layers show what it knows after that.

        Parameters
        ----------
        act
            Called with the session on the worker's thread, after the clicks of just now.
        then
            Called with its result in the window's.
        """
        self.read()
        self._edits += 1
        session = self._session

        def done(result: T) -> None:
            end()
            then(result)
            self.changed.emit()

        def failed(error: BaseException) -> None:
            end()
            self.failed.emit(error)

        def end() -> None:
            self._edits -= 1
            held = prompts_in(session)
            wanted = self._sync.wanted()
            self._restore({key for key in {*held, *wanted} if held.get(key) != wanted.get(key)})
            self.show_all()
            self._read_timer.start()

        self._task_runner.run(lambda: act(session), then=done, failed=failed)

    def show_all(self) -> None:
        """Draw every frame anew of which something else is shown than the session holds."""
        stale_frames, near = self.stale_frames, self._stack.shown_frame(self._viewer)

        def frames() -> Iterator[LabeledFrame]:
            for frame in stale_frames.stale(near):
                yield frame, stale_frames.label_image(frame)

        self._task_runner.run_steps(
            frames(),
            on_step=lambda labeled: self._masks.write(*labeled),
            then=lambda _: None,
            failed=self.failed.emit,
            priority=Priority.VISIBLE,
        )

    def _restore(self, keys: Iterable[PromptKey]) -> None:
        """Let the prompt layers hold what the session knows; clicks of just now stay and are read next."""
        held, wanted, there = prompts_in(self._session), self._sync.wanted(), self._prompts.read()
        shown: dict[PromptKey, Prompt] = {}
        for key in keys:
            newer = there.get(key, Prompt()).since(wanted.get(key, Prompt())) or Prompt()
            shown[key] = Prompt.combined((held.get(key, Prompt()), newer))
        self._sync.settle(shown, held)
        self._prompts.replace({key: after for key, after in shown.items() if after != there.get(key)})
