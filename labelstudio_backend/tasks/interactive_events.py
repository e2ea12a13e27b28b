"""Answers to the events of Label Studio's interactive tools: abilities, masks, and growing tracks."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from labelstudio_backend.media.library import MediaFile, MediaLibrary
from labelstudio_backend.schema.event_messages import (
    CAPABILITIES,
    EventMessages,
    direction_of,
    frame_of,
    most_frames,
    number_of,
    prompt_of,
)
from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.labeling_config import LabelingConfig
from labelstudio_backend.schema.regions import Region
from labelstudio_backend.tasks.event_tracks import EventTrack, EventTracks
from labelstudio_backend.tasks.image_tasks import ImageTasks
from labelstudio_backend.tasks.request_options import RequestOptions
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import open_frames
from sam2_engine.prompts import Prompt
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["InteractiveEvents"]

_MOST_TRACKS = 4
_MOST_VIDEOS = 4
_WINDOW = 20

VideoKey = tuple[object, str, str]
"""Task, address, model."""


@dataclass(eq=False)
class _OpenVideo:
    session: AnnotationSession
    media: MediaFile  # its file lives as long as it is referenced
    clock: FrameClock
    users: int = 0
    warm: set[int] = field(default_factory=set)


class InteractiveEvents:
    """The event protocol over one process's models and media.

    Parameters
    ----------
    store, media, features
        Those of the process.
    images
        Opens images, whose decoded pixels and features it keeps.
    """

    def __init__(
        self, store: ModelStore, media: MediaLibrary, features: FeatureCache, images: ImageTasks
    ) -> None:
        self._store = store
        self._media = media
        self._features = features
        self._images = images
        self._videos: OrderedDict[VideoKey, _OpenVideo] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._warming = ThreadPoolExecutor(1, "event-prewarm")
        self.tracks = EventTracks(_MOST_TRACKS)

    def close(self) -> None:
        """Stop all tracks and close all videos."""
        self.tracks.close()
        self._warming.shutdown(cancel_futures=True)
        with self._lock:
            for video in self._videos.values():
                video.session.frames.close()
            self._videos.clear()

    def capabilities(self, options: RequestOptions) -> list[Region]:
        """Return what the page may ask for; it needs no task."""
        value = {**CAPABILITIES, "model_info": {"name": "SAM 2", "version": options.model_version}}
        return [{"id": "capabilities", "type": "capabilities", "origin": "manual", "value": value}]

    def answer(
        self,
        event: str,
        task: Mapping[str, Any],
        config: LabelingConfig,
        context: Mapping[str, Any],
        options: RequestOptions,
    ) -> list[Region]:
        """Return the ``result`` that an event asks for.

        Raises
        ------
        InputError
            If the media, a prompt or a number of the context cannot be used.
        """
        messages = EventMessages.of(config)
        task_id = task.get("id")
        if event == "track_progress":
            return messages.message(event, self.tracks.progress(task_id, context.get("session_id")))
        if event == "track_cancel":
            found = self.tracks.cancel(task_id, context.get("session_id"))
            return messages.message("track_cancel_ack", {"status": "cancelled" if found else "not_found"})
        if event == "release":
            self._release(task_id)
            return messages.message("release_ack", {"status": "released"})
        if messages.media.kind == "Image":
            return self._answer_image(event, task, messages, context, options)
        with ExitStack() as held:
            video = held.enter_context(self._video(task, messages, options))
            if event == "prewarm":
                return messages.message("prewarm_ack", self._prewarm(video, context))
            if event == "track":
                return self._track(video, held, task_id, messages, context)
            frame, prompt = frame_of(context, video.clock), prompt_of(context, video.session.shape)
            return [] if prompt is None else messages.mask(_mask(video.session, frame, prompt))

    def _answer_image(
        self,
        event: str,
        task: Mapping[str, Any],
        messages: EventMessages,
        context: Mapping[str, Any],
        options: RequestOptions,
    ) -> list[Region]:
        if event == "track":
            raise InputError("There is nothing to track on an image.")
        if event == "prewarm":
            with self._images.session(messages.media.source(task), options) as session:
                for _ in session.iter_prefetch([0]):
                    pass
            return messages.message("prewarm_ack", {"status": "ok", "cached": [0], "pending": []})
        with self._images.session(messages.media.source(task), options) as session:
            prompt = prompt_of(context, session.shape)
            return [] if prompt is None else messages.mask(_mask(session, 0, prompt))

    def _prewarm(self, video: _OpenVideo, context: Mapping[str, Any]) -> dict[str, Any]:
        """Have frames around the shown one encoded in the background, those ahead first."""
        frame, length = frame_of(context, video.clock), len(video.session)
        window = min(int(number_of(context, "window", _WINDOW)), _WINDOW)
        step = -1 if direction_of(context) == "backward" else 1
        ahead = [f for f in range(frame, frame + step * (window + 1), step) if 0 <= f < length]
        pending = [one for one in ahead if one not in video.warm]

        def warm() -> None:
            with self._lock:
                if self._videos and video not in self._videos.values():
                    return  # released meanwhile
            for ready in video.session.iter_prefetch(pending):
                video.warm.add(ready)

        if pending:
            with self._lock:
                video.users += 1
            self._warming.submit(warm).add_done_callback(lambda _: self._leave(video))
        cached = [one for one in ahead if one in video.warm]
        return {"status": "ok", "cached": cached, "pending": pending, "frame_count": length}

    def _track(
        self,
        video: _OpenVideo,
        held: ExitStack,
        task_id: object,
        messages: EventMessages,
        context: Mapping[str, Any],
    ) -> list[Region]:
        try:
            frame, prompt = frame_of(context, video.clock), prompt_of(context, video.session.shape)
            if prompt is None:
                raise InputError("There is nothing to track; click on the object, or draw a box around it.")
            further, last = most_frames(context, video.clock) - 1, len(video.session) - 1
            direction = direction_of(context)
        except InputError as error:
            return messages.message("track_error", {"error": str(error), "done": True})
        ends = {"forward": min(last, frame + further), "backward": max(0, frame - further)}
        chosen = tuple(ends.values()) if direction == "both" else (ends[direction],)
        track = EventTrack(
            task_id, video.session, video.clock, frame, tuple((frame, end) for end in chosen), prompt
        )
        with self._lock:
            video.users += 1
        if not self.tracks.start(track, lambda: self._leave(video)):
            self._leave(video)
            busy = {"error": "tracking capacity exhausted", "max_sessions": self.tracks.most}
            count = {"active_or_queued": self.tracks.under_way, "resident_sessions": len(self.tracks)}
            return messages.message("track_busy", {**busy, **count})
        rate = len(video.clock.start_times) / video.clock.duration if video.clock.duration > 0 else 0.0
        about = {"fps": rate, "duration_ms": 1000 * video.clock.duration}
        started = {"session_id": track.id, "total_frames": track.num_frames, **about}
        return messages.message("track_started", started)

    # ------------------------------------------------------------------ videos

    @contextmanager
    def _video(
        self, task: Mapping[str, Any], messages: EventMessages, options: RequestOptions
    ) -> Iterator[_OpenVideo]:
        """Give an open video for a ``with`` block; it stays open for the next event."""
        address = messages.media.source(task)
        key = (task.get("id"), address, options.model)
        with self._opening:  # one at a time, so that none is opened twice
            with self._lock:
                video = self._videos.get(key)
            if video is None:
                rate = messages.media.frames_per_second(task["data"])
                video = self._open(address, rate, options.model)
            with self._lock:
                video.users += 1
                self._videos[key] = video
                self._videos.move_to_end(key)
                self._evict()
        try:
            yield video
        finally:
            self._leave(video)

    def _open(self, address: str, page_rate: float, model: str) -> _OpenVideo:
        media = self._media.video(address)
        frames = open_frames(media.path)
        try:
            session = AnnotationSession(frames, self._store, model, history=None, cache=self._features)
            return _OpenVideo(session, media, FrameClock.of(frames, page_rate))
        except BaseException:
            frames.close()
            raise

    def _leave(self, video: _OpenVideo) -> None:
        with self._lock:
            video.users -= 1
            if not video.users and video not in self._videos.values():
                video.session.frames.close()

    def _evict(self) -> None:
        while len(self._videos) > _MOST_VIDEOS:
            self._forget(next(iter(self._videos)))

    def _forget(self, key: VideoKey) -> None:
        """Close a video, or let the last of its users do so."""
        video = self._videos.pop(key)
        if not video.users:
            video.session.frames.close()

    def _release(self, task_id: object) -> None:
        self.tracks.release(task_id)
        with self._lock:
            for key in [key for key in self._videos if key[0] == task_id]:
                self._forget(key)


def _mask(session: AnnotationSession, frame: int, prompt: Prompt) -> Any:
    """Return the (H, W) mask of an object on one frame, which the session then forgets."""
    object_id = session.add_object()
    try:
        session.add_prompt(frame, object_id, prompt)
        return session.mask(object_id, frame)
    finally:
        session.remove_object(object_id)
