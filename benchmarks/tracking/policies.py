"""Memory policies beside each other: identity switches, J, objects found again, and cost.

    python benchmarks/tracking/policies.py [--data FOLDER] [--only KIND] [--scores FOLDER] [--write]

All objects of a scene are prompted by their true masks on its first frame and tracked by nano. The policies
go from frame to frame in turns, on the same encoded frames; cost is process time without the encoder, as a
part of that of ``recent``. ``--write`` writes ``benchmarks/results/memory_policies.md``.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

import scenarios
import scenes

from sam2_engine import load_model
from sam2_engine.evaluation import LabeledSequence
from sam2_engine.evaluation.metrics import boundary_f
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.open_session import open_video_session

RESULTS = Path(__file__).parents[1] / "results" / "memory_policies.md"
CONFIGURATIONS: dict[str, dict[str, object]] = {
    **{name: {"memory_policy": name} for name in ("recent", "motion", "distractor_aware", "long_term")},
    **{name: {"memory_policy": name} for name in ("motion+distractor_aware", "motion+long_term")},
    "recent, no overlaps": {"memory_policy": "recent", "overlapping": False},
    "motion, no overlaps": {"memory_policy": "motion", "overlapping": False},
}
MOST_OBJECTS = 80
"""Of more, evenly chosen ones are tracked, but in scenes drawn with more."""
SAME = 0.5
"""IoU from which a mask is that object."""
RETURN = 8
"""Frames after it is back in which an object counts as found again."""
SMALLEST = 64


@dataclass
class Score:
    """What is counted of one configuration on some scenes.

    Attributes
    ----------
    j, f
        Of each object and frame after the prompted one.
    switches
        Times that an object's place is taken by another's mask.
    returns, found
        Times that an object came back, and was found.
    seconds
        Process time without the encoder.
    """

    j: list[float] = field(default_factory=list)
    f: list[float] = field(default_factory=list)
    switches: int = 0
    returns: int = 0
    found: int = 0
    seconds: float = 0.0

    def add(self, other: "Score") -> None:
        """Add the counts of another scene."""
        self.j += other.j
        self.f += other.f
        self.switches += other.switches
        self.returns += other.returns
        self.found += other.found
        self.seconds += other.seconds


Masks = dict[int, dict[int, NDArray[np.bool_]]]
"""By frame and object."""


def track(model: Sam2, sequence: LabeledSequence, names: list[str]) -> dict[str, tuple[Masks, float]]:
    """Track a scene with each configuration, in turns; the masks, and the seconds."""
    cache, start = FeatureCache(2**31), start_of(sequence)
    is_crowd = "crowd" in sequence.name  # of which all are tracked, however small they are drawn
    smallest = SMALLEST // 2 if is_crowd else SMALLEST
    objects = [i for i in sequence.ground_truth if sequence.mask(i, start).sum() >= smallest]
    if not is_crowd:
        objects = objects[:: max(1, -(-len(objects) // MOST_OBJECTS))]
    sessions, masks, seconds = {}, {}, dict.fromkeys(names, 0.0)
    for name in names:
        session = open_video_session(
            model, sequence.frames, cache=cache, remove_small_components=None, **CONFIGURATIONS[name]
        )
        for object_id in objects:
            session.add_mask(start, object_id, sequence.mask(object_id, start))
        sessions[name], masks[name] = session, {}
    for frames in (range(start, len(sequence.frames)), range(start, -1, -1)[: start and None]):
        runs = {name: session.propagate(reverse=frames.step < 0) for name, session in sessions.items()}
        for number in frames:
            sessions[names[0]].encode(number)
            for name in names:
                begun = time.process_time()
                result = next(runs[name])
                seconds[name] += time.process_time() - begun
                masks[name][number] = dict(zip(result.object_ids, result.masks, strict=True))
                exchange_back(masks[name], result, frames.step)
    return {name: (dict(sorted(masks[name].items())), seconds[name]) for name in names}


def exchange_back(masks: Masks, result: FrameResult, step: int) -> None:
    """Exchange the masks of earlier frames, as sessions do, where two objects were taken for each other."""
    for (one, other), since in result.exchanges.items():
        for there in (masks[frame] for frame in range(since, result.frame, step)):
            there[one], there[other] = there[other], there[one]


def start_of(sequence: LabeledSequence) -> int:
    """Return where to begin: a volume's largest plane, the first frame of all else."""
    if 0 in {f for frames in sequence.ground_truth.values() for f in frames}:
        return 0
    return max(
        range(len(sequence.frames)),
        key=lambda f: sum(sequence.mask(i, f).sum() for i in sequence.ground_truth),
    )


def score(sequence: LabeledSequence, masks: Masks, seconds: float) -> Score:
    """Compare masks with the truth."""
    result, last = Score(seconds=seconds), {}
    objects, start = list(masks[0]), start_of(sequence)
    seen = {i: [sequence.mask(i, f).sum() >= SMALLEST // 2 for f in masks] for i in objects}
    good: dict[int, list[bool]] = {i: [] for i in objects}
    for frame, predicted in masks.items():
        truths = np.stack([sequence.mask(i, frame) for i in objects])
        ious = iou_matrix(np.stack([predicted[i] for i in objects]), truths)
        for n, i in enumerate(objects):
            good[i].append(ious[n, n] >= SAME)
            if frame != start:
                result.j.append(float(ious[n, n]))
                result.f.append(boundary_f(predicted[i], truths[n]))
            by = int(ious[:, n].argmax())
            if seen[i][frame] and ious[by, n] >= SAME:
                result.switches += last.get(i, by) != by
                last[i] = by
    for i in objects:
        back = [f for f in range(1, len(masks)) if seen[i][f] and not seen[i][f - 1]]
        result.returns += len(back)
        result.found += sum(bool(any(good[i][f : f + RETURN])) for f in back)
    return result


def iou_matrix(masks: NDArray[np.bool_], truths: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the IoU of each of (N, H, W) masks with each of (N, H, W) others; 1 where both are empty."""
    one, other = (part.reshape(len(part), -1).astype(np.float32) for part in (masks, truths))
    shared = (one @ other.T).astype(np.float64)
    union = one.sum(1)[:, None] + other.sum(1)[None] - shared
    return np.divide(shared, union, out=np.ones_like(shared), where=union > 0)


Scores = dict[str, dict[str, Score]]
"""By kind of scene and configuration."""


def measure(
    kinds: list[tuple[str, str, Callable[[], LabeledSequence]]],
    model: Sam2,
    names: list[str],
    folder: Path | None,
    is_stored: bool = False,
) -> Scores:
    """Track and score scenes; configurations that have scores in a folder already are read from there."""
    scores: Scores = defaultdict(lambda: {name: Score() for name in names})
    for title, kind, make in kinds:
        path = None if folder is None else folder / f"{title}.json"
        found = stored_scores(path)
        missing = [name for name in names if name not in found]
        if missing and is_stored:
            continue
        if missing:
            sequence = make()
            tracked = track(model, sequence, ["recent", *(name for name in missing if name != "recent")])
            now = {name: score(sequence, *one) for name, one in tracked.items()}
            base = now["recent"].seconds
            found.setdefault("recent", now["recent"])
            for name in missing:  # in the time of the `recent` that was measured first
                now[name].seconds *= found["recent"].seconds / base
                found[name] = now[name]
            if path is not None:
                path.write_text(json.dumps({name: vars(one) for name, one in found.items()}))
        for name in names:
            one = found[name]
            scores[kind][name].add(one)
            print(
                f"{kind:16} {name:34} J {np.mean(one.j):.3f} switches {one.switches:3} "
                f"found {one.found}/{one.returns} {one.seconds:.1f} s",
                flush=True,
            )
    return scores


def stored_scores(path: Path | None) -> dict[str, Score]:
    """Return the scores of a scene that are in a file, by configuration."""
    if path is None or not path.exists():
        return {}
    return {name: Score(**one) for name, one in json.loads(path.read_text()).items()}


def is_scored(folder: Path | None, title: str, names: list[str]) -> bool:
    """Whether a scene's scores are in a folder, of all of some configurations."""
    return folder is not None and stored_scores(folder / f"{title}.json").keys() >= {*names}


def table(scores: Scores, names: list[str]) -> list[str]:
    """Return lines of a Markdown table."""
    lines = [
        "| scenes | policy | J | F | identity switches | found again | cost |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, by_name in scores.items():
        base = by_name["recent"].seconds
        for name in names:
            one = by_name[name]
            found = f"{one.found} of {one.returns}" if one.returns else ""
            cells = (
                kind if name == names[0] else "",
                name,
                f"{np.mean(one.j):.3f}",
                f"{np.mean(one.f):.3f}",
                str(one.switches),
                found,
                f"{one.seconds / base:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def overall(scores: Scores, names: list[str]) -> dict[str, Score]:
    """Return the sums over all scenes; J and F are means of the scenes' means."""
    total = {name: Score() for name in names}
    for by_name in scores.values():
        for name, one in by_name.items():
            total[name].add(Score([float(np.mean(one.j))], [float(np.mean(one.f))], one.switches))
            total[name].add(Score([], [], 0, one.returns, one.found, one.seconds))
    return total


def main() -> None:
    """Print the tables, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="Folder of the real stacks.")
    parser.add_argument("--only", help="Kinds of scenes that begin so.")
    parser.add_argument("--policies", nargs="+", default=list(CONFIGURATIONS), choices=list(CONFIGURATIONS))
    parser.add_argument("--scores", type=Path, help="Folder in which scores are kept, and read again.")
    parser.add_argument("--first", type=int, default=0, help="Number of the first seed.")
    parser.add_argument("--stored", action="store_true", help="Only scenes that have scores there.")
    parser.add_argument("--input", type=int, default=256, help="Side of the model's input; 128: in tiles.")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    names = arguments.policies
    torch.set_num_threads(1)
    drawn = [
        one
        for one in scenarios.synthetic(range(arguments.first, arguments.seeds))
        if one[1].startswith(arguments.only or "")
    ]
    groups = {}
    if arguments.data is not None:
        kinds = [one for one in scenarios.real(arguments.data) if one[1].startswith(arguments.only or "")]
        groups["Real stacks, nano's own input"] = (kinds, load_model("nano", device="cpu"))
    side = arguments.input
    groups[f"Synthetic scenes, input {side}"] = (drawn, load_model("nano", device="cpu", image_size=side))
    lines = [
        "# Memory policies",
        "",
        f"{scenes.provenance()}; nano, 1 thread; objects prompted by their true masks on the first frame "
        "(of a volume: on the plane where it is largest).",
        "Cost: process time without the encoder, in turns, as a part of that of `recent`.",
        "",
    ]
    for title, (kinds, model) in groups.items():
        scores = measure(kinds, model, names, arguments.scores, arguments.stored)
        if scores:
            total = table({"all": overall(scores, names)}, names)
            count = sum(1 for name, *_ in kinds if is_scored(arguments.scores, name, names))
            said = f"{count} of {len(kinds)} scenes." if arguments.stored else f"{len(kinds)} scenes."
            lines += [f"## {title}", "", said, "", *table(scores, names), *total[2:], ""]
    print("\n".join(lines))
    if arguments.write:
        RESULTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
