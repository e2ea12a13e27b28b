"""An hour of everything in turns: does anything grow, and how sure is that?

    python benchmarks/soak.py [--minutes N] [--rounds N] [--leak BYTES] [--output FILE]      (or: make soak)

One process works on a session that is saved (clicks, undo, verifying, tracking, review, snapshots, closing
and opening it again), exports it in every format, and serves requests of Label Studio. After each such round
memory, threads, descriptors, files and the time of each part are measured, and a line is fitted to each: its
slope per round, with the bound within which it lies at 95 %. Exits with 1 if something certainly grows by
more than is allowed. ``--leak`` keeps so many bytes a round, to see that it would be found. Linux.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import labelstudio_soak as server
import numpy as np
import scenes
import torch

from labelstudio_backend.http.app import Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_plugins import FORMATS, AnnotationSession, ModelStore, SessionFolder, open_session
from sam2_plugins.review import LiveReview

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from process_usage import Trend, tidy_usage

RESULTS = Path(__file__).parent / "results" / "soak.md"
FRAMES, OBJECTS, TASKS = 12, 4, 10
UNDO_BYTES = 1 << 20
"""As small as this, undo is full during the warm-up; by default it grows up to 256 MiB, as it should."""
SELDOM, EVERY = "closing and opening", 8

ALLOWED = {"memory": 20_000.0, "private memory": 20_000.0, "threads": 0.0, "descriptors": 0.0, "files": 0.0}
"""Slopes per round."""
WHOLE = 0.001
"""In place of no growth at all, which no bound would ever prove: less than one in a thousand rounds."""
SLOWER = 0.0005
"""Share of its mean by which a part may become slower in every round."""


class Work:
    """All that is done in a round, part by part, on one session folder and one server."""

    def __init__(self, folder: Path, application: Application) -> None:
        self._folder, self._application = folder, application
        self._store = ModelStore("cpu")
        self._frames = np.stack([scenes.draw(frame, OBJECTS) for frame in range(FRAMES)])
        self._session = AnnotationSession(self._frames, self._store, axes="TYXS", undo_bytes=UNDO_BYTES)
        self._saved = SessionFolder.create(folder / "work.sam2", self._session)
        for number in range(OBJECTS):
            self._session.add_object(f"disc {number}")
        self._review = LiveReview(self._session)
        self._chance, self._frame = np.random.default_rng(0), 0
        self.parts: dict[str, Callable[[int], None]] = {
            "clicks and undo": self._clicks,
            "tracking": self._track,
            "review": self._look,
            "export": self._export,
            "snapshot": lambda number: self._saved.snapshot(),
            "image request": self._image,
            "video request": self._video,
            SELDOM: self._reopen,
        }

    def _clicks(self, number: int) -> None:
        session = self._session
        frame = self._frame = int(self._chance.integers(FRAMES - 2))
        for object_id in self._chance.permutation(list(session.objects))[:2].tolist():
            session.verify(object_id, session.verified(object_id), False)
            place = scenes.center(frame, object_id - 1, OBJECTS)
            session.add_points(frame, object_id, [place], [1], replace=True)
        session.undo()
        session.redo()
        session.verify(object_id, [frame], True)

    def _track(self, number: int) -> None:
        for _ in self._session.iter_propagate(start=self._frame, stop=self._frame + 2):
            pass

    def _look(self, number: int) -> None:
        self._review.queue()

    def _export(self, number: int) -> None:
        names = [name for name, one in FORMATS.items() if not one.why_not(self._session)]
        one = FORMATS[names[number % len(names)]]
        target = self._folder / f"export{one.suffix}"
        one.write(self._session, target, overwrite=True)
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    def _image(self, number: int) -> None:
        task = number % TASKS
        server.timed(self._application, server.click(task - server.is_video(task), task, number % OBJECTS))

    def _video(self, number: int) -> None:
        task, disc = 4 + 5 * (number % 2), int(self._chance.integers(10))
        server.timed(self._application, server.boxes(task, task, server.SOAK_FRAMES, [disc]))

    def _reopen(self, number: int) -> None:
        self._review.close()
        self._saved.close()
        self._session, self._saved = open_session(
            self._folder / "work.sam2", self._store, self._frames, undo_bytes=UNDO_BYTES
        )
        self._review = LiveReview(self._session)

    def close(self) -> None:
        """End it."""
        self._review.close()
        self._saved.close()


@contextlib.contextmanager
def working(folder: Path) -> Iterator[Work]:
    """Give the work, with a server whose caches overflow all the time."""
    media = folder / "media"
    media.mkdir()
    server.write_media(media, TASKS, server.SOAK_FRAMES)
    with server.file_server(media) as url:
        settings = Settings(
            "nano",
            "cpu",
            label_studio_url=url,
            predict_seconds=3600,
            state_folder=folder / "state",
            **server.SMALL,
        )
        predictor = Predictor(settings)
        predictor.load()
        work = Work(folder, Application(predictor))
        yield work
        work.close()
        predictor.close()


def measure(given: argparse.Namespace) -> dict[str, list[float]]:
    """Return what was measured after every round, by name; times in milliseconds."""
    found: dict[str, list[float]] = defaultdict(list)
    kept: list[bytes] = []
    with tempfile.TemporaryDirectory() as name, working(Path(name)) as work:
        end = time.monotonic() + 60 * given.minutes
        number = 0
        while time.monotonic() < end and number < given.rounds:
            for part, do in work.parts.items():
                if part == SELDOM and number % EVERY:
                    continue
                start = time.process_time()
                do(number)
                found[f"{part}, ms"].append(1000 * (time.process_time() - start))
            kept.append(b"x" * given.leak)
            usage = tidy_usage(Path(name))
            values = (usage.memory, usage.private, usage.threads, usage.descriptors, usage.files)
            for what, value in zip(ALLOWED, values, strict=True):
                found[what].append(value)
            number += 1
            if number % 20 == 0:
                print(f"round {number}: {usage}", file=sys.stderr, flush=True)
    return found


def judged(found: dict[str, list[float]]) -> Iterator[tuple[str, Trend, str]]:
    """Yield each quantity, its line, and whether it grows."""
    for name, values in found.items():
        trend = Trend.of(values)
        allowed = (ALLOWED[name] or WHOLE) if name in ALLOWED else SLOWER * trend.mean
        yield name, trend, trend.verdict(allowed)


def row(name: str, values: list[float], trend: Trend, verdict: str) -> str:
    """Return a row of the table; memory in MB, and its slope in kB."""
    memory = "memory" in name
    unit, small = (1e6, 1e3) if memory else (1, 1)
    digits = 1 if memory or name.endswith("ms") else 0
    shown = f"{trend.mean / unit:.{digits}f}" + (" MB" if memory else "")
    slope = f"{trend.slope / small:+.4f}" if not memory else f"{trend.slope / small:+.1f} kB"
    bound = f"{trend.bound / small:.4f}" if not memory else f"{trend.bound / small:.1f} kB"
    return f"| {name} | {values[0] / unit:.{digits}f} | {shown} | {slope} | ±{bound} | {verdict} |"


def main() -> int:
    """Run, report, and return whether something grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=10**9)
    parser.add_argument("--leak", type=int, default=0, metavar="BYTES", help="keep so many in every round")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    provenance, start = scenes.provenance(), time.monotonic()
    found = measure(given)
    trends = list(judged(found))
    grows = [name for name, _, verdict in trends if verdict == "GROWS"]
    count = len(found["memory"])
    lines = [
        f"{provenance}; one thread, {count} rounds in {(time.monotonic() - start) / 60:.0f} minutes"
        + (f"; a leak of {given.leak} bytes a round is planted." if given.leak else "."),
        "",
        "A line is fitted to the rounds after the warm-up, the first quarter. Allowed are 20 kB of memory a "
        f"round, nothing of what is counted, and {100 * SLOWER:g} % of a part's processor time.",
        "",
        "| what | first round | mean | slope per round | within, at 95 % | |",
        "|---|---:|---:|---:|---:|---|",
        *(row(name, found[name], trend, verdict) for name, trend, verdict in trends),
    ]
    title = "Soak: everything in turns, and what grows"
    scenes.write_section(given.output, title, "A planted leak" if given.leak else "The long run", lines)
    return 1 if grows else 0


if __name__ == "__main__":
    sys.exit(main())
