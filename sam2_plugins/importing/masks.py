"""Import of another tool's masks and tracks into a session, with ids, names, classes and parents.

Read are label images of any kind (an array, a TIFF stack, an OME-Zarr, a folder of images; from Cellpose,
StarDist and others), Cell Tracking Challenge folders with their tracks, and COCO run lengths.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets.annotations import Annotation
from sam2_engine.errors import InputError
from sam2_engine.masks import CompressedMask
from sam2_engine.wording import counted, plural
from sam2_plugins.importing.formats import (
    ImportedObject,
    MaskFile,
    cell_tracking_masks,
    coco_masks,
    has_tracks,
    label_masks,
)
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import LARGEST_ID
from sam2_plugins.session.history import UndoGroup
from sam2_plugins.session.readable import LongWork, run_to_end

__all__ = ["ImportSummary", "ImportedMasks", "ImportedObject", "import_masks", "open_masks"]


def open_masks(
    source: Any, shape: tuple[int, int], length: int, *, frame: int | None = None
) -> "ImportedMasks":
    """Open masks for a stack; only what is needed to describe them is read at once.

    Parameters
    ----------
    source
        A (Y, X) or (T, Y, X) array of labels, or a path: a label image or stack, an OME-Zarr (its labels,
        if it is an image), a folder of label images, a Cell Tracking Challenge folder (with
        ``res_track.txt`` or ``man_track.txt``, also in ``TRA``) or that track file, or COCO JSON.
    shape, length
        ``(H, W)`` and number of frames of the stack.
    frame
        Frame of a single label image; not needed for masks of all frames.

    Raises
    ------
    InputError
        If it cannot be read, or has another size or number of frames than the stack.

    Examples
    --------
    >>> labels = np.zeros((2, 40, 60), np.uint16)
    >>> labels[:, 10:20, 5:15] = 7
    >>> with open_masks(labels, shape=(40, 60), length=2) as masks:
    ...     areas = [{i: int(mask.sum()) for i, mask in by_id.items()} for _, by_id in masks]
    >>> areas
    [{7: 100}, {7: 100}]
    """
    file = _open(source)
    try:
        _check_fit(file, shape, length, frame)
    except InputError:
        file.close()
        raise
    return ImportedMasks(file, first=frame or 0 if file.length == 1 else 0)


def _open(source: Any) -> MaskFile:
    if not isinstance(source, str | PathLike):
        return label_masks(source)
    path = Path(source)
    if has_tracks(path):
        return cell_tracking_masks(path)
    return coco_masks(path) if path.suffix.lower() == ".json" else label_masks(path)


def _check_fit(masks: MaskFile, shape: tuple[int, int], length: int, frame: int | None) -> None:
    if masks.shape != shape:
        (height, width), (rows, columns) = masks.shape, shape
        raise InputError(
            f"{masks.name} is {width} wide and {height} high, but the frames are {columns} wide and {rows} "
            "high; give masks of this very stack."
        )
    if masks.length != length and (frame is None or masks.length != 1):
        hint = "say which frame it belongs to" if masks.length == 1 else "give masks of this very stack"
        lengths = counted(masks.length, "frame"), counted(length, "frame")
        raise InputError(f"{masks.name} has {lengths[0]}, but the stack has {lengths[1]}; {hint}.")
    if frame is not None and not 0 <= frame < length:
        raise InputError(f"The stack has no frame {frame}; its frames are 0 to {length - 1}.")


class ImportedMasks:
    """Masks frame by frame, and the description of their objects.

    Iterating gives ``(frame, masks)`` for every frame, where ``masks`` maps ids to (H, W) bool masks, each
    read when it is asked for. A ``with`` block closes the files at its end.

    Attributes
    ----------
    file
        The source.
    labeled_frames
        Frames with a mask, once all were read by :meth:`scan`.
    """

    def __init__(self, file: MaskFile, first: int = 0) -> None:
        self.file = file
        self.labeled_frames: tuple[int, ...] = ()
        self._first = first

    def __len__(self) -> int:
        return self.file.length

    def __iter__(self) -> Iterator[tuple[int, Mapping[int, NDArray[np.bool_]]]]:
        """Read frame by frame.

        Raises
        ------
        InputError
            If a frame cannot be read, or holds anything but ids from 1 to 2**32 - 1 over a background of 0.
        """
        for number in range(self.file.length):
            annotation = self.file.read_frame(number)
            if annotation.shape not in (None, self.file.shape):
                raise InputError(
                    f"The masks of {self.file.name} differ in size: those of frame {number} are "
                    f"{annotation.shape}, others {self.file.shape} (rows, columns); give masks of one size."
                )
            if too_large := [object_id for object_id in annotation.ids if object_id > LARGEST_ID]:
                raise InputError(
                    f"{self.file.name} has the id {max(too_large)} on frame {number}, but ids go up to "
                    f"{LARGEST_ID}; renumber the objects."
                )
            yield self._first + number, _FrameMasks(annotation)

    def describe(self, object_id: int) -> ImportedObject:
        """Return an object as its source describes it; label images alone describe none."""
        return self.file.objects.get(object_id, ImportedObject(object_id))

    def scan(self) -> tuple[ImportedObject, ...]:
        """Read all frames once and return their objects, by id: errors show before anything is imported.

        Raises
        ------
        InputError
            As iterating does.
        """
        return run_to_end(self.iter_scan())

    def iter_scan(self) -> Generator[int, None, tuple[ImportedObject, ...]]:
        """Do as :meth:`scan`, and yield each frame once it is read."""
        ids: set[int] = set()
        labeled = []
        for frame, masks in self:
            ids.update(masks)
            labeled += [frame] if masks else []
            yield frame
        self.labeled_frames = tuple(labeled)
        return tuple(map(self.describe, sorted(ids)))

    def look_like_prompts(self, length: int) -> bool:
        """Whether they lie on one frame of ``length``, or on some with gaps between, as people paint them.

        A tool that has tracked objects leaves no gaps. Known once all were read by :meth:`scan`.
        """
        labeled = self.labeled_frames
        if len(labeled) < 2:
            return len(labeled) < length
        return labeled[-1] - labeled[0] >= len(labeled)

    def close(self) -> None:
        """Close the files."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _FrameMasks(Mapping[int, NDArray[np.bool_]]):
    """The masks of one frame, made one at a time: hundreds on a large plane would not fit into memory."""

    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation
        self._ids = sorted(annotation.ids)

    def __getitem__(self, object_id: int) -> NDArray[np.bool_]:
        if object_id not in self._annotation.ids:
            raise KeyError(object_id)
        return self._annotation.mask(object_id)

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


@dataclass(frozen=True)
class ImportSummary:
    """The result of an import.

    Attributes
    ----------
    object_ids
        Objects with masks.
    frames
        Number of frames with masks.
    existing
        Objects among them that had masks or prompts before; their names and parents are as they were.
    orphans
        Objects whose parents were left out, because these end after they begin or do not exist.
    kept
        Number of masks that were left out, because a person had prompted or verified the object there.
    complete
        False if an undo has ended it.
    """

    object_ids: tuple[int, ...]
    frames: int
    existing: tuple[int, ...] = ()
    orphans: tuple[int, ...] = ()
    complete: bool = True
    kept: int = 0

    def __str__(self) -> str:
        """Return it in words."""
        parts = [f"{counted(len(self.object_ids), 'object')} on {counted(self.frames, 'frame')}."]
        if self.existing:
            parts.append(f"There were masks or clicks before of {_listed(self.existing)}.")
        if self.orphans:
            parts.append(f"The parents of {_listed(self.orphans)} were left out: they do not end before.")
        if self.kept:
            masks = "1 mask was" if self.kept == 1 else f"{self.kept} masks were"
            parts.append(f"{masks} left out: the object is prompted or verified there, and stays as it is.")
        if not self.complete:
            parts.append("An undo has ended it.")
        return " ".join(parts)


def _listed(ids: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return f"{plural(len(ids), 'object')} {shown}{' and others' if len(ids) > 5 else ''}"


@LongWork
def import_masks(
    session: AnnotationSession,
    masks: ImportedMasks,
    *,
    verify: bool = False,
    as_prompts: bool | None = False,
) -> Generator[int, None, ImportSummary]:
    """Import masks into a session, with all that describes their objects; undo takes all of it back as one.

    Everything is read once before, so that a damaged source leaves the session as it is. What a person
    prompted or verified stays. What a person does meanwhile is undone before it.

    Parameters
    ----------
    session
        The session.
    masks
        Masks of the same frames.
    verify
        Whether the masks count as verified: objects are then tracked from them, and nothing changes them.
    as_prompts
        Whether objects are to be tracked from these masks as they are; None: if they look like prompts.

    Yields
    ------
    int
        Each frame twice: when it was read, and when it was imported.

    Raises
    ------
    InputError
        If the source cannot be read, or holds values that are no ids.

    Examples
    --------
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> labels = np.zeros((2, 40, 60), np.uint16)
    >>> labels[:, 10:20, 5:15] = 7
    >>> with open_masks(labels, session.shape, len(session)) as masks:
    ...     print(import_masks(session, masks, verify=True))
    1 object on 2 frames.
    >>> list(session.objects), session.verified(7)
    ([7], frozenset({0, 1}))
    """
    described = yield from masks.iter_scan()
    if as_prompts is None:
        as_prompts = masks.look_like_prompts(len(session))
    num_frames = len(masks.labeled_frames)
    undo_group, interruptions = UndoGroup(), session.history.interruptions
    existing = {i for i in session.objects if session.frames_of(i) or session.prompts_of(i)}
    imported: dict[int, list[int]] = {}
    kept = 0
    for frame, by_id in masks:
        packed = {i: CompressedMask.from_array(mask) for i, mask in by_id.items()}
        for object_id in packed:
            if object_id not in existing or frame not in session.prompts_of(object_id):
                imported.setdefault(object_id, []).append(frame)
            known = object_id in session.objects
            kept += known and (frame in session.prompts_of(object_id) or frame in session.verified(object_id))
        session.import_masks(frame, packed, undo_group, as_prompts=as_prompts)
        yield frame
        if session.history.interruptions != interruptions:
            ids = tuple(i for i in imported if i in session.objects)
            return ImportSummary(ids, num_frames, complete=False)
    if verify:
        for object_id, frames in imported.items():
            if remaining := [f for f in frames if _mask_exists(session, object_id, f)]:
                session.verify(object_id, remaining, undo_group=undo_group)
    new = (one for one in described if one.id not in existing and one.id in session.objects)
    orphans = _describe(session, new, undo_group)
    ids = tuple(one.id for one in described)
    before = tuple(sorted(existing.intersection(ids)))
    return ImportSummary(ids, num_frames, before, orphans, kept=kept)


def _mask_exists(session: AnnotationSession, object_id: int, frame: int) -> bool:
    """Whether a mask was not removed meanwhile."""
    return object_id in session.objects and session.accepted(object_id, frame) is not None


def _describe(
    session: AnnotationSession, described: Iterable[ImportedObject], undo_group: object
) -> tuple[int, ...]:
    """Set names, classes, parents and lives of objects; return the ids of those whose parents do not fit."""
    orphans = []
    for one in described:
        if one.name or one.label:
            session.edit_object(one.id, name=one.name, label=one.label, undo_group=undo_group)
        try:
            if one.parents:
                session.lineage.set_parents(one.id, one.parents, undo_group)
        except InputError:
            orphans.append(one.id)
        if one.life is not None:
            session.lineage.set_life(one.id, one.life, undo_group)
    return tuple(orphans)
