"""How long a click waits for the review, for saving and for opening, in a large session.

    python benchmarks/review/refresh.py [--frames N ...] [--objects N] [--clicks N]

A session of tracked discs, made directly; clicks by nano. Times in milliseconds of this process's work, the
median and the longest of the clicks. Writes ``benchmarks/results/review/refresh.md``.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

from sam2_engine.masks import CompressedMask
from sam2_plugins import AnnotationSession, ModelStore, SessionFolder, open_session
from sam2_plugins.review import LiveReview
from sam2_plugins.runtime.garbage import making_what_stays
from sam2_plugins.session.annotations import AnnotatedObject, Change, ChangeKind
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskScores
from sam2_plugins.storage import session_folder

BENCHMARKS = Path(__file__).parents[1]
sys.path.append(str(BENCHMARKS))

import scenes  # noqa: E402

RESULTS = BENCHMARKS / "results" / "review" / "refresh.md"
SIDE = 256


def tracked(frames: int, objects: int) -> Iterator[Change]:
    """Yield the changes that make a session of discs, each on every frame; every tenth is doubtful."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24]
    discs = [(x - 12) ** 2 + (y - 12) ** 2 < radius**2 for radius in rng.uniform(7, 11, 16)]
    for object_id in range(1, objects + 1):
        yield Change(
            ChangeKind.OBJECT,
            object_id,
            None,
            None,
            AnnotatedObject(object_id, f"disc {object_id}", None, (255, 0, 0)),
        )
        corners = 110 + 100 * np.sin(np.arange(frames)[:, None] / 40 + object_id * np.array([1, 2.3]))
        for frame, (top, left) in enumerate(corners.astype(int).tolist()):
            crop = discs[int(rng.integers(len(discs)))]
            mask = CompressedMask.from_array(crop, (SIDE, SIDE), (top, left))
            scores = MaskScores(0.999, float(rng.uniform(0.3, 1) if frame % 10 == 0 else 0.9), 0.95)
            accepted = AcceptedMask(mask, MaskOrigin.TRACKED, scores)
            yield Change(ChangeKind.MASK, object_id, frame, None, accepted)


def timed(do: Callable[[], object]) -> float:
    """Return how many milliseconds something takes."""
    start = time.process_time()
    do()
    return 1000 * (time.process_time() - start)


def measure(frames: int, objects: int, clicks: int) -> dict[str, list[float]]:
    """Return milliseconds by what was done."""
    store, rng = ModelStore("cpu"), np.random.default_rng(1)
    planes = np.broadcast_to(np.zeros((SIDE, SIDE), np.uint8), (frames, SIDE, SIDE))
    session = AnnotationSession(planes, store, axes="TYX")
    with making_what_stays():  # as when it is opened
        session.restore(tracked(frames, objects), objects)
    review = LiveReview(session)
    found: dict[str, list[float]] = {"review, all of it": [timed(review.queue)]}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "work.sam2"
        made: list[SessionFolder] = []
        found["creating the folder"] = [
            timed(lambda: made.append(SessionFolder.create(path, session, source=None)))
        ]
        for _ in range(clicks):
            object_id, frame = int(rng.integers(1, objects + 1)), int(rng.integers(frames))
            place = [(int(rng.integers(SIDE)), int(rng.integers(SIDE)))]
            session.add_points(frame, object_id, place, [1])
            found.setdefault("review after a click", []).append(timed(review.queue))
            for name, do in (
                ("verifying a mask, saved", lambda: session.verify(object_id, [frame])),  # noqa: B023
                ("review after that", review.queue),
                ("undo, saved", session.undo),
                ("redo, saved", session.redo),
            ):
                found.setdefault(name, []).append(timed(do))
        for object_id in session.objects:
            session.verify(object_id, [0])
        made[0]._dirty = set(session.objects)
        found["snapshot of everything"] = [timed(made[0].snapshot)]
        made[0]._dirty = set(session.objects)
        session_folder._LONG_JOURNAL = 0
        start = time.perf_counter()
        session.edit_object(1, name="makes a snapshot due")
        found["action that makes a snapshot of everything due"] = [1000 * (time.perf_counter() - start)]
        session_folder._LONG_JOURNAL = 1 << 30
        made[0].close()
        review.close()
        opened: list[tuple[AnnotationSession, SessionFolder]] = []
        for name in ("closing, nothing changed", "closing, one object changed"):
            opening = timed(lambda: opened.append(open_session(path, store, planes)))
            found.setdefault("opening", []).append(opening)
            again, folder = opened.pop()
            if "one object" in name:
                again.verify(1, [1])
            found[name] = [timed(folder.close)]
    return found


def digits(name: str) -> int:
    """Return how many digits after the point a time of some kind is worth."""
    return 1 if "saved" in name or "after that" in name else 0


def main() -> None:
    """Print the table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--objects", type=int, default=30)
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    provenance = scenes.provenance()
    by_frames = {frames: measure(frames, given.objects, given.clicks) for frames in given.frames}
    names = list(next(iter(by_frames.values())))
    lines = [
        f"{provenance}; {given.objects} objects on {SIDE} x {SIDE} pixels, median of {given.clicks} clicks "
        "and the longest.",
        "",
        f"| milliseconds | {' | '.join(f'{frames} frames' for frames in given.frames)} |",
        f"|---|{'---:|' * len(given.frames)}",
    ]
    for name in names:
        cells = [
            f"{median(values[name]):.{digits(name)}f}"
            + (f" ({max(values[name]):.{digits(name)}f})" if len(values[name]) > 1 else "")
            for values in by_frames.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    scenes.write_section(given.output, "Review, saving and opening of large sessions", "Now", lines)


if __name__ == "__main__":
    main()
