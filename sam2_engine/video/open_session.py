"""The choice of a session for an image, for a video, or for one of large planes."""

from collections.abc import Iterable

from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.tiles import tile_side
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.memory_policies.policy import MemoryPolicy
from sam2_engine.video.memory_policies.registry import memory_policy_of
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.tracking_session import TrackingSession
from sam2_engine.video.video_session import VideoSession

__all__ = ["open_video_session"]


def open_video_session(
    model: Sam2,
    frames: FrameSource,
    contrast: tuple[float, float] | IntensityWindow | None = None,
    cache: FeatureCache | None = None,
    history: int | None = None,
    max_conditioning_frames: int | None = None,
    remove_small_components: bool | None = True,
    memory_policy: str | MemoryPolicy = "recent",
    overlapping: bool | Iterable[tuple[int, int]] | None = None,
) -> TrackingSession:
    """Return a session on frames of any size.

    Small objects on a single image are predicted once more, magnified, and planes that are large against the
    model's input, or too narrow for it, are worked on in tiles; neither of them stores a ``history``.

    Parameters
    ----------
    model, frames, contrast, cache, history, max_conditioning_frames
        As for ``VideoSession``.
    remove_small_components
        Remove, from what clicks or a box give on an image or a frame, components far smaller than what was
        clicked, whichever model it is; None: as it was published.
    memory_policy, overlapping
        As for ``VideoSession``; in tiles an object is remembered anew by the policy when it comes to another
        one.

    Returns
    -------
    TrackingSession
        An ``ImageSession``, a ``TiledVideoSession`` or a ``VideoSession``.

    Raises
    ------
    InputError
        If an option cannot be used, or not on such planes.
    """
    policy = memory_policy_of(memory_policy, frames)
    may_overlap = policy.lets_overlap if overlapping is None else overlapping
    if frames.length == 1:
        return ImageSession(model, frames, contrast, cache, remove_small_components=remove_small_components)
    if tile_side(frames.shape, model.config) < max(frames.shape):
        return TiledVideoSession(
            model,
            frames,
            contrast,
            cache,
            max_conditioning_frames=max_conditioning_frames,
            remove_small_components=remove_small_components,
            memory_policy=policy,
            overlapping=may_overlap,
        )
    return VideoSession(
        model,
        frames,
        contrast,
        cache=cache,
        history=history,
        max_conditioning_frames=max_conditioning_frames,
        remove_small_components=remove_small_components,
        memory_policy=policy,
        overlapping=may_overlap,
    )
