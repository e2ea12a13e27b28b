"""Cell Tracking Challenge folders: label images, and a text file of tracks with their parents.

The challenge's rules: a label is one unbroken track, ``label begin end parent`` with frames from 0; the
parent has ended before the track begins; there is one parent or none (0); labels fit into 16 bits. Source:
celltrackingchallenge.net, "Naming and file content conventions".
"""

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.wording import begun
from sam2_plugins.export.format import no_mask, planes_in
from sam2_plugins.export.targets import ExportSummary, LabelImages, frame_number, new_folder
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["not_for_the_challenge", "write_cell_tracking_ground_truth", "write_cell_tracking_result"]

_MAX_LABEL = int(np.iinfo(np.uint16).max)


@LongWork
def write_cell_tracking_result(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write a result folder, such as ``01_RES``: ``mask000.tif`` and so on, and ``res_track.txt``.

    What the challenge's rules do not allow is changed, and the summary says how: a track with a gap becomes
    several, each the parent of the next; so does a mother who is still there when a daughter begins; of a
    fusion no parent is written; ids beyond 16 bits get a free label.

    Yields
    ------
    int
        Each frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, the frames lie along Z, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "01_RES"
    ...     summary = write_cell_tracking_result(session, path)
    ...     sorted(file.name for file in path.iterdir()), (path / "res_track.txt").read_text().split()
    (['mask000.tif', 'mask001.tif', 'res_track.txt'], ['1', '0', '1', '0'])
    """
    path = Path(path)
    labels = _labels_in_time(session)
    with new_folder(path, is_earlier_export=is_result, overwrite=overwrite) as folder:
        tracks = _Tracks(session)
        for frame in range(labels.length):
            _write_labels(
                folder / f"mask{frame_number(frame, labels.length)}.tif", tracks.add(frame, labels[frame])
            )
            yield frame
        (folder / "res_track.txt").write_text(tracks.text(), encoding="ascii")
    return ExportSummary(path, labels.length, labels.num_objects, (*tracks.changes, *labels.changes))


@LongWork
def write_cell_tracking_ground_truth(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write a ground truth folder, such as ``01_GT``, as :func:`write_cell_tracking_result` does.

    ``TRA/man_track000.tif`` and so on with ``TRA/man_track.txt`` are of all frames; ``SEG/man_seg000.tif``
    and so on, the same masks, of annotated frames.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "01_GT"
    ...     summary = write_cell_tracking_ground_truth(session, path)
    ...     sorted(file.name for file in (path / "SEG").iterdir())
    ['man_seg000.tif', 'man_seg001.tif']
    """
    path = Path(path)
    labels = _labels_in_time(session)
    annotated = known_by_frame(session)
    with new_folder(path, is_earlier_export=is_ground_truth, overwrite=overwrite) as folder:
        tracking, segmentation = folder / "TRA", folder / "SEG"
        tracking.mkdir()
        segmentation.mkdir()
        tracks = _Tracks(session)
        for frame in range(labels.length):
            tracked, number = tracks.add(frame, labels[frame]), frame_number(frame, labels.length)
            _write_labels(tracking / f"man_track{number}.tif", tracked)
            if frame in annotated:
                _write_labels(segmentation / f"man_seg{number}.tif", tracked)
            yield frame
        (tracking / "man_track.txt").write_text(tracks.text(), encoding="ascii")
    return ExportSummary(path, labels.length, labels.num_objects, (*tracks.changes, *labels.changes))


def not_for_the_challenge(session: ReadableSession) -> str | None:
    """Say why a session has no place in the challenge; None if it has."""
    return no_mask(session) or planes_in(session, "the Cell Tracking Challenge's folders are")


def is_result(folder: Path) -> bool:
    """Whether a folder is a result."""
    return (folder / "res_track.txt").is_file()


def is_ground_truth(folder: Path) -> bool:
    """Whether a folder is a ground truth."""
    return (folder / "TRA" / "man_track.txt").is_file()


def _labels_in_time(session: ReadableSession) -> LabelImages:
    labels = LabelImages(session)
    if reason := not_for_the_challenge(session):
        raise InputError(reason)
    return labels


def _write_labels(path: Path, labels: NDArray[np.uint16]) -> None:
    tifffile.imwrite(path, labels, compression="zlib", photometric="minisblack")


class _Tracks:
    """Tracks that objects are turned into, frame by frame, each label one unbroken track."""

    def __init__(self, session: ReadableSession) -> None:
        self._parents = {object_id: one.parents for object_id, one in session.objects.items()}
        self._names = {object_id: one.numbered for object_id, one in session.objects.items()}
        self._free = _free_labels(session.objects)
        self._spans: dict[int, list[int]] = {}  # by label: begin, end, parent
        self._current: dict[int, int] = {}  # by object: the label of its last track
        self._split: dict[int, int] = {}  # by object: how many tracks it was split into
        self._split_by_division: set[int] = set()
        self._fused: set[int] = set()
        self._orphaned: set[int] = set()
        self._relabeled: dict[int, int] = {}

    def add(self, frame: int, labels: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the next frame's labels (object ids) as labels of tracks."""
        visible = [int(value) for value in np.unique(labels) if value]
        new = [object_id for object_id in visible if object_id not in self._current]
        divided = {
            parent
            for object_id in new
            if len(self._parents.get(object_id, ())) == 1
            for parent in self._parents[object_id]
            if parent in self._current
        }
        before = dict(self._current)
        for object_id in visible:
            self._extend(object_id, frame, object_id in divided, before)
        return _relabel(labels, {object_id: self._current[object_id] for object_id in visible})

    def _extend(self, object_id: int, frame: int, divides: bool, before: Mapping[int, int]) -> None:
        """Extend an object's track, or begin a new one."""
        label = before.get(object_id)
        if label is None:
            self._begin(object_id, frame, self._parent_label(object_id, before), self._first_label(object_id))
        elif self._spans[label][1] == frame - 1 and not divides:
            self._spans[label][1] = frame
        else:
            self._split[object_id] = self._split.get(object_id, 1) + 1
            if divides:
                self._split_by_division.add(object_id)
            self._begin(object_id, frame, label, self._new_label())

    def _begin(self, object_id: int, frame: int, parent: int, label: int) -> None:
        self._spans[label] = [frame, frame, parent]
        self._current[object_id] = label

    def _parent_label(self, object_id: int, before: Mapping[int, int]) -> int:
        """Return the track that an object came from, 0 for none."""
        parents = self._parents.get(object_id, ())
        if len(parents) > 1:
            self._fused.add(object_id)
            return 0
        if parents and parents[0] not in before:
            self._orphaned.add(object_id)
            return 0
        return before[parents[0]] if parents else 0

    def _first_label(self, object_id: int) -> int:
        if object_id <= _MAX_LABEL:
            return object_id
        self._relabeled[object_id] = self._new_label()
        return self._relabeled[object_id]

    def _new_label(self) -> int:
        label = next(self._free, None)
        if label is None:
            raise InputError(
                f"There are more than {_MAX_LABEL} tracks, which the challenge's labels cannot hold."
            )
        return label

    def text(self) -> str:
        """Return the lines of the track file."""
        spans = sorted(self._spans.items())
        return "".join(f"{label} {begin} {end} {parent}\n" for label, (begin, end, parent) in spans)

    @property
    def changes(self) -> tuple[str, ...]:
        """What the rules changed, one sentence each."""
        changes = [
            f"{self._called(object_id)} was written as {count} tracks, each the parent of the next, because "
            "it is "
            + (
                "still there when a daughter begins."
                if object_id in self._split_by_division
                else "missing in between."
            )
            for object_id, count in sorted(self._split.items())
        ]
        changes += [
            f"{self._called(object_id)} was written without parents, because a track has at most one."
            for object_id in sorted(self._fused)
        ]
        changes += [
            f"{self._called(object_id)} was written without its parent, which is not visible before it."
            for object_id in sorted(self._orphaned)
        ]
        changes += [
            f"{self._called(object_id)} was written as label {label}, because labels have 16 bits."
            for object_id, label in sorted(self._relabeled.items())
        ]
        missing = sorted(set(self._parents) - set(self._current))
        changes += [f"{self._called(one)} has no visible pixel and was left out." for one in missing]
        return tuple(changes)

    def _called(self, object_id: int) -> str:
        return begun(self._names[object_id])


def _relabel(labels: NDArray[Any], label_of: Mapping[int, int]) -> NDArray[np.uint16]:
    values, inverse = np.unique(labels, return_inverse=True)
    table = np.array([label_of.get(int(value), 0) for value in values], np.uint16)
    return table[inverse].reshape(labels.shape)


def _free_labels(objects: Mapping[int, object]) -> Iterator[int]:
    """Yield labels that are no object's id, first those above all ids."""
    above = max((object_id for object_id in objects if object_id <= _MAX_LABEL), default=0) + 1
    yield from range(above, _MAX_LABEL + 1)
    yield from (label for label in range(1, above) if label not in objects)
