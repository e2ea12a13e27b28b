"""Videos: labeled rectangles are followed, and come back as sequences of keyframes."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track
from labelstudio_backend.schema.labeling_config import Target
from labelstudio_backend.schema.regions import Region
from labelstudio_backend.schema.sequences import sequence_of
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.request_options import RequestOptions
from labelstudio_backend.tasks.track_scheduler import TrackScheduler, VideoKey
from labelstudio_backend.tasks.track_storage import TrackStore
from labelstudio_backend.tasks.video_tracking import VideoTrack, VideoTracking
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["VideoTasks", "labeled_tracks", "tracks_held"]

_NOTE = "SAM 2 "
_HELD = ("drafts", "annotations", "predictions")
Answer = tuple[list[Region], float]


class VideoTasks:
    """Answers for videos; what is not finished in time goes on in the background.

    Parameters
    ----------
    settings
        Caps, and the data folder.
    store, media, features
        Of the process.
    """

    def __init__(
        self, settings: Settings, store: ModelStore, media: MediaLibrary, features: FeatureCache
    ) -> None:
        self.videos = TrackScheduler(settings.max_sessions, settings.track_bytes)
        self._kept = TrackStore(settings.state_folder, settings.kept_track_bytes, store, features)
        self._media = media

    @property
    def gauges(self) -> dict[str, float]:
        """What is open, on its way and on disk, by the names of metrics."""
        folders = self._kept.folders
        return {
            "sam2_videos": len(self.videos),
            "sam2_video_bytes": self.videos.num_bytes,
            "sam2_background_videos": self.videos.pending,
            "sam2_kept_track_bytes": folders.num_bytes if folders else 0,
            "sam2_evicted_tracks_total": folders.evicted if folders else 0,
        }

    def close(self) -> None:
        """Stop following, and close all videos."""
        self.videos.close()

    def answer(
        self, task: Mapping[str, Any], target: Target, regions: Sequence[object], order: RequestOptions
    ) -> Answer:
        """Follow the rectangles of a request, and return them as far as they are at its deadline.

        Rectangles without a label are followed no further; without any other, no media is read.

        Raises
        ------
        InputError
            If a keyframe, a label or the media cannot be used.
        """
        tracks = labeled_tracks(regions)
        if not tracks:
            ids = [str(region.get("id")) for region in regions if isinstance(region, Mapping)]
            for video in self.videos.find(_project(task, order), task.get("id")):
                video.drop(ids)
            return [], 0.0
        return self._follow(task, target, tracks, order, order.deadline)

    def pre_annotate(self, task: Mapping[str, Any], target: Target, order: RequestOptions) -> Answer | None:
        """Follow the rectangles that a task holds, to their end however long it takes.

        Returns
        -------
        The same rectangles as sequences; None if the task holds none, or the server is closing.

        Raises
        ------
        InputError
            As :meth:`answer`; or if a frame cannot be read.
        """
        tracks = tracks_held(task, target)
        if not tracks:
            return None
        answer = self._follow(task, target, tracks, order, math.inf)
        return None if self.videos.closed else answer

    def _follow(
        self,
        task: Mapping[str, Any],
        target: Target,
        tracks: Sequence[Track],
        order: RequestOptions,
        deadline: float,
    ) -> Answer:
        for track in tracks:
            target.control_for(track.label)
        rate, address = target.media.frames_per_second(task["data"]), target.media.source(task["data"])
        key = VideoKey(_project(task, order), task.get("id"), address, order.model)
        with self.videos.using(key, partial(self._open, key), deadline) as video:
            clock = FrameClock.of(video.session.frames, rate)
            with video.asked(tracks, clock, order.parameters.direction) as followed:
                self.videos.wait(video, lambda: video.is_done(followed), deadline)
                return _answer(video, list(zip(tracks, followed)), clock, order)

    def _open(self, key: VideoKey) -> VideoTracking:
        return self._kept.open(key, self._media.video(key.address))


def labeled_tracks(regions: Sequence[object]) -> list[Track]:
    """Return the rectangles that are to be followed: those that carry a label.

    Without any there is nothing to do: that is what the page sends when a label is taken away, and after
    an annotation was submitted.

    Raises
    ------
    InputError
        If a labeled rectangle has no usable keyframe.
    """
    return [Track.of(region) for region in regions if _labeled(region)]


def tracks_held(task: Mapping[str, Any], target: Target) -> list[Track]:
    """Return the labeled rectangles of a task that nobody is looking at.

    A person's newest draft goes before the newest annotation, and that before the newest prediction;
    cancelled annotations count for nothing.

    Raises
    ------
    InputError
        As :func:`labeled_tracks`.
    """
    names = {control.name for control in target.controls}
    for kind in _HELD:
        held = task.get(kind)
        usable = [
            one
            for one in (held if isinstance(held, list) else ())
            if isinstance(one, Mapping)
            and isinstance(one.get("result"), list)
            and not one.get("was_cancelled")
        ]
        for one in sorted(usable, key=lambda one: str(one.get("updated_at")), reverse=True):
            found = [r for r in one["result"] if _labeled(r) and r.get("from_name") in names]
            if tracks := labeled_tracks(found):
                return tracks
    return []


def _project(task: Mapping[str, Any], order: RequestOptions) -> object:
    """Return the project's number: the task tells it, and the request's name for it begins with it."""
    found = task.get("project")
    return found if isinstance(found, int | str) else order.project.split(".")[0]


def _labeled(region: object) -> TypeGuard[Region]:
    if not isinstance(region, dict) or region.get("type") != "videorectangle":
        return False
    value = region.get("value")
    labels = value.get("labels") if isinstance(value, dict) else None
    return isinstance(labels, list) and bool(labels)


def _answer(
    video: VideoTracking,
    followed: Sequence[tuple[Track, VideoTrack]],
    clock: FrameClock,
    order: RequestOptions,
) -> Answer:
    """Return the regions as far as they are followed.

    Raises
    ------
    InputError
        If following them failed before the first frame.
    """
    trouble, regions, scores = video.save_error, [], []
    if trouble is not None and not (isinstance(trouble, InputError) and any(f.boxes for _, f in followed)):
        raise trouble
    for track, one in followed:
        boxes, score, whole = video.state_of(one)
        items = sequence_of(track, boxes, clock, video.session.shape, order.parameters.tolerance)
        note = None if whole else _note(one, boxes, clock, trouble)
        regions.append(_with_note(track.region, items, score, note))
        scores.append(score)
    return regions, sum(scores) / len(scores)


def _note(one: VideoTrack, boxes: Mapping[int, object], clock: FrameClock, trouble: Exception | None) -> str:
    """Return in a sentence how far a track is."""
    last = clock.page_frame(max(boxes)) if boxes else 0
    first = clock.page_frame(min(boxes)) if boxes else 0
    way = f"frames {first} to {last}" if one.direction != "forward" else f"frame {last}"
    if trouble is not None:
        return f"{_NOTE}stopped at {way} of {clock.page_frames}: {trouble}"
    more = "choose another label and then its own to see more"
    return f"{_NOTE}reached {way} of {clock.page_frames} and goes on; {more}."


def _with_note(region: Region, items: list[dict[str, Any]], score: float, note: str | None) -> Region:
    """Return the region with a new sequence, and with a note that takes the place of an earlier one."""
    answer = {**region, "value": {**region["value"], "sequence": items}, "score": score}
    found = region.get("meta")
    meta = found if isinstance(found, dict) else {}
    text = meta.get("text")
    lines = text if isinstance(text, list) else [text] if text else []
    kept = [line for line in lines if not str(line).startswith(_NOTE)]
    if note or len(kept) < len(lines):
        answer["meta"] = {**meta, "text": [*kept, note] if note else kept}
    return answer
