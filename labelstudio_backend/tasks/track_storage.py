"""Storage of tracks on disk, one session folder per task, which other commands read too."""

import hashlib
import logging
import re
import shutil
from pathlib import Path
from typing import Any

from labelstudio_backend.media.library import MediaFile
from labelstudio_backend.tasks.track_eviction import TrackEviction, is_open
from labelstudio_backend.tasks.track_scheduler import VideoKey
from labelstudio_backend.tasks.video_tracking import VideoTracking
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource
from sam2_engine.frames.video_frames import VideoFrames
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder, open_session

__all__ = ["TrackStore", "session_path"]

_TRACKS = "tracks"
_log = logging.getLogger(__name__)


def session_path(folder: Path, project: object, task: object, address: str) -> Path | None:
    """Return the session folder of a task below a data folder; None if its ids make no file name.

    The media's address is part of the name, as a task may show several videos.
    """
    names = [str(project), str(task)]
    if not all(re.fullmatch(r"\w[\w-]{0,63}", name) for name in names):
        return None
    digest = hashlib.blake2b(address.encode(errors="replace"), digest_size=4).hexdigest()
    return folder / _TRACKS / f"project-{names[0]}" / f"task-{names[1]}-{digest}.sam2"


class TrackStore:
    """Opens the videos of tasks, each with its stored tracks.

    Parameters
    ----------
    folder
        The server's data folder, or None to store nothing on disk.
    max_bytes
        Cap for what is stored there.
    store, features
        Models, and the cache of encoded frames, that all sessions share.

    Attributes
    ----------
    eviction
        The cap for what is on disk; None if nothing is stored.
    """

    def __init__(
        self, folder: Path | None, max_bytes: int, store: ModelStore, features: FeatureCache
    ) -> None:
        self.eviction = None if folder is None else TrackEviction(folder / _TRACKS, max_bytes)
        self._folder = folder
        self._store = store
        self._features = features

    def open(self, key: VideoKey, media: MediaFile) -> VideoTracking:
        """Open a task's video with the tracks that the same model has stored for it.

        Raises
        ------
        InputError
            If the file is no video that can be read.
        """
        frames = VideoFrames(media.path)
        if frames.note:
            _log.warning("task=%s video: %s", key.task, frames.note)
        try:
            session, folder = self._session(key, frames)
        except BaseException:
            frames.close()
            raise

        def close(_: MediaFile = media) -> None:  # a fetched file lives as long as it is referenced
            if folder is not None:
                folder.close()
                self._touch(folder)
            frames.close()

        self._touch(folder)
        return VideoTracking(session, close)

    def _touch(self, folder: SessionFolder | None) -> None:
        if folder is not None and self.eviction is not None:
            self.eviction.touch(folder.path)

    def _session(self, key: VideoKey, frames: FrameSource) -> tuple[AnnotationSession, SessionFolder | None]:
        # Every track begins from its keyframes, so there is no tracked frame to go back to, nor any undo.
        options: dict[str, Any] = {"history": None, "cache": self._features, "undo_bytes": 0}
        path = self._folder and session_path(self._folder, key.project, key.task, key.address)
        if path is not None and is_open(path):
            _log.warning("task=%s tracks are not stored on disk: %s is in use", key.task, path)
            path = None
        if path is not None and path.is_dir():
            try:
                session, folder = open_session(path, self._store, frames, **options)
                if session.model_name == key.model:
                    return session, folder
                folder.close()
            except InputError as error:
                _log.warning("task=%s stored tracks are dropped: %s", key.task, error)
            shutil.rmtree(path, ignore_errors=True)
        session = AnnotationSession(frames, self._store, key.model, **options)
        if path is None:
            return session, None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return session, SessionFolder.create(path, session)
        except (InputError, OSError) as error:
            _log.warning("task=%s tracks are not stored on disk: %s", key.task, error)
            return session, None
