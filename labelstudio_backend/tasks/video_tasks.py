"""Predictions for videos: labeled rectangles, tracked, as sequences of keyframes."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard, TypeVar

from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.schema.answers import answers_about
from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track
from labelstudio_backend.schema.labeling_config import Target
from labelstudio_backend.schema.regions import Region, ScoredRegions
from labelstudio_backend.schema.sequences import sequence_of
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.doubts import task_score
from labelstudio_backend.tasks.lanes import Lane, Ticket
from labelstudio_backend.tasks.request_options import RequestOptions
from labelstudio_backend.tasks.track_scheduler import TrackScheduler, VideoKey
from labelstudio_backend.tasks.track_storage import TrackStore
from labelstudio_backend.tasks.video_preannotation import everything_in_video
from labelstudio_backend.tasks.video_tracking import VideoTrack, VideoTracking, box_prompts
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.wording import in_ranges
from sam2_plugins.runtime.model_store import ModelStore

__all__ = ["VideoTasks", "labeled_tracks", "stored_tracks"]

_MESSAGE_PREFIX = "SAM 2 "
_STORED = ("drafts", "annotations", "predictions")
_AGAIN = {True: "click its label twice", False: "choose another label and then its own"}
"""How a track is asked for again, where a region's only label may be taken away and where it may not."""
_log = logging.getLogger(__name__)

_Entry = TypeVar("_Entry", Region, Track)
_Refusal = tuple[Region, InputError]
"""A region that cannot be tracked, and why."""


class VideoTasks:
    """Tasks that show videos; tracks that are not finished in time go on in the background.

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
        self._opening = Lane(max(1, settings.threads // 2))
        self.scheduler = TrackScheduler(settings.max_sessions, settings.track_bytes)
        self._track_store = TrackStore(settings.state_folder, settings.kept_track_bytes, store, features)
        self._media = media
        self._store = store

    @property
    def gauges(self) -> dict[str, float]:
        """What is open, being tracked and on disk, by the names of metrics."""
        eviction = self._track_store.eviction
        return {
            "sam2_videos": len(self.scheduler),
            "sam2_video_bytes": self.scheduler.num_bytes,
            "sam2_background_videos": self.scheduler.pending,
            "sam2_kept_track_bytes": eviction.num_bytes if eviction else 0,
            "sam2_evicted_tracks_total": eviction.evicted if eviction else 0,
        }

    def close(self) -> None:
        """Stop tracking, and close all videos."""
        self.scheduler.close()

    def predict_interactive(
        self, task: Mapping[str, Any], target: Target, regions: Sequence[object], options: RequestOptions
    ) -> ScoredRegions:
        """Track the rectangles of a request, and return them as far as they are at its deadline.

        Rectangles without a label are not tracked any further; without any other, no media is read. Label
        Studio shows no error of a backend, so what cannot be tracked comes back as it was, with a note on it.

        Raises
        ------
        SupersededError
            If a newer request took over before the video was open.
        """
        drawn = [region for region in regions if _is_labeled(region)]
        if not drawn:
            ids = [str(region.get("id")) for region in regions if isinstance(region, Mapping)]
            for video in self.scheduler.find(_project(task, options), task.get("id")):
                video.stop(ids)
            return [], 0.0
        refused: list[_Refusal] = []
        tracks = list(_usable(drawn, Track.of, refused))
        try:
            tracked, score = self._track(task, target, tracks, options, options.ticket, refused)
        except InputError as error:
            _log.warning("task=%s not tracked: %s", task.get("id"), error)
            known = [id(region) for region, _ in refused]
            refused += [(track.region, error) for track in tracks if id(track.region) not in known]
            tracked, score = [], 0.0
        noted = [
            _with_message(region, f"{_MESSAGE_PREFIX}did not track this: {why}") for region, why in refused
        ]
        order = [region.get("id") for region in drawn]
        return sorted([*tracked, *noted], key=lambda region: order.index(region.get("id"))), score

    def predict_batch(
        self, task: Mapping[str, Any], target: Target, options: RequestOptions
    ) -> ScoredRegions | None:
        """Track the rectangles that a task holds, to their end however long it takes.

        Returns
        -------
        The same rectangles as sequences; if the task holds none, everything in the video where the project
        always wants automatic masks, else None; None if the server is closing.

        Raises
        ------
        InputError
            As :meth:`predict_interactive`; or if a frame cannot be read.
        """
        results = _stored_results(task, target)
        if not results and options.parameters.batch != "always":
            return None
        if not results:
            media = self._media.video(target.media.source(task))
            rate = target.media.frames_per_second(task["data"])
            parameters = options.parameters
            return everything_in_video(media, rate, self._store, options.model, target, parameters)
        regions, score = self._track(task, target, _tracks_of(results, target), options, Ticket())
        answers = answers_about(results, [region.get("id") for region in regions])
        return None if self.scheduler.closed else ([*regions, *answers], score)

    def _track(
        self,
        task: Mapping[str, Any],
        target: Target,
        tracks: Sequence[Track],
        options: RequestOptions,
        ticket: Ticket,
        refused: list[_Refusal] | None = None,
    ) -> ScoredRegions:
        """Track rectangles; those that cannot be are added to ``refused``, where that is given."""

        def check_label(track: Track) -> Track:
            target.control_for(track.label)
            return track

        tracks = list(_usable(tracks, check_label, refused))
        if not tracks:
            return [], 0.0
        rate, address = target.media.frames_per_second(task["data"]), target.media.source(task)
        key = VideoKey(_project(task, options), task.get("id"), address, options.model)
        with self.scheduler.use(key, partial(self._open, key, ticket), ticket) as video:
            clock = FrameClock.of(video.session.frames, rate)

            def check_boxes(track: Track) -> Track:
                box_prompts(track, clock, video.session.shape)
                return track

            tracks = list(_usable(tracks, check_boxes, refused))
            with video.request(tracks, clock, options.parameters.direction) as video_tracks:
                self.scheduler.wait(video, lambda: video.is_done(video_tracks), ticket)
                return _scored_regions(video, list(zip(tracks, video_tracks)), clock, target, options)

    def _open(self, key: VideoKey, ticket: Ticket) -> VideoTracking:
        with self._opening.place(ticket):
            return self._track_store.open(key, self._media.video(key.address))


def labeled_tracks(regions: Sequence[object]) -> list[Track]:
    """Return the rectangles that are to be tracked: those that carry a label.

    Without any there is nothing to do: that is what the page sends when a label is removed, and after an
    annotation was submitted.

    Raises
    ------
    InputError
        If a labeled rectangle has no usable keyframe.
    """
    return [Track.of(region) for region in regions if _is_labeled(region)]


def stored_tracks(task: Mapping[str, Any], target: Target) -> list[Track]:
    """Return the labeled rectangles that a task holds.

    A person's newest draft goes before the newest annotation, and that before the newest prediction;
    cancelled annotations count for nothing.

    Raises
    ------
    InputError
        As :func:`labeled_tracks`.
    """
    return _tracks_of(_stored_results(task, target), target)


def _tracks_of(results: Sequence[object], target: Target) -> list[Track]:
    names = {control.name for control in target.controls}
    return labeled_tracks([r for r in results if _is_labeled(r) and r.get("from_name") in names])


def _stored_results(task: Mapping[str, Any], target: Target) -> list[object]:
    """Return the results among which are the labeled rectangles that a task holds; none if it holds none."""
    for kind in _STORED:
        entries = task.get(kind)
        usable = [
            one
            for one in (entries if isinstance(entries, list) else ())
            if isinstance(one, Mapping)
            and isinstance(one.get("result"), list)
            and not one.get("was_cancelled")
        ]
        for one in sorted(usable, key=lambda one: str(one.get("updated_at")), reverse=True):
            results: list[object] = one["result"]
            if _tracks_of(results, target):
                return results
    return []


def _project(task: Mapping[str, Any], options: RequestOptions) -> object:
    """Return the project's id: the task has it, and the request's name for the project begins with it."""
    found = task.get("project")
    return found if isinstance(found, int | str) else options.project.split(".")[0]


def _is_labeled(region: object) -> TypeGuard[Region]:
    if not isinstance(region, dict) or region.get("type") != "videorectangle":
        return False
    value = region.get("value")
    labels = value.get("labels") if isinstance(value, dict) else None
    return isinstance(labels, list) and bool(labels)


def _scored_regions(
    video: VideoTracking,
    video_tracks: Sequence[tuple[Track, VideoTrack]],
    clock: FrameClock,
    target: Target,
    options: RequestOptions,
) -> ScoredRegions:
    """Return the regions as far as they are tracked.

    Raises
    ------
    InputError
        If tracking them failed before the first frame.
    """
    error, regions, scores = video.error, [], []
    has_boxes = any(video_track.boxes for _, video_track in video_tracks)
    if error is not None and not (isinstance(error, InputError) and has_boxes):
        raise error
    known = video.scores()
    for track, video_track in video_tracks:
        boxes, is_complete = video.progress_of(video_track)
        score = known.get(video_track.region_id, 0.0)
        items = sequence_of(track, boxes, clock, video.session.shape, options.parameters.keyframe_tolerance)
        if is_complete:
            message = _passed_over(video.unreadable, clock)
        else:
            again = _AGAIN[target.control_for(track.label).allow_empty]
            message = _progress_message(video_track, boxes, clock, error, again)
        regions.append(_with_sequence(track.region, items, score, message))
        scores.append(score)
    return regions, task_score(scores)


def _usable(
    entries: Iterable[_Entry], read: Callable[[_Entry], Track], refused: list[_Refusal] | None
) -> Iterator[Track]:
    """Yield the tracks that can be read; the others are added to ``refused``, or raise where that is None."""
    for entry in entries:
        try:
            yield read(entry)
        except InputError as error:
            if refused is None:
                raise
            refused.append((entry.region if isinstance(entry, Track) else entry, error))


def _progress_message(
    track: VideoTrack, boxes: Mapping[int, object], clock: FrameClock, error: Exception | None, again: str
) -> str:
    """Return a sentence for people on how far a track is."""
    last = clock.page_frame(max(boxes)) if boxes else 0
    first = clock.page_frame(min(boxes)) if boxes else 0
    reached = f"frames {first} to {last}" if track.direction != "forward" else f"frame {last}"
    if error is not None:
        return f"{_MESSAGE_PREFIX}stopped at {reached} of {clock.page_frames}: {error}"
    return f"{_MESSAGE_PREFIX}reached {reached} of {clock.page_frames} and goes on; {again} to see more."


def _passed_over(problems: Mapping[int, str], clock: FrameClock) -> str | None:
    """Return a sentence on frames that could not be read; None if all could."""
    if not problems:
        return None
    frames = in_ranges({clock.page_frame(frame) for frame in problems})
    return f"{_MESSAGE_PREFIX}passed over what cannot be read (frame {frames}): {problems[min(problems)]}"


def _with_sequence(region: Region, items: list[dict[str, Any]], score: float, message: str | None) -> Region:
    """Return the region with a new sequence, and with a message in place of an earlier one."""
    tracked = {**region, "value": {**region["value"], "sequence": items}, "score": score}
    return _with_message(tracked, message)


def _with_message(region: Region, message: str | None) -> Region:
    """Return the region with a message for people (``meta``) in place of an earlier one of ours."""
    found = region.get("meta")
    meta = found if isinstance(found, dict) else {}
    text = meta.get("text")
    lines = text if isinstance(text, list) else [text] if text else []
    other_lines = [line for line in lines if not str(line).startswith(_MESSAGE_PREFIX)]
    if message or len(other_lines) < len(lines):
        return {**region, "meta": {**meta, "text": [*other_lines, message] if message else other_lines}}
    return region
