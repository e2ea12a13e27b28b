"""Finding of masklets in one video: seeds on key frames, tracked both ways, the bad ones dropped."""

from collections.abc import Collection, Generator

import numpy as np

from sam2_plugins.masklets.search_progress import SearchProgress
from sam2_plugins.masklets.seeds import Seed, distinct_seeds, find_seeds
from sam2_plugins.masklets.selection import Dropped, drop_masklets
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.propagation_plan import Direction

__all__ = ["FoundMasklets", "find_masklets", "key_frames"]


class FoundMasklets:
    """What was found in a video.

    Attributes
    ----------
    seeds
        Score of each masklet that stayed, on its key frame, by its object's id.
    dropped
        How many were dropped.
    """

    def __init__(self, seeds: dict[int, float], dropped: Dropped) -> None:
        self.seeds = seeds
        self.dropped = dropped


def find_masklets(
    session: AnnotationSession,
    settings: MaskletSettings,
    cancel: CancelToken | None = None,
    progress: SearchProgress | None = None,
) -> Generator[tuple[int, int], None, FoundMasklets | None]:
    """Find masklets step by step; they are objects of the session. What is in it already stays and counts.

    What is found does not depend on whether, and where, a run before was broken off.

    Parameters
    ----------
    session
        Of the video; of a data set's video that is searched again, with what people decided on.
    settings
        What to look for.
    cancel
        Asked between two steps.
    progress
        What a run before has found in this session, which is gone on with; it is kept up to date.

    Yields
    ------
    tuple of int
        Steps done, and steps in all, about.

    Returns
    -------
    FoundMasklets or None
        None if it was canceled.

    Raises
    ------
    InputError
        If a frame cannot be read.
    """
    progress = progress or SearchProgress()
    frames = key_frames(len(session.frames), settings.key_frames)
    each = sum(4**layer for layer in range(settings.crop_layers + 1)) + len(session.frames)
    for number, frame in enumerate(frames):
        if frame in progress.tracked:
            continue
        search = _search(session, frame, settings, progress)
        done = number * each
        while True:
            yield min(done, (number + 1) * each), len(frames) * each
            if cancel is not None and cancel.cancelled:
                return None
            try:
                done = number * each + next(search)
            except StopIteration:
                break
        progress.track(frame)
    dropped = drop_masklets(session, progress, settings)
    scores = {one: score for one, score in progress.scores.items() if one in session.objects}
    return FoundMasklets(scores, dropped)


def key_frames(length: int, count: int) -> list[int]:
    """Return evenly spread frames, the first and the last among them; those in the middle come first.

    Examples
    --------
    >>> key_frames(30, 3), key_frames(30, 1), key_frames(2, 5)
    ([14, 0, 29], [0], [0, 1])
    """
    frames = {int(frame) for frame in np.linspace(0, length - 1, min(count, length))}
    return sorted(frames, key=lambda frame: (abs(frame - (length - 1) / 2), frame))


def _search(
    session: AnnotationSession, frame: int, settings: MaskletSettings, progress: SearchProgress
) -> Generator[int, None, None]:
    """Find what is new on a frame, and track it; yield the steps done."""
    crops = 0
    if progress.added is None:
        find = find_seeds(session.store, session.model_name, session.frames[frame], session.window, settings)
        while True:
            try:
                crops = next(find)[0]
            except StopIteration as end:
                _add_objects(session, frame, end.value, settings, progress)
                break
            yield crops
    if progress.added and len(session.frames) > 1:
        steps = crops + 1
        for run in session.runs(Direction.BOTH, tuple(progress.added)):
            for _ in session.iter_propagate(**run):
                steps += 1
                yield steps


def _add_objects(
    session: AnnotationSession,
    frame: int,
    seeds: Collection[Seed],
    settings: MaskletSettings,
    progress: SearchProgress,
) -> None:
    """Let those seeds be objects that are none yet."""
    known = [one.mask for one in session.annotations.masks_on(frame).values() if not one.mask.is_empty]
    new = distinct_seeds(seeds, settings.max_overlap, known)[: settings.max_masklets]
    first = session.annotations.next_id
    session.import_masks(
        frame, {first + number: seed.mask for number, seed in enumerate(new)}, as_prompts=True
    )
    progress.add({first + number: seed.score for number, seed in enumerate(new)})
