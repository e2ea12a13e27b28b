"""Predictions for a video on which nothing was drawn: everything in it, found and tracked, as rectangles."""

from contextlib import closing
from typing import Any

from labelstudio_backend.media.library import MediaFile
from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track, model_item
from labelstudio_backend.schema.labeling_config import Target
from labelstudio_backend.schema.project_parameters import ProjectParameters
from labelstudio_backend.schema.regions import (
    PixelBox,
    Region,
    ScoredRegions,
    object_bounds,
    rectangle_from_box,
)
from labelstudio_backend.schema.sequences import sequence_of
from labelstudio_backend.tasks.doubts import scores_in_session, task_score
from labelstudio_backend.tasks.image_preannotation import automatic_control
from sam2_engine.frames.video_frames import VideoFrames
from sam2_plugins.everything.run import track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["everything_in_video"]


def everything_in_video(
    media: MediaFile,
    rate: float,
    store: ModelStore,
    model: str,
    target: Target,
    parameters: ProjectParameters,
) -> ScoredRegions:
    """Return a rectangle with its keyframes for every object in a video, and the least of their scores.

    Parameters
    ----------
    media, rate
        The file, and frames per second of the page.
    store, model
        What finds and tracks.
    target, parameters
        The labeling configuration's video, and what the project wants.

    Raises
    ------
    InputError
        If the video cannot be read, or no control tag accepts the label.
    """
    control, labels = automatic_control(target, parameters)
    settings = EverythingSettings(
        parameters.confidence, parameters.min_area, parameters.max_objects, parameters.points_per_side
    )
    with closing(VideoFrames(media.path)) as frames:
        session = AnnotationSession(frames, store, model, history=None, undo_bytes=0)
        found = track_everything(session, settings).object_ids
        clock = FrameClock.of(frames, rate)
        head = {"from_name": control.name, "to_name": target.media.name, "type": "videorectangle"}
        scores = scores_in_session(session)
        regions = [
            {**region, "score": scores[object_id]}
            for object_id in found
            if (region := _region(session, object_id, clock, parameters, head, labels)) is not None
        ]
    return regions, task_score(region["score"] for region in regions)


def _region(
    session: AnnotationSession,
    object_id: int,
    clock: FrameClock,
    parameters: ProjectParameters,
    head: dict[str, Any],
    labels: tuple[str, ...],
) -> Region | None:
    """Return an object as a region; None if no mask of it has a box."""
    boxes: dict[int, PixelBox | None] = dict.fromkeys(range(len(session)))
    for frame in session.frames_of(object_id):
        mask = session.mask(object_id, frame)
        if mask is not None and (box := object_bounds(mask)) is not None:
            boxes[frame] = box
    first = next((frame for frame, box in boxes.items() if box is not None), None)
    if first is None:
        return None
    box, page_frame = boxes[first], clock.page_frame(first)
    assert box is not None
    item = model_item(
        page_frame, clock.seconds(page_frame), rectangle_from_box(box, session.shape), enabled=True
    )
    value = {"framesCount": clock.page_frames, "duration": clock.duration, "labels": list(labels)}
    region: Region = {
        "id": f"everything-{object_id}",
        **head,
        "value": {**value, "sequence": [item]},
    }
    items = sequence_of(Track.of(region), boxes, clock, session.shape, parameters.keyframe_tolerance)
    return {**region, "value": {**value, "sequence": items}}
