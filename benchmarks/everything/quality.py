"""Everything in a stack, without a click: SEG, DET, TRA, LNK and F1 of divisions, beside two baselines.

    python benchmarks/everything/quality.py --data FOLDER [--styles NAME...] [--frames N...]
        [--real NAME...] [--kept FOLDER [--stored]] [--write FILE]

FOLDER is the one with ``usiigaci_T98G`` and the like. Prints one table; ``--write`` puts it between the
marks of a Markdown file. What was seen in each stack, and how long that took, stays in the folder of
``--kept``, so that another way to select and divide is measured in seconds; ``--stored`` leaves out what is
not there. Baselines, linked by laptrack: Otsu's threshold and a watershed, or automatic masks,
both on each frame by itself. Those are the masks of ``sam2 auto`` with its own settings.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from baselines import linked, otsu_watershed
from numpy.typing import NDArray
from stacks import FRAMES, SEEDS, Stack, all_styles, real, synthetic

from sam2_engine.disk import remove_folder
from sam2_engine.evaluation.lineage_scores import LabeledTracks, LineageScores, lineage_scores
from sam2_engine.frames import open_frames
from sam2_plugins.everything.finding import find_sightings
from sam2_plugins.everything.kept import FolderOfSightings, complete
from sam2_plugins.everything.run import track_everything
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import AutomaticSettings
from sam2_plugins.session.readable import run_to_end

METHODS = ("everything", "automatic masks + laptrack", "Otsu + watershed + laptrack")
EVERY = EverythingSettings(every=1)
USUAL = EverythingSettings(every=1, points_per_side=AutomaticSettings().points_per_side)
Row = tuple[LineageScores, float]
"""Scores, and seconds of processor time a frame."""


def labels_of(found: list[Sighting], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Number what was found, the surer one on top."""
    labels = np.zeros(shape, np.int32)
    for number, one in reversed(list(enumerate(found, start=1))):
        labels[one.mask.box][one.mask.crop()] = number
    return labels


def tracks_of(session: AnnotationSession) -> LabeledTracks:
    """Return a session's objects as labels and parents."""
    labels = np.stack([session.label_image(frame) for frame in range(len(session))])
    return LabeledTracks(labels, {i: one.parents[0] for i, one in session.objects.items() if one.parents})


def without_others(result: LabeledTracks, truth: LabeledTracks) -> LabeledTracks:
    """Leave out the tracks that lie on no labeled object, where not every object is labeled.

    What lies on one while it is there, and goes on when it has ended, stays, and is false from then on.
    """
    labeled = truth.labels.any((1, 2))
    tracks, there = result.labels[labeled], truth.labels[labeled] > 0
    mostly = [label for label in np.unique(tracks[there]) if label and there[tracks == label].mean() > 0.5]
    return LabeledTracks(np.where(np.isin(result.labels, mostly), result.labels, 0))


class Seen:
    """What was seen in a stack, and how long it took; read again if a folder has it."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "seconds.json"
        stored = self._path is not None and self._path.is_file()
        self.seconds: dict[str, float] = json.loads(self._path.read_text()) if stored else {}
        if folder is not None and not stored and folder.is_dir():
            remove_folder(folder)  # of a run that was stopped, of which no time is known
        self.sightings = None if folder is None else FolderOfSightings(folder, saved=lambda: False)

    def took(self, method: str, since: float) -> float:
        """Return the seconds of a method, those of the first time."""
        return self.seconds.setdefault(method, time.process_time() - since)

    def save(self) -> None:
        """Keep the seconds, now that all methods have been measured."""
        if self._path is not None:
            self._path.write_text(json.dumps(self.seconds))


def measured(stack: Stack, store: ModelStore, model: str, folder: Path | None = None) -> dict[str, Row]:
    """Find and track by each method."""
    seen = Seen(folder)
    with open_frames(stack.frames, axes=stack.axes) as frames:
        session = AnnotationSession(frames, store, model, history=None)
        confidence, divides = store.load(model).confidence, frames.axis != "Z"
        begin = time.process_time()
        track_everything(session, EVERY, seen.sightings)
        results = {METHODS[0]: (tracks_of(session), seen.took(METHODS[0], begin))}
        begin = time.process_time()
        found = [labels_of(usual(session, f, confidence, seen), frames.shape) for f in range(len(frames))]
        results[METHODS[1]] = (linked(found, divides), seen.took(METHODS[1], begin))
        begin = time.process_time()
        tracks = linked([otsu_watershed(image) for image in stack.frames], divides)
        results[METHODS[2]] = (tracks, seen.took(METHODS[2], begin))
        seen.save()
    rows = {}
    for name, (tracks, seconds) in results.items():
        result = tracks if stack.complete else without_others(tracks, stack.truth)
        rows[name] = lineage_scores(stack.truth, result), seconds / len(stack.frames)
    return rows


def usual(session: AnnotationSession, frame: int, confidence: float, seen: Seen) -> list[Sighting]:
    """Return the masks of a frame as ``sam2 auto`` finds them."""
    name = f"usual-{frame:06d}"
    kept = None if seen.sightings is None else seen.sightings.get(name)
    if kept is not None:
        return complete(kept[frame])
    found = run_to_end(find_sightings(session, frame, USUAL, confidence))
    if seen.sightings is not None:
        seen.sightings.put(name, {frame: [*found]})
    return found


def table(groups: dict[str, list[tuple[Stack, dict[str, Row]]]]) -> Iterator[str]:
    """Yield the lines of a table: a group's means by each method."""
    yield "| stacks | method | SEG | DET | TRA | LNK | F1 of divisions | s a frame |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, members in groups.items():
        for method in METHODS:
            rows = [rows[method] for _, rows in members]
            persistent = all(stack.persistent for stack, _ in members)
            scores = [
                f"{np.mean([getattr(one, key) for one, _ in rows]):.3f}"
                if persistent or key in ("seg", "det")
                else ""
                for key in ("seg", "det", "tra", "lnk")
            ]
            divisions = [one.division_f1 for one, _ in rows if one.division_f1 is not None]
            divided = f"{np.mean(divisions):.2f}" if divisions and persistent and _divides(members) else ""
            seconds = f"{np.mean([seconds for _, seconds in rows]):.1f}"
            yield f"| {name} | {method} | {' | '.join(scores)} | {divided} | {seconds} |"


def _divides(members: list[tuple[Stack, dict[str, Row]]]) -> bool:
    return any(stack.truth.parents for stack, _ in members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--styles", nargs="*", default=all_styles())
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--frames", nargs="*", type=int, default=[FRAMES], help="Of synthetic scenes.")
    parser.add_argument("--real", nargs="*", help="Names of real sets; all that are there if it is left out.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="Folder of what was seen, which is used again.")
    parser.add_argument("--stored", action="store_true", help="Only stacks that are whole in that folder.")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    store = ModelStore("cpu")
    groups: dict[str, list[tuple[Stack, dict[str, Row]]]] = defaultdict(list)
    drawn = [(style, seed, n) for style in options.styles for seed in options.seeds for n in options.frames]
    stacks = [synthetic(*one) for one in drawn]
    found = real(options.data)
    stacks += [one for one in found if options.real is None or one.name.startswith(tuple(options.real))]
    for stack in stacks:
        folder = None if options.kept is None else options.kept / stack.name
        if options.stored and not (folder / "seconds.json").is_file():
            continue
        rows = measured(stack, store, options.model, folder)
        groups[stack.name].append((stack, rows))
        for method, (scores, seconds) in rows.items():
            print(stack.name, method, scores, f"{seconds:.1f} s a frame", flush=True)
    lines = "\n".join(table(groups))
    print(lines)
    if options.write is not None:
        text = options.write.read_text(encoding="utf-8")
        before, rest = text.split("<!-- table -->", 1)
        after = rest.split("<!-- end of table -->", 1)[1]
        options.write.write_text(
            f"{before}<!-- table -->\n{lines}\n<!-- end of table -->{after}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
