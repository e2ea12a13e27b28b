"""Carrying of objects from one time of a volume to another, under the same ids."""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.wording import counted
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.propagation_plan import Direction
from sam2_plugins.session.readable import LongWork

__all__ = ["CarriedObjects", "carry"]


@dataclass(frozen=True)
class CarriedObjects:
    """What became of objects at another time.

    Attributes
    ----------
    carried
        Ids of those that were found and tracked through its planes.
    lost
        Ids of those that were not found on the plane where they had been largest.
    left_alone
        Ids of those that were annotated there already.
    others
        Of these, those that have another name there, as two objects would: the names here and there.
    names
        What those that are spoken of are called.
    """

    carried: tuple[int, ...]
    lost: tuple[int, ...] = ()
    left_alone: tuple[int, ...] = ()
    others: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{counted(len(self.carried), 'object')} carried on"]
        if self.lost:
            parts.append(f"not found: {self._named(self.lost)}")
        if self.left_alone:
            parts.append(f"annotated there already: {self._named(self.left_alone)}")
        parts += [
            f"object {one} is {here!r} here and {there!r} there: rename one, or split it off, if they are two"
            for one, (here, there) in self.others.items()
        ]
        return "; ".join(parts)

    def _named(self, object_ids: Iterable[int]) -> str:
        return ", ".join(self.names.get(one, f"object {one}") for one in object_ids)


@LongWork
def carry(
    session: AnnotationSession, later: AnnotationSession, object_ids: Iterable[int] | None = None
) -> Generator[int, None, CarriedObjects]:
    """Carry the objects of a volume at one time on to another time, under their ids.

    Each object is tracked through time on one plane, where its mask is largest; its mask there is then its
    prompt at the other time, from which it is tracked through the planes both ways. Names, classes and
    colors go with it. What is annotated at the other time stays as it is.

    Parameters
    ----------
    session, later
        Two times of one volume, each with frames along the same axis in space.
    object_ids
        Which objects; None for all.

    Yields
    ------
    int
        Each plane of the other time, once its masks are stored.

    Raises
    ------
    InputError
        If the volumes are not alike, an object is unknown, or no object has a mask.
    """
    if (session.shape, len(session), session.frames.axis) != (later.shape, len(later), later.frames.axis):
        raise InputError(
            f"{session.frames.name} is {session.frames.sizes} at one time, and {later.frames.name} "
            f"{later.frames.sizes} at the other; objects are carried on between times of one volume."
        )
    if session.frames.axis != "Z":
        raise InputError("Objects are carried on between volumes, whose frames are planes (Z), not times.")
    wanted = session.objects if object_ids is None else map(session.annotations.require, object_ids)
    planes = {object_id: plane for object_id in wanted if (plane := _largest(session, object_id)) is not None}
    if not planes:
        raise InputError("No object has a mask at this time, so there is nothing to carry on.")
    there = {one for one in planes if one in later.objects and later.frames_of(one)}
    others = {
        one: (session.objects[one].name, later.objects[one].name)
        for one in sorted(there)
        if session.objects[one].name != later.objects[one].name
    }
    found: dict[int, NDArray[np.bool_]] = {}
    for plane in sorted(set(planes.values())):
        on_it = [one for one in planes if planes[one] == plane and one not in there]
        if on_it:
            found |= _through_time(session, later, plane, on_it)
    group = object()  # all of it is undone as one
    for object_id, mask in found.items():
        one = session.objects[object_id]
        is_new = object_id not in later.objects
        later.import_masks(planes[object_id], {object_id: mask}, group, as_prompts=True)
        if is_new:
            later.edit_object(object_id, name=one.name, label=one.label, color=one.color, undo_group=group)
        yield planes[object_id]
    for object_id in found:
        for run in later.runs(Direction.BOTH, (object_id,)):
            for result in later.iter_propagate(**run, undo_group=group):
                yield result.frame
    lost = set(planes) - there - set(found)
    names = {one: session.objects[one].numbered for one in (*lost, *there)}
    return CarriedObjects(tuple(sorted(found)), tuple(sorted(lost)), tuple(sorted(there)), others, names)


def _largest(session: AnnotationSession, object_id: int) -> int | None:
    """Return the plane on which an object's mask is largest; None if it is visible nowhere."""
    known = {plane: session.accepted(object_id, plane) for plane in session.frames_of(object_id)}
    areas = {plane: int(np.count_nonzero(one.mask.crop())) for plane, one in known.items() if one is not None}
    best = max(areas, key=lambda plane: areas[plane], default=None)
    return best if best is not None and areas[best] else None


def _through_time(
    session: AnnotationSession, later: AnnotationSession, plane: int, object_ids: list[int]
) -> dict[int, NDArray[np.bool_]]:
    """Return the masks at the other time of objects that are found on a plane."""
    both = np.stack([session.frames[plane], later.frames[plane]])
    axes = "TYX" if both.ndim == 3 else "TYXS" if session.frames.is_rgb else "TYXC"
    frames = open_frames(both, axes=axes)
    pair = AnnotationSession(frames, session.store, session.model_name, contrast=session.window)
    for object_id in object_ids:
        mask = session.mask(object_id, plane)
        assert mask is not None
        pair.add_object(object_id=object_id)
        pair.add_mask(0, object_id, mask)
    pair.propagate()
    masks = {object_id: pair.mask(object_id, 1) for object_id in object_ids}
    return {one: mask for one, mask in masks.items() if mask is not None and mask.any()}
