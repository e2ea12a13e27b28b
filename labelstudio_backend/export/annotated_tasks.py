"""Annotated tasks with their masks, as exports read a session."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from labelstudio_backend.export.project_file import ExportedTask
from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.schema.brush_rle import decode_brush_rle
from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import Track
from labelstudio_backend.schema.regions import point_from_keypoint
from labelstudio_backend.schema.sequences import rectangle_at
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.track_storage import session_path
from labelstudio_backend.tasks.video_tasks import labeled_tracks
from labelstudio_backend.tasks.video_tracking import VideoTracking
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.masks import CompressedMask
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject, object_color
from sam2_plugins.session.label_image import compose_labels
from sam2_plugins.session.masks import AcceptedMask
from sam2_plugins.storage import read_session

__all__ = ["AnnotatedTask", "AnnotatedTasks"]


class AnnotatedTask:
    """The objects of one task and their masks, as exports read a session.

    Attributes
    ----------
    frames
        The video, or the image as one frame.
    objects
        By id; their names are Label Studio's ids of the regions.
    is_reviewed
        Whether all of it counts as verified: an annotation is what a person submitted. Whoever looks through
        it once more sets it to False.
    """

    def __init__(self, frames: FrameSource) -> None:
        self.frames = frames
        self.is_reviewed = True
        self.objects: dict[int, AnnotatedObject] = {}
        self._masks: dict[int, dict[int, AcceptedMask]] = {}

    def add(self, region_id: str, label: str | None, masks: Mapping[int, AcceptedMask]) -> None:
        """Add an object with what is known of it by frame."""
        number = len(self.objects) + 1
        self.objects[number] = AnnotatedObject(number, region_id, label, object_color(number))
        self._masks[number] = dict(masks)

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, sorted."""
        return sorted(self._masks[object_id])

    def verified(self, object_id: int) -> frozenset[int]:
        """Return all of them, or none where they are reviewed once more."""
        return frozenset(self._masks[object_id] if self.is_reviewed else ())

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask as it is stored, None where nothing is known."""
        return self._masks[object_id].get(frame)

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_] | None:
        """Return an object's (H, W) mask, None where nothing is known."""
        accepted = self.accepted(object_id, frame)
        return None if accepted is None else accepted.mask.to_array()

    def label_image(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) label image of a frame: object ids, 0 is background."""
        masks = {i: by_frame[frame] for i, by_frame in self._masks.items() if frame in by_frame}
        return compose_labels(self.frames.shape, masks, max(self.objects, default=0))


class AnnotatedTasks:
    """Opens annotated tasks; tracks whose masks are not stored are tracked again.

    Parameters
    ----------
    settings
        As for the server: where media lies, where masks are stored, and the model to track with.
    key
        Under which key of the tasks' data the media is; None to find out.
    """

    def __init__(self, settings: Settings, key: str | None = None) -> None:
        self._settings = settings
        self._key = key
        self._media = MediaLibrary(settings)
        self._store = ModelStore(settings.device)

    def close(self) -> None:
        """Delete fetched media."""
        self._media.close()

    @contextmanager
    def open(self, task: ExportedTask) -> Iterator[AnnotatedTask]:
        """Give a task with all its masks for a ``with`` block.

        Raises
        ------
        InputError
            If its media or a region cannot be used.
        """
        tracks = labeled_tracks(task.regions)
        address = task.address(self._key)
        if tracks:
            media = self._media.video(address)
            with open_frames(media.path) as frames:
                yield self._tracked_task(task, tracks, frames)
        else:
            pixels, _ = self._media.image(address)
            with open_frames(pixels[None], axes="TYX" if pixels.ndim == 2 else "TYXS") as frames:
                yield _image_task(task, frames)

    def _tracked_task(
        self, task: ExportedTask, tracks: Sequence[Track], frames: FrameSource
    ) -> AnnotatedTask:
        clock = FrameClock.of(frames, task.frame_rate)
        visible_frames = {track.id: _visible_frames(track, clock, len(frames)) for track in tracks}
        before_keyframes = any(
            min(visible_frames[track.id], default=0) < clock.index(track.first_frame) for track in tracks
        )
        video = VideoTracking(self._session(task, frames))
        direction = "both" if before_keyframes else "forward"
        with video.request(tracks, clock, direction) as video_tracks:
            while not video.is_done(video_tracks) and video.step():
                pass
            if video.error is not None:
                raise video.error
            annotated = AnnotatedTask(frames)
            empty = AcceptedMask.painted(CompressedMask.from_array(np.zeros(frames.shape, np.bool_)))
            for track, video_track in zip(tracks, video_tracks):
                masks = dict.fromkeys(range(len(frames)), empty)
                for frame in visible_frames[track.id]:
                    object_id = video_track.object_id
                    found = None if object_id is None else video.session.accepted(object_id, frame)
                    if found is None or found.mask.is_empty:
                        del masks[frame]  # visible to a person, but its mask is not known
                    else:
                        masks[frame] = found
                annotated.add(track.id, track.label, masks)
        return annotated

    def _session(self, task: ExportedTask, frames: FrameSource) -> AnnotationSession:
        """Return the session that the server stored, read only, or an empty one."""
        folder = self._settings.state_folder
        path = folder and session_path(folder, task.project, task.id, task.address(self._key))
        if path is not None and path.is_dir():
            try:
                return read_session(path, self._store, frames)
            except InputError:
                pass  # of another video, or damaged: tracked again
        return AnnotationSession(frames, self._store, self._settings.model, history=None)


def _visible_frames(track: Track, clock: FrameClock, length: int) -> list[int]:
    """Return the file's frames on which the page shows a track."""
    sequence = sorted(track.region["value"]["sequence"], key=lambda item: int(item["frame"]))
    return [index for index in range(length) if rectangle_at(sequence, clock.page_frame(index)) is not None]


def _image_task(task: ExportedTask, frames: FrameSource) -> AnnotatedTask:
    """Return an image with the masks that are drawn on it; boxes and points are no masks.

    Several results with one id are one region: its labels, each with the mask once more.
    """
    annotated = AnnotatedTask(frames)
    labels = {region.get("id"): label for region in task.regions if (label := _label(region))}
    known: set[object] = set()
    for region in task.regions:
        mask = None if region.get("id") in known else _region_mask(region, frames.shape)
        if mask is not None:
            if region.get("id") is not None:
                known.add(region["id"])
            label = _label(region) or labels.get(region.get("id"))
            accepted = AcceptedMask.painted(CompressedMask.from_array(mask))
            annotated.add(str(region.get("id")), label, {0: accepted})
    return annotated


def _region_mask(region: Mapping[str, Any], shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    value = region["value"]
    if "rle" in value:
        mask = decode_brush_rle(value["rle"], shape)
    elif corners := [point_from_keypoint(corner, shape) for corner in _corners(value)]:
        mask = np.zeros(shape, np.bool_)
        mask[polygon([y for _, y in corners], [x for x, _ in corners], shape)] = True
    elif isinstance(value.get("imageDataURL"), str):
        mask = _bitmask(value["imageDataURL"], shape)
    else:
        return None
    if mask.shape != shape:
        raise InputError(f"Region {region.get('id')} is {mask.shape}, but its image is {shape}.")
    return mask


def _corners(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the corners of a polygon, or of a closed vector; none of anything else."""
    if isinstance(points := value.get("points"), list):
        return [{"x": x, "y": y} for x, y in points]
    vertices = value.get("vertices") if value.get("closed") else None
    return [one for one in vertices if isinstance(one, Mapping)] if isinstance(vertices, list) else []


def _bitmask(data_url: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where an image in a data URL is opaque."""
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(io.BytesIO(base64.b64decode(data_url.partition(",")[2]))) as image:
            if (image.height, image.width) != shape:  # before any of it is decoded
                raise InputError(f"A bitmask is {image.size}, but its image {shape[::-1]} (width, height).")
            return np.asarray(image.convert("RGBA"))[..., 3] > 0
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"A bitmask of the export is not an image ({error}).") from None


def _label(region: Mapping[str, Any]) -> str | None:
    value = region["value"]
    found = value.get(str(region.get("type"))) or value.get("labels")
    return str(found[0]) if isinstance(found, list) and found else None
