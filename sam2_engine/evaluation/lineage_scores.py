"""SEG, DET, TRA and LNK of the Cell Tracking Challenge, and the F1 of divisions, of tracks with parents.

Sources: Maška et al., A benchmark for comparison of cell tracking algorithms (Bioinformatics 2014), for SEG;
Matula et al., Cell tracking accuracy measurement based on comparison of acyclic oriented graphs (PLoS ONE
2015), for DET, TRA and LNK, with the challenge's weights; Ulman et al. (Nature Methods 2017) for divisions
that may be off by some frames.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError

__all__ = ["LabeledTracks", "LineageScores", "lineage_scores"]

_SPLIT, _MISSED, _FALSE = 5.0, 10.0, 1.0
"""Costs of an object: one mask for several, none, and a mask without an object."""
_DELETED, _ADDED, _CHANGED = 1.0, 1.5, 1.0
"""Costs of a link: too much, missing, and one between parent and child that is none, or the other way."""
_COVERED = 0.5
"""A mask stands for an object of which it covers more than this part."""

Node = tuple[int, int]
"""Frame and label."""
Edges = dict[tuple[Node, Node], bool]
"""Links from earlier to later nodes, and whether they are from a parent to its child."""


@dataclass(frozen=True)
class LabeledTracks:
    """Objects over time as labels that persist, and who came from whom.

    Attributes
    ----------
    labels
        (T, H, W), 0 is background.
    parents
        Parent by child.
    """

    labels: NDArray[np.integer]
    parents: Mapping[int, int] = field(default_factory=dict)

    def frames_by_label(self) -> dict[int, list[int]]:
        """Return the frames on which each label is seen, ascending."""
        frames: dict[int, list[int]] = {}
        for frame, image in enumerate(self.labels):
            for label in np.unique(image).tolist():
                if label:
                    frames.setdefault(int(label), []).append(frame)
        return frames

    def edges(self, frames: Mapping[int, list[int]]) -> Edges:
        """Return the links of every track, and those from parents to children."""
        edges: Edges = {}
        for label, seen in frames.items():
            for before, after in pairwise(seen):
                edges[(before, label), (after, label)] = after > before + 1  # as the challenge writes a gap
        for child, parent in self.parents.items():
            if child in frames and parent in frames and frames[parent][-1] < frames[child][0]:
                edges[(frames[parent][-1], parent), (frames[child][0], child)] = True
        return edges

    def divisions(self, frames: Mapping[int, list[int]]) -> list["_Division"]:
        """Return who divided, into whom."""
        children: dict[int, list[int]] = {}
        for child, parent in self.parents.items():
            if child in frames and parent in frames:
                children.setdefault(parent, []).append(child)
        return [
            _Division(mother, frames[mother][-1], tuple(daughters))
            for mother, daughters in children.items()
            if len(daughters) > 1
        ]


@dataclass(frozen=True)
class LineageScores:
    """How well tracks agree with the truth, each 0..1.

    Attributes
    ----------
    seg
        Mean IoU of the objects' masks, 0 where none covers more than half of an object.
    det, lnk, tra
        Detections, links, and both, as one minus the cost of mending them over that of making all anew.
    division_f1
        F1 of divisions; None where there are none, in the truth or found.
    """

    seg: float
    det: float
    tra: float
    lnk: float
    division_f1: float | None


@dataclass(frozen=True)
class _Division:
    mother: int
    last: int
    daughters: tuple[int, ...]


def lineage_scores(truth: LabeledTracks, result: LabeledTracks, tolerance: int = 1) -> LineageScores:
    """Compare tracks with the truth.

    Parameters
    ----------
    truth, result
        Of the same frames.
    tolerance
        Frames by which a division may be early or late.

    Raises
    ------
    InputError
        If they are not of the same frames, or there is no object in the truth.

    Examples
    --------
    >>> labels = np.zeros((3, 8, 8), int)
    >>> labels[:, 2:6, 2:6] = 1
    >>> lineage_scores(LabeledTracks(labels), LabeledTracks(labels * 7))
    LineageScores(seg=1.0, det=1.0, tra=1.0, lnk=1.0, division_f1=None)
    """
    if truth.labels.shape != result.labels.shape:
        raise InputError(
            f"The truth is {truth.labels.shape}, the tracks are {result.labels.shape}: "
            "compare the same frames."
        )
    frames, found = truth.frames_by_label(), result.frames_by_label()
    if not frames:
        raise InputError("There is no object in the truth, so nothing can be scored.")
    match, overlaps = _match(truth.labels, result.labels)
    by_result: dict[Node, list[Node]] = {}
    for node, other in match.items():
        by_result.setdefault(other, []).append(node)
    nodes, found_nodes = (sum(map(len, seen.values())) for seen in (frames, found))
    split = sum(len(several) - 1 for several in by_result.values())
    detection = _SPLIT * split + _MISSED * (nodes - len(match)) + _FALSE * (found_nodes - len(by_result))
    edges = truth.edges(frames)
    linking = _linking_cost(edges, result.edges(found), by_result)
    whole, whole_links = _MISSED * nodes, _ADDED * len(edges)
    return LineageScores(
        seg=sum(overlaps.values()) / nodes,
        det=_score(detection, whole),
        tra=_score(detection + linking, whole + whole_links),
        lnk=_score(linking, whole_links),
        division_f1=_division_f1(truth.divisions(frames), result.divisions(found), match, tolerance),
    )


def _score(cost: float, whole: float) -> float:
    return 1.0 - min(cost, whole) / whole if whole else 1.0


def _match(
    labels: NDArray[np.integer], found: NDArray[np.integer]
) -> tuple[dict[Node, Node], dict[Node, float]]:
    """Return the mask that stands for each object, where there is one, and their IoU."""
    match: dict[Node, Node] = {}
    overlaps: dict[Node, float] = {}
    for frame, (true, other) in enumerate(zip(labels, found)):
        for label, candidate, shared, area, other_area in _shared(true, other):
            if shared > _COVERED * area:
                match[frame, label] = frame, candidate
                overlaps[frame, label] = shared / (area + other_area - shared)
    return match, overlaps


def _shared(
    true: NDArray[np.integer], other: NDArray[np.integer]
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the labels of two images that share pixels, how many, and the areas of both."""
    areas, other_areas = (
        dict(zip(*(values.tolist() for values in np.unique(image, return_counts=True))))
        for image in (true, other)
    )
    both = (true > 0) & (other > 0)
    pairs, counts = np.unique(
        np.stack([true[both], other[both]]).astype(np.int64), axis=1, return_counts=True
    )
    for (label, candidate), shared in zip(pairs.T.tolist(), counts.tolist()):
        yield label, candidate, shared, areas[label], other_areas[candidate]


def _linking_cost(edges: Edges, found: Edges, by_result: Mapping[Node, list[Node]]) -> float:
    """Return what it costs to make the links of the truth of those that were found."""
    right: Edges = {}
    deleted = 0
    for (one, other), is_birth in found.items():
        begins, ends = by_result.get(one, []), by_result.get(other, [])
        if len(begins) != 1 or len(ends) != 1:  # goes with its node, which is false or split
            continue
        true = begins[0], ends[0]
        if true in edges:
            right[true] = is_birth
        else:
            deleted += 1
    changed = sum(edges[edge] != is_birth for edge, is_birth in right.items())
    return _DELETED * deleted + _ADDED * (len(edges) - len(right)) + _CHANGED * changed


def _division_f1(
    true: list[_Division], found: list[_Division], match: Mapping[Node, Node], tolerance: int
) -> float | None:
    """Return the F1 of divisions; None where there is none on either side."""
    if not true and not found:
        return None
    left = list(found)
    right = 0
    for division in true:
        hit = next((one for one in left if _is_same(division, one, match, tolerance)), None)
        if hit is not None:
            left.remove(hit)
            right += 1
    return 2 * right / (len(true) + len(found))


def _is_same(true: _Division, found: _Division, match: Mapping[Node, Node], tolerance: int) -> bool:
    """Whether two divisions are the same one: of the same mother, into the same daughters."""
    if abs(true.last - found.last) > tolerance:
        return False
    before, after = min(true.last, found.last), max(true.last, found.last) + 1
    if match.get((before, true.mother)) != (before, found.mother):
        return False
    daughters = {match.get((after, daughter)) for daughter in true.daughters}
    return len(daughters) > 1 and daughters <= {(after, daughter) for daughter in found.daughters}
