"""Report on a data set of masklets: what people did and how long it took, and how good the masklets are."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.masks import decode_rle, rle_area
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Decision, Status, Verdict, newest_verdicts

__all__ = ["PHASES", "Agreement", "DatasetReport", "PhaseRow", "Quality", "report_on"]

PHASES = {
    0: "accepted or rejected at sight",
    1: "painted frame by frame (1)",
    2: "painted, then tracked (2)",
    3: "clicked, then tracked (3)",
}
"""What was done, with the number of the paper's phase that it is like."""
ALIKE = 0.75
"""IoU from which a mask counts as right, as in the paper's comparison of its phases."""
_COVERAGE_FRAMES = 8


@dataclass(frozen=True)
class PhaseRow:
    """What people did in one way.

    Attributes
    ----------
    phase
        Of ``PHASES``; None for all together.
    masklets, accepted
        Verdicts, and how many of them accept.
    seconds, frames
        Of the people, and of the masklets' videos.
    edited, clicks
        Corrected frames, and clicks on them.
    """

    phase: int | None
    masklets: int
    accepted: int
    seconds: float
    frames: int
    edited: int
    clicks: int

    @property
    def per_hour(self) -> float:
        """Masklets an hour."""
        return 3600 * self.masklets / self.seconds if self.seconds else 0.0

    @classmethod
    def of(cls, phase: int | None, decisions: Sequence[Decision]) -> "PhaseRow":
        """Count some decisions."""
        return cls(
            phase,
            len(decisions),
            sum(one.verdict is Verdict.ACCEPT for one in decisions),
            sum(one.seconds for one in decisions),
            sum(one.frames for one in decisions),
            sum(len({edit.frame for edit in one.edits}) for one in decisions),
            sum(edit.clicks for one in decisions for edit in one.edits),
        )


@dataclass(frozen=True)
class Agreement:
    """How far people agree on the masklets that several looked at.

    Attributes
    ----------
    pairs, agreed
        Pairs of people on one masklet, and how many of them said the same.
    kappa
        Cohen's: 1 for all alike, 0 for no more than by chance; None where all said one thing.
    """

    pairs: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True)
class Quality:
    """Masklets as the model made them, against the same ones as people verified them.

    Attributes
    ----------
    masklets
        How many are compared.
    iou
        Mean of their IoU.
    alike
        Share of masks with an IoU of ``ALIKE`` and more.
    ranked
        How often an accepted masklet has a higher quality than a rejected one, 0..1; None without both.
    """

    masklets: int
    iou: float
    alike: float
    ranked: float | None


@dataclass(frozen=True)
class DatasetReport:
    """What holds of a data set.

    Attributes
    ----------
    videos, frames
        How many there are.
    masklets
        How many of each status.
    phases
        What was done, by phase, and all together at the end.
    agreement, quality
        Of people, and of the model.
    coverage
        Mean share of a frame that lies in some masklet that was not rejected.
    disappearance
        Share of the verified masklets, or of all that were found if none is, that vanish and come again.
    unsettled
        Videos whose JSON files are out of date.
    """

    videos: int
    frames: int
    masklets: Mapping[Status, int]
    phases: tuple[PhaseRow, ...]
    agreement: Agreement
    quality: Quality
    coverage: float
    disappearance: float
    unsettled: tuple[str, ...]


def report_on(dataset: MaskletDataset) -> DatasetReport:
    """Report on a data set; its sessions are not opened.

    Raises
    ------
    InputError
        If a file of it is damaged.
    """
    decisions = dataset.decisions.read()
    newest = newest_verdicts(decisions)
    statuses: dict[Status, int] = dict.fromkeys(Status, 0)
    frames, covered, gone, vanishing = 0, list[float](), list[bool](), list[bool]()
    ious, alike = list[float](), list[bool]()
    qualities: dict[Status, list[float]] = {status: [] for status in Status}
    for name in dataset.videos():
        found, verified = dataset.found(name, with_masks=True), dataset.verified(name, with_masks=True)
        status = dataset.statuses(name)
        frames += found["video_frame_count"]
        for one, quality in zip(found["masklet_id"], found["masklet_quality"]):
            statuses[status[one]] += 1
            qualities[status[one]].append(quality)
        kept = {one for one in status if status[one] is not Status.REJECTED}
        covered.append(_coverage(found, kept))
        vanishing += _vanish(found)
        if verified is not None:
            gone += _vanish(verified)
            for one in set(verified["masklet_id"]) & set(found["masklet_id"]):
                each = _ious(found, verified, one)
                ious.append(fmean(each))
                alike += [value >= ALIKE for value in each]
    return DatasetReport(
        len(covered),
        frames,
        statuses,
        _phases([one for by_person in newest.values() for one in by_person.values()]),
        _agreement(newest.values()),
        Quality(
            len(ious),
            fmean(ious or [0.0]),
            fmean(alike or [0.0]),
            _ranked(qualities[Status.ACCEPTED], qualities[Status.REJECTED]),
        ),
        fmean(covered or [0.0]),
        fmean(gone or vanishing or [0.0]),
        tuple(dataset.unsettled()),
    )


def _phases(decisions: Sequence[Decision]) -> tuple[PhaseRow, ...]:
    """Count by phase what counts: of each person the newest verdict on a masklet."""
    rows = [PhaseRow.of(phase, [one for one in decisions if one.phase == phase]) for phase in PHASES]
    return (*(row for row in rows if row.masklets), PhaseRow.of(None, decisions))


def _agreement(looked: Iterable[Mapping[str, Decision]]) -> Agreement:
    said = [
        tuple(one.verdict is Verdict.ACCEPT for one in pair)
        for by_person in looked
        for pair in combinations(by_person.values(), 2)
    ]
    agreed = sum(one == other for one, other in said)
    if not said:
        return Agreement(0, 0, None)
    yes = [fmean(pair[side] for pair in said) for side in (0, 1)]
    chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    kappa = None if chance == 1 else (agreed / len(said) - chance) / (1 - chance)
    return Agreement(len(said), agreed, kappa)


def _ious(found: Mapping[str, Any], verified: Mapping[str, Any], masklet: int) -> list[float]:
    """Return the IoU of a masklet as found and as verified, on every frame; 1 where both are empty."""
    columns = found["masklet_id"].index(masklet), verified["masklet_id"].index(masklet)
    ious = []
    for rows in zip(found["masklet"], verified["masklet"], strict=True):
        one, other = (decode_rle(row[column]) for row, column in zip(rows, columns))
        union = np.count_nonzero(one | other)
        ious.append(np.count_nonzero(one & other) / union if union else 1.0)
    return ious


def _coverage(found: Mapping[str, Any], kept: Collection[int]) -> float:
    """Return the mean share of evenly spread frames that some of the masklets cover."""
    length = found["video_frame_count"]
    shares = []
    for frame in {int(one) for one in np.linspace(0, length - 1, _COVERAGE_FRAMES)}:
        plane: NDArray[np.bool_] = np.zeros((found["video_height"], found["video_width"]), bool)
        for one, run in zip(found["masklet_id"], found["masklet"][frame]):
            if one in kept:
                plane |= decode_rle(run)
        shares.append(float(plane.mean()))
    return fmean(shares)


def _vanish(content: Mapping[str, Any]) -> list[bool]:
    """Return of each masklet whether it vanishes on some frame and comes again."""
    vanish = []
    for column in range(len(content["masklet_id"])):
        visible = np.array([rle_area(row[column]) > 0 for row in content["masklet"]])
        seen = np.flatnonzero(visible)
        vanish.append(len(seen) > 0 and not visible[seen[0] : seen[-1]].all())
    return vanish


def _ranked(accepted: Sequence[float], rejected: Sequence[float]) -> float | None:
    if not accepted or not rejected:
        return None
    higher = np.subtract.outer(np.array(accepted), np.array(rejected))
    return float((higher > 0).mean() + (higher == 0).mean() / 2)
