"""Record session folders that later versions must open and replay.

Run with ``PYTHONPATH=tests python tests/plugins/storage/make_recorded_sessions.py FOLDER NAME...``.

Those in ``tests/data/sessions`` were recorded at commit 2268ca4 (``lives``: when format 3 came;
``tracks``: when everything could be found) and are never recorded anew: they are what users have on disk.
Another format gets folders of its own beside them.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from small_model import write_small_checkpoint

from sam2_engine.masks import CompressedMask
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import MaskScores
from sam2_plugins.storage import SessionFolder


def discs(size: int = 1, length: int = 8) -> NDArray[np.uint8]:
    """(T, 60 size, 80 size) uint8: two discs that move over noise."""
    y, x = np.mgrid[: 60 * size, : 80 * size] / size
    frames = np.random.default_rng(3).integers(20, 60, (length, 60 * size, 80 * size)).astype(np.uint8)
    for t, frame in enumerate(frames):
        frame[(x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100] = 220
        frame[(x - 60) ** 2 + (y - 40 + t) ** 2 < 80] = 150
    return frames


def disc(x0: int, y0: int, radius: int, shape: tuple[int, int] = (60, 80)) -> NDArray[np.bool_]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (x - x0) ** 2 + (y - y0) ** 2 < radius**2


def time_lapse(session: AnnotationSession) -> None:
    """Nearly everything that can be asked of a session."""
    left = session.add_object("left", "cell")
    right = session.add_object()
    session.add_points(0, left, (20, 20))
    session.add_points(0, left, [(35, 20), (22, 18)], [0, 1])
    session.add_box(1, right, (50, 28, 70, 48))
    session.add_points(1, right, (60, 39), box=(51, 29, 69, 47), replace=True)
    list(session.propagate(stop=5))
    session.undo()
    session.redo()
    list(session.propagate([right], start=1, stop=0, reverse=True))
    session.edit_object(left, name="mother", color=(10, 200, 30))
    session.add_points(3, left, [(26, 20), (40, 22)], [1, 0])
    list(session.propagate([left], start=3, stop=7))
    session.verify(left, [0, 1, 3])
    session.verify(left, [1], False)
    list(session.propagate(missing_only=True))
    one, two = session.lineage.divide(left, 5)
    session.add_mask(5, one, disc(30, 18, 5))
    session.add_mask(5, two, disc(38, 24, 6))
    list(session.propagate([one, two], start=5))
    session.lineage.swap(one, two, 7)
    later = session.lineage.split(right, 4)
    session.lineage.merge(right, later)
    session.import_masks(2, {20: disc(10, 50, 6), 21: disc(70, 10, 4)}, as_prompts=True)
    session.import_masks(3, {20: disc(12, 50, 6)})
    list(session.propagate([20], start=2, stop=4))
    session.import_masks(7, {22: disc(10, 10, 4)})
    session.lineage.set_parents(22, [left])
    session.lineage.delete_from(20, 4)
    session.set_window((10.0, 200.0))
    session.add_points(6, right, (60, 34))
    session.clear_prompts(right, 6)
    session.remove_object(21)


def large_planes(session: AnnotationSession) -> None:
    """A click and a mask in tiles, tracked from one to the next."""
    session.add_points(0, session.add_object(), (80, 80))
    session.add_mask(0, session.add_object(), disc(240, 160, 36, session.shape))
    list(session.propagate())
    session.add_points(1, 1, [(90, 80), (240, 160)], [1, 0])
    list(session.propagate(start=1))


def single_image(session: AnnotationSession) -> None:
    """A click and a box on one image, small objects among them."""
    session.add_points(0, session.add_object(), (20, 20))
    session.add_box(0, session.add_object(), (50, 28, 70, 48))
    session.add_points(0, 2, (66, 30), [0])
    session.use_model("nano")
    list(session.repredict(session.single_frame_prompts()))
    session.undo()  # other weights of nano may come


def lives(session: AnnotationSession) -> None:
    """A division, a deletion and absences, tracked over again in both directions."""
    cell, other = session.add_object("cell"), session.add_object()
    session.add_points(0, cell, (20, 20))
    session.add_mask(0, other, disc(60, 40, 9))
    list(session.propagate())
    for daughter, x in zip(session.lineage.divide(cell, 4), (26, 34)):
        session.add_mask(4, daughter, disc(x, 20, 6))
    session.lineage.mark_absent(other, 2, 3)
    session.lineage.delete_from(other, 6)
    session.lineage.set_life(3, Life(first=4, last=6))
    list(session.propagate())
    list(session.propagate(reverse=True))


def tracks(session: AnnotationSession) -> None:
    """Objects that a model found and tracked, one of them from another."""
    seen = [disc(20 + 2 * t, 20, 9) for t in range(8)]
    masks = {frame: CompressedMask.from_array(mask) for frame, mask in enumerate(seen)}
    scores = {frame: MaskScores(0.9, 0.8 - 0.01 * frame, 0.7) for frame in masks}
    mother = session.import_track({f: masks[f] for f in range(3)}, scores)
    session.import_track({f: masks[f] for f in range(3, 8)}, scores, parents=[mother])
    session.undo()
    session.redo()


SESSIONS = {
    "time_lapse": (discs(), time_lapse),
    "large_planes": (discs(4, 4), large_planes),
    "single_image": (discs()[:1], single_image),
    "lives": (discs(), lives),
    "tracks": (discs(), tracks),
}


def record(folder: Path, names: list[str], checkpoint: Path) -> None:
    for name, (frames, work) in ((name, SESSIONS[name]) for name in names):
        session = AnnotationSession(frames, ModelStore("cpu"), checkpoint, axes="TYX")
        recorded = SessionFolder.create(folder / f"{name}.sam2", session)
        work(session)
        if name == "time_lapse":  # a snapshot, and what was done since
            recorded.snapshot()
            session.add_points(4, 2, (60, 36))
            list(session.propagate([2], start=4))
            shutil.copytree(recorded.path, folder / "killed.sam2", ignore=shutil.ignore_patterns(".lock"))
            recorded.close()
            shutil.rmtree(recorded.path)
            (folder / "killed.sam2").rename(recorded.path)
        else:
            recorded.close()
        (recorded.path / ".lock").unlink(missing_ok=True)
        shutil.make_archive(str(recorded.path), "zip", recorded.path)
        shutil.rmtree(recorded.path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=SESSIONS, nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = Path(temporary) / "small.safetensors"
        write_small_checkpoint(checkpoint)
        record(options.folder, options.name, checkpoint)
