"""How far to believe divisions of a probability, and whether touching objects exchange their identities.

    python benchmarks/everything/lineage.py FOLDER [--scenes NAME...] [--exact N...] [--write FILE]

In FOLDER are short scenes and their sessions, or they are made there by the command, which takes minutes.
They are scored, and their divisions and links judged, against the truth. ``--exact``: seeds of scenes whose
true masks are taken for tracks, which says what sizes and positions alone tell. ``--write`` puts all into a
page of results instead of the earlier figures.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from by_command import SCENES, tracked
from quality import tracks_of
from stacks import Stack, synthetic
from weights import STYLES, exact_tracks, object_under

sys.path.append(str(Path(__file__).parents[1]))
import scenes

from sam2_engine.evaluation.lineage_scores import LineageScores, lineage_scores
from sam2_plugins.everything.divisions import ASKED, ProposedDivision, propose_divisions
from sam2_plugins.everything.existing import sightings_of
from sam2_plugins.everything.storing import divisions_of
from sam2_plugins.review.queue import DOUBTFUL, review_queue
from sam2_plugins.session.annotation_session import AnnotationSession

RANGES = ((0.1, ASKED), (ASKED, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))
Ids = dict[int, dict[int, int]]
"""By track and frame the true object that its mask stands for, 0 for none."""


@dataclass
class Judged:
    """What is right in some stacks.

    Attributes
    ----------
    divisions
        The probability of each one that was proposed, and whether it is a true one.
    exchanges
        Per link to another true object: whether the review asks there.
    links
        How many links there are in all.
    """

    divisions: list[tuple[float, bool]] = field(default_factory=list)
    exchanges: list[bool] = field(default_factory=list)
    links: int = 0


def is_right(stack: Stack, ids: Ids, one: ProposedDivision) -> bool:
    """Whether both daughters stand for children of what the mother stood for just before."""
    mother = _mostly([true for frame, true in ids[one.mother].items() if frame < one.frame][-3:])
    born = {
        _mostly([true for frame, true in ids[each].items() if frame >= one.frame]) for each in one.daughters
    }
    return len(born) == 2 and all(stack.truth.parents.get(each) == mother != 0 for each in born)


def _mostly(ids: list[int]) -> int:
    counted = Counter(one for one in ids if one)
    return counted.most_common(1)[0][0] if counted else 0


def exchanged(stack: Stack, ids: Ids) -> Iterator[tuple[int, int]]:
    """Yield (track, frame) wherever a track goes over to another object, which was there before."""
    there = [set(np.unique(labels).tolist()) - {0} for labels in stack.truth.labels]
    for track, by_frame in ids.items():
        known = [(frame, true) for frame, true in by_frame.items() if true]
        for (before, one), (frame, other) in pairwise(known):
            if one != other and other in there[before]:
                yield track, frame


def judge(stack: Stack, session: AnnotationSession, judged: Judged) -> None:
    """Judge what a session holds."""
    ids: Ids = {}
    for track in session.objects:
        seen = sightings_of(session, track)
        ids[track] = {frame: object_under(stack.truth.labels[frame], one) for frame, one in seen.items()}
    judged.divisions += [(one.probability, is_right(stack, ids, one)) for one in divisions_of(session)]
    doubtful = {(one.object_id, one.frame) for one in review_queue(session, min_score=DOUBTFUL)}
    for track, frame in exchanged(stack, ids):
        judged.exchanges.append(bool({(track, frame), (track, frame - 1)} & doubtful))
    judged.links += sum(len(by_frame) - 1 for by_frame in ids.values() if by_frame)


def judge_exact(stack: Stack, rng: np.random.Generator, judged: Judged) -> None:
    """Judge the divisions that are proposed for the true masks."""
    tracks = exact_tracks(stack, rng)
    ids = {
        number: {frame: object_under(stack.truth.labels[frame], one) for frame, one in sorted(seen.items())}
        for number, seen in tracks.items()
    }
    judged.divisions += [(one.probability, is_right(stack, ids, one)) for one in propose_divisions(tracks)]


def division_lines(columns: dict[str, Judged]) -> Iterator[str]:
    """Yield the lines of a table: of those of a probability how many are right."""
    yield f"| probability | {' | '.join(f'{name} | of them right' for name in columns)} |"
    yield "|---" * (1 + 2 * len(columns)) + "|"
    for low, high in RANGES:
        cells = []
        for judged in columns.values():
            right = [true for sure, true in judged.divisions if low <= sure < high or sure == high == 1]
            cells += [str(len(right)), f"{np.mean(right):.0%}" if right else ""]
        yield f"| {low:.0%} to {high:.0%} | {' | '.join(cells)} |"


def score_lines(scores: dict[str, LineageScores]) -> Iterator[str]:
    """Yield the lines of a table: how good everything is in each scene."""
    yield "| scene | SEG | DET | TRA | LNK | F1 of divisions |"
    yield "|---" * 6 + "|"
    for name, one in scores.items():
        divided = "" if one.division_f1 is None else f"{one.division_f1:.2f}"
        yield f"| {name} | {one.seg:.3f} | {one.det:.3f} | {one.tra:.3f} | {one.lnk:.3f} | {divided} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", nargs="*", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--exact", nargs="*", type=int, default=range(11, 17))
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, found, exact, scores = np.random.default_rng(0), Judged(), Judged(), {}
    for name in options.scenes:
        with tracked(name, options.folder) as (stack, session):
            if stack.truth.parents:
                judge(stack, session, found)
            scores[stack.name] = lineage_scores(stack.truth, tracks_of(session))
    for stack in (synthetic(style, seed, 8) for style in STYLES for seed in options.exact):
        judge_exact(stack, rng, exact)
    lines = [
        f"By the command with its own settings. {scenes.provenance()}.",
        "",
        *score_lines(scores),
        "",
        "Divisions: of those of a probability how many are right, in these scenes, and in eight frames of "
        f"the exact masks of the same styles, seeds {min(options.exact)} to {max(options.exact)}.",
        "",
        *division_lines({"as found": found, "exact masks": exact}),
        "",
        f"Of {found.links} links of tracks {len(found.exchanges)} go over to another object that was there "
        f"before, and at {sum(found.exchanges)} of these the review asks.",
    ]
    print("\n".join(lines))
    if options.write is not None:
        scenes.write_section(
            options.write, "Everything in a stack", "Scenes, divisions and identities", lines
        )


if __name__ == "__main__":
    main()
