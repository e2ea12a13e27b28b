"""Changes of what masks are computed by: another model, other intensities, another device."""

from collections.abc import Iterator

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.propagation import LabeledFrame
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.wording import counted

__all__ = ["drop_engine", "use_model", "use_window"]


def use_model(annotation: AnnotationController, model: str) -> None:
    """Go on with another model; of what was clicked on one frame only, the mask is made anew at once."""
    annotation.propagation.stop()
    annotation.edit(lambda session: session.use_model(model), lambda _: _repredict(annotation))


def use_window(annotation: AnnotationController, window: IntensityWindow) -> None:
    """Let the model see other intensities; masks of clicks on one frame only are made anew at once."""
    annotation.propagation.stop()
    annotation.edit(
        lambda session: session.set_window(window),
        lambda _: annotation.status_message.emit(
            "The model sees the new contrast; track again for the other masks."
        ),
    )


def drop_engine(annotation: AnnotationController) -> None:
    """Drop a model that is about to run elsewhere; what is known of the objects stays."""
    annotation.edit(lambda session: session.drop_engine())


def _repredict(annotation: AnnotationController) -> None:
    """Make masks of clicks on one frame only anew, frame by frame on the worker's thread."""
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
