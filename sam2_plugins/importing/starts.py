"""Starts of tracking: label images, label stacks, files of prompts, and what is there already."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.labels import open_labels
from sam2_engine.masks import CompressedMask
from sam2_engine.prompts import Prompt
from sam2_plugins.importing.masks import ImportedMasks, open_masks
from sam2_plugins.importing.prompts import PlacedPrompt, place_labels, read_label_image, read_prompts
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.propagation_plan import PropagateArguments

__all__ = ["Starts", "place_starts"]


class Starts(NamedTuple):
    """What is to be tracked from what was placed.

    Attributes
    ----------
    runs
        Arguments of :meth:`AnnotationSession.propagate`, one after the other; empty if all is done.
    goes_on
        Whether there were masks of tracked frames before: a stack, or the session's.
    """

    runs: list[PropagateArguments]
    goes_on: bool = False


def place_starts(
    session: AnnotationSession,
    masks: Path | None = None,
    prompts: Path | None = None,
    *,
    start: int | None = None,
    stop: int | None = None,
    reverse: bool = False,
) -> "Starts":
    """Place masks and prompts into a session, and return what is to be tracked from them.

    What the session has already stays: where it was interrupted it goes on, an object with a new prompt is
    tracked again from there on, and the others are left as they are.

    Parameters
    ----------
    session
        New, or with masks of before.
    masks
        A label image of one frame, from which its objects are tracked; or a stack of all frames, such as an
        earlier result. Its frames without any object are those that are still to be tracked.
    prompts
        Clicks and boxes on any frames; with a stack of masks, corrections of it.
    start, stop, reverse
        As for :meth:`AnnotationSession.propagate`; a single label image is that of ``start``.

    Returns
    -------
    Starts
        What is to be tracked.

    Raises
    ------
    InputError
        If a file cannot be used, or there is nothing to track.
    """
    bounds: PropagateArguments = {"stop": stop, "reverse": reverse}
    placed = [] if prompts is None else read_prompts(prompts, session.shape, session.frames.length)
    begun = session.annotations.num_masks > 0
    if masks is not None:
        begun |= _place_masks(session, masks, start or 0, reverse)
    corrected = _place_prompts(session, placed)
    if not begun:
        return Starts([{"start": start, **bounds}])
    again: dict[int, list[int]] = {}
    for object_id, frames in corrected.items():
        again.setdefault(max(frames) if reverse else min(frames), []).append(object_id)
    runs: list[PropagateArguments] = [
        {"object_ids": tuple(ids), "start": frame, **bounds} for frame, ids in again.items()
    ]
    runs.append({"start": start, "missing_only": True, **bounds})
    return Starts([run for run in runs if _has_frames(session, run)], goes_on=True)


def _has_frames(session: AnnotationSession, run: PropagateArguments) -> bool:
    try:
        return session.frames_to_visit(**run) != []
    except InputError:  # no object begins or is prompted there
        return False


def _place_prompts(session: AnnotationSession, placed: list[PlacedPrompt]) -> dict[int, list[int]]:
    """Add the prompts that are new, and return their frames by object."""
    new: dict[int, list[int]] = {}
    for entry in placed:
        if entry.object_id not in session.objects:
            session.add_object(object_id=entry.object_id)
        earlier = Prompt.combined(session.prompts_of(entry.object_id).get(entry.frame, ()))
        if not _says_nothing_new(entry.prompt, earlier):
            session.add_prompt(entry.frame, entry.object_id, entry.prompt)
            new.setdefault(entry.object_id, []).append(entry.frame)
    return new


def _says_nothing_new(prompt: Prompt, earlier: Prompt) -> bool:
    return _clicks(prompt) <= _clicks(earlier) and prompt.box in (None, earlier.box)


def _clicks(prompt: Prompt) -> set[tuple[Any, ...]]:
    if prompt.points is None:
        return set()
    points = prompt.points
    return {(*xy, label) for xy, label in zip(points.coordinates.tolist(), points.labels.tolist())}


def _place_masks(session: AnnotationSession, path: Path, frame: int, reverse: bool) -> bool:
    """Add the masks of a label image or of a stack; return whether it was a stack."""
    with open_labels(path, single=True) as source:
        is_one = len(source) == 1
    if is_one or len(session) == 1:
        labels = read_label_image(path, session.shape)
        known = [i for i in session.objects if frame in session.prompts_of(i)]
        place_labels(session, frame, np.where(np.isin(labels, known), 0, labels))
        return False
    known = list(session.objects)
    with open_masks(path, session.shape, len(session)) as masks:
        for number, packed, is_border in _with_borders(masks, reverse):
            new = {i: mask for i, mask in packed.items() if i not in known}
            session.import_masks(number, new, as_prompts=is_border)
    if not session.objects:
        raise InputError(f"{path} has no object in it: labels are numbers above 0.")
    return True


def _with_borders(
    masks: ImportedMasks, reverse: bool
) -> Iterator[tuple[int, dict[int, CompressedMask], bool]]:
    """Yield the frames that have objects, with whether the next one in the direction has none."""
    before: tuple[int, dict[int, CompressedMask]] = (-1, {})
    for number, by_id in masks:
        packed = {i: CompressedMask.from_array(mask) for i, mask in by_id.items()}
        if reverse:
            if packed:
                yield number, packed, not before[1] and number > 0
        elif before[1]:
            yield *before, not packed
        before = number, packed
    if before[1] and not reverse:
        yield *before, False
