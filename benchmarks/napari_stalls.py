"""How long the napari window does not respond while objects are tracked: one table.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/napari_stalls.py [--objects N] [--blame]

nano tracks discs (two, unless said otherwise) through a stack of 16 bits in a real window. A timer of 5 ms
measures the time from one turn of the window's event loop to the next; every other few seconds the slider is
moved ten times a second. Afterwards the slider is moved as much with nothing to compute, which is napari's
own share. With ``--blame``, a thread records what the window's thread is doing whenever it has not responded
for 50 ms. Writes ``benchmarks/results/napari.md``.
"""

import argparse
import collections
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import napari
import napari_window
import numpy as np
import scenes
from qtpy.QtCore import QObject, Qt, QTimer

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.session.propagation_plan import Direction

TURN = 5
SCRUB = 100
PHASE = 4.0
BLAMED = 0.05
ALONE, SCRUBBED, NOTHING = "tracking", "tracking, the slider moved", "nothing to do, the slider moved"
ALLOWED_99, ALLOWED_WORST = 100, 250


class Stalls(QObject):
    """Milliseconds between two turns of the event loop, and of computing in them, by what goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = ""
        self.gaps: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
        self.last, self._computed = time.monotonic(), time.thread_time()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_turn)
        self._timer.start(TURN)

    def _on_turn(self) -> None:
        now, computed = time.monotonic(), time.thread_time()
        if self.phase:
            self.gaps[self.phase].append(((now - self.last) * 1000, (computed - self._computed) * 1000))
        self.last, self._computed = now, computed


@contextmanager
def blaming(stalls: Stalls, wanted: bool) -> Iterator[collections.Counter]:
    """Count where the window's thread is whenever it has not responded for a while."""
    places: collections.Counter = collections.Counter()
    main, ended = threading.get_ident(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if stalls.phase and time.monotonic() - stalls.last > BLAMED:
                frames = traceback.extract_stack(sys._current_frames()[main])
                calls = [f"{f.filename.split('site-packages/')[-1]}:{f.lineno} {f.name}" for f in frames]
                places[" < ".join(reversed(calls[-6:]))] += 1

    thread = threading.Thread(target=watch, daemon=True)
    if wanted:
        thread.start()
    yield places
    ended.set()


def row(name: str, gaps: list[tuple[float, float]]) -> str:
    """One line of the table."""
    cells = [f"{value:.0f}" for values in np.array(gaps).T for value in np.percentile(values, (50, 99, 100))]
    return f"| {name} | {len(gaps)} | {' | '.join(cells)} |"


def table(
    arguments: argparse.Namespace, gaps: dict[str, list[tuple[float, float]]], seconds: float
) -> list[str]:
    """Everything that was measured, in lines."""
    size = f"{arguments.frames} frames of {arguments.side} × {arguments.side}, 16 bits"
    tracking = gaps[ALONE] + gaps[SCRUBBED]
    return [
        f"{size}, {arguments.objects} objects tracked by nano in {seconds:.0f} s; no graphics card (Xvfb).",
        "",
        "| ms from one turn to the next | turns | 50 % | 99 % | worst | computing: 50 % | 99 % | worst |",
        "|---" * 8 + "|",
        *(row(name, values) for name, values in gaps.items()),
        row(f"all of the tracking (wanted: 99 % ≤ {ALLOWED_99}, worst ≤ {ALLOWED_WORST})", tracking),
        "",
        "Turns of the event loop. *Computing* is the processor time of the window's thread in them; else it",
        "waited: for its timer, for other threads or, on a machine with other work, for a processor.",
    ]


class Hand(QObject):
    """Moves the slider ten times a second, while it is asked to."""

    def __init__(self, viewer: napari.Viewer, annotation: AnnotationController, length: int) -> None:
        super().__init__()
        self._viewer, self._annotation, self._length, self._moves = viewer, annotation, length, 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._move)

    def _move(self) -> None:
        self._moves += 1
        self._annotation.stack.show_frame(self._viewer, self._moves * 7 % self._length)

    def scrub(self, wanted: bool) -> None:
        """Begin or end."""
        if wanted != self._timer.isActive():
            self._timer.start(SCRUB) if wanted else self._timer.stop()


def track(dock: AnnotationDock, annotation: AnnotationController, stalls: Stalls, hand: Hand) -> float:
    """Track all objects, with the slider at rest and moved by turns; return the seconds it took."""
    begun = time.monotonic()

    def take_turns() -> None:
        moved = int((time.monotonic() - begun) / PHASE) % 2 == 1
        stalls.phase = SCRUBBED if moved else ALONE
        hand.scrub(moved)

    turns = QTimer(stalls)
    turns.timeout.connect(take_turns)
    turns.start(50)
    dock.propagation.buttons[Direction.FORWARD].click()
    napari_window.wait_until(lambda: not annotation.propagation.running)
    turns.stop()
    stalls.phase = ""
    return time.monotonic() - begun


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--objects", type=int, default=2)
    parser.add_argument("--blame", action="store_true")
    parser.add_argument("--print-only", action="store_true", help="leave the page of results as it is")
    arguments = parser.parse_args()
    measured = scenes.provenance()
    pixels = napari_window.stack(arguments.frames, arguments.side, arguments.objects).compute()
    viewer, dock, annotation = napari_window.open_dock(pixels, arguments.objects)
    stalls, hand = Stalls(), Hand(viewer, annotation, arguments.frames)
    with blaming(stalls, arguments.blame) as places:
        seconds = track(dock, annotation, stalls, hand)
    napari_window.wait_until(lambda: annotation.review.idle)
    stalls.phase, end = NOTHING, time.monotonic() + 2 * PHASE
    hand.scrub(True)
    napari_window.wait_until(lambda: time.monotonic() > end)
    hand.scrub(False)
    for place, count in places.most_common(15):
        print(count, place)
    lines = table(arguments, stalls.gaps, seconds)
    if arguments.print_only:
        print("\n".join(lines))
    else:
        napari_window.write_section("Stalls", measured, lines)
    viewer.close()


if __name__ == "__main__":
    main()
