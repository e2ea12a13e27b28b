"""What the napari window costs in memory while many objects are tracked through a long stack: one curve.

    xvfb-run -a -s "-screen 0 1400x900x24" python benchmarks/napari_memory.py [--short]

nano tracks discs through frames that are drawn when they are read, in a real window; afterwards every
frame is shown once, and all of it is undone. Half an hour on two idle cores; lines are printed as they
come. Beside the process's resident memory stands what is known to be held: the Labels layer, encoded frames,
the engine's checkpoints, masks, undo. napari's own cache of dask arrays, a quarter of the memory by default,
is off for this. ``--short`` takes a minute and only prints. Writes ``benchmarks/results/napari.md``.
"""

import argparse
import time

import napari
import napari_window
import scenes

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.session.propagation_plan import Direction

FULL, SHORT = (500, 1024, 20), (60, 256, 5)
"""Frames, their side in pixels, objects."""
ROWS = 10
WARM = 0.2
"""Part of the frames after which the memory should be flat."""

COLUMNS = ("resident", "Labels layer", "encoded frames", "engine", "masks", "undo")
MIB = 2**20


def held(annotation: AnnotationController) -> list[float]:
    """MiB, in the order of ``COLUMNS``."""
    session = annotation.session
    masks = [session.accepted(i, frame) for i in session.objects for frame in session.frames_of(i)]
    known = (
        annotation.masks.layer.data.held_bytes,
        session._cache.num_bytes,
        session.engine.num_bytes,
        sum(mask.num_bytes for mask in masks if mask is not None),
        session.history.num_bytes,
    )
    return [scenes.resident()[0], *(num_bytes / MIB for num_bytes in known)]


def line(when: str, values: list[float]) -> str:
    """One line of the table."""
    return f"| {when} | {' | '.join(f'{value:.0f}' for value in values)} |"


def track(dock: AnnotationDock, annotation: AnnotationController, frames: int) -> dict[int, list[float]]:
    """Track all objects to the end and return what was held, by frame."""
    curve = {0: held(annotation)}
    step = max(frames // ROWS, 1)
    dock.propagation.buttons[Direction.FORWARD].click()

    def record() -> bool:
        done = len(annotation.session.frames_of(1)) - 1
        if done >= max(curve) + step:
            curve[done] = held(annotation)
            print(line(str(done), curve[done]), flush=True)
        return not annotation.propagation.running

    napari_window.wait_until(record)
    napari_window.wait_until(lambda: annotation.review.idle)
    curve[frames - 1] = held(annotation)
    return curve


def show_all(viewer: napari.Viewer, annotation: AnnotationController, frames: int) -> list[float]:
    """Show every frame once and return what is held after that."""
    for frame in range(frames):
        annotation.stack.show_frame(viewer, frame)
        napari_window.QTest.qWait(1)
    return held(annotation)


def undo(annotation: AnnotationController) -> list[float]:
    """Undo the whole propagation and return what is held after that."""
    annotation.undo()
    napari_window.wait_until(lambda: len(annotation.session.frames_of(1)) == 1)
    return held(annotation)


def table(
    curve: dict[int, list[float]], last: dict[str, list[float]], size: str, objects: int, seconds: float
) -> list[str]:
    """Everything that was measured, in lines."""
    end = max(curve)
    warm = next(frame for frame in curve if frame >= WARM * end)
    grown, masks = (curve[end][column] - curve[warm][column] for column in (0, COLUMNS.index("masks")))
    return [
        f"{size}, 16 bits, drawn when read; {objects} objects tracked by nano in {seconds:.0f} s. MiB:",
        "",
        f"| frame | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
        *(line(str(frame), values) for frame, values in curve.items()),
        *(line(when, values) for when, values in last.items()),
        "",
        f"From frame {warm} to frame {end}: {grown:+.0f} MiB, of which {masks:.0f} are masks.",
    ]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--frames", type=int)
    arguments = parser.parse_args()
    measured = scenes.provenance()
    frames, side, objects = SHORT if arguments.short else FULL
    frames = arguments.frames or frames
    pixels = napari_window.stack(frames, side, objects)
    viewer, dock, annotation = napari_window.open_dock(pixels, objects, cache=False)
    begun = time.monotonic()
    curve = track(dock, annotation, frames)
    seconds = time.monotonic() - begun
    last = {
        "every frame shown": show_all(viewer, annotation, frames),
        "all of it undone": undo(annotation),
    }
    lines = table(curve, last, f"{frames} frames of {side} × {side}", objects, seconds)
    plain = frames * side * side * 2 / MIB
    lines += [
        f"As plain pixels, the Labels layer alone would take {plain:.0f} MiB. napari itself caches what it",
        "has shown of a dask array, up to a quarter of the machine's memory; that is off here.",
    ]
    if arguments.short or arguments.frames:
        print("\n".join(lines))
    else:
        napari_window.write_section("Memory", measured, lines)
    viewer.close()


if __name__ == "__main__":
    main()
