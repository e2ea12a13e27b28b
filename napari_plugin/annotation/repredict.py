"""Masks of clicks on one frame only, made anew after a change of model."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_plugin.annotation.propagation import LabeledFrame
from sam2_engine.wording import counted

if TYPE_CHECKING:
    from napari_plugin.annotation.controller import AnnotationController

__all__ = ["repredict"]


def repredict(annotation: "AnnotationController") -> None:
    """Make them anew, frame by frame on the worker's thread."""
    session, stale_frames = annotation.session, annotation.sync.stale_frames

    def steps() -> Iterator[LabeledFrame]:
        for result in session.iter_repredict(session.single_frame_prompts()):
            yield result.frame, stale_frames.label_image(result.frame)

    def repredicted(count: int) -> None:
        others = f"{counted(count, 'clicked mask')} made anew; track" if count else "Track"
        annotation.status_message.emit(
            f"{session.model_name} computes from now on. {others} again for the others."
        )
        annotation.sync.changed.emit()

    annotation.run_steps(
        steps(),
        on_step=lambda labeled: annotation.masks.write(*labeled),
        then=repredicted,
        failed=annotation.failed.emit,
    )
