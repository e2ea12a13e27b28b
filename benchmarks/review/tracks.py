"""Clips that a model tracked from true first masks, with the IoU of each mask, to judge doubt scores by.

Used by ``quality.py`` and ``weights.py``. Tracking takes minutes and scoring none, so the
masks are saved in a folder, one ``.npz`` per clip, and read again from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_engine import VideoSession
from sam2_engine.evaluation import LabeledSequence, read_sequence
from sam2_engine.evaluation.labeled_sequence import pack_labels
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.frames import open_frames
from sam2_engine.masks import CompressedMask
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.synthetic.scenes import random_scene
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskScores

WRONG = 0.7
"""Masks of a smaller IoU with the ground truth are wrong."""
SMALLEST = 64
"""Objects of fewer pixels on their first frame are left out."""
SCENE_FRAMES, SCENE_SIZE = 15, 512
ALL, SOME = 10_000, 24
"""Objects of T98G to track: all 71 at once, or some of them in each piece."""
TEST_SEED, FIT_SEED = 2**31 + 401, 2**31 + 402
"""Scenes of [seed, n]; those that nano is trained on come from seeds of four small numbers."""
CELL_STYLES = ("phase_contrast", "dividing_nuclei", "membranes", "phase_contrast", "dividing_nuclei", "cells")
THING_STYLES = ("things", "textured_objects", "organs", "things", "textured_objects", "shapes")


@dataclass(frozen=True)
class Plan:
    """A clip to track: its frames, from which one, and how to make it.

    Attributes
    ----------
    name
        Of the clip and its file.
    make
        Returns frames and ground truth.
    start
        Where all objects seen there are shown by their true masks.
    stops
        Frames to track to, one per direction.
    most_objects
        Of more objects, evenly chosen ones are tracked.
    """

    name: str
    make: Callable[[], LabeledSequence]
    start: int = 0
    stops: tuple[int, ...] = (SCENE_FRAMES - 1,)
    most_objects: int = 8


@dataclass(frozen=True)
class Track:
    """A tracked clip.

    Attributes
    ----------
    name
        Of the clip.
    masks
        By object and frame, as a session stores them.
    iou
        IoU with the ground truth of every tracked mask, by (object, frame).
    """

    name: str
    masks: dict[int, dict[int, AcceptedMask]]
    iou: dict[tuple[int, int], float]


# ---------------------------------------------------------------------- what to track


def in_memory(name: str, frames: NDArray, labels: NDArray) -> LabeledSequence:
    """Make a sequence of (T, H, W[, 3]) frames and (T, H, W) labels."""
    ground_truth: dict = {}
    for frame, image in enumerate(labels):
        pack_labels(image, frame, ground_truth)
    axes = "TYX" if frames.ndim == 3 else "TYXS"
    return LabeledSequence(name, open_frames(frames, axes=axes), ground_truth, tuple(range(len(labels))))


def scene(seed: int, number: int, style: str) -> LabeledSequence:
    clip = random_scene([seed, number], SCENE_FRAMES, SCENE_SIZE, style)
    frames = (np.clip(clip.frames, 0, 1) * 255).round().astype(np.uint8)
    return in_memory(style, frames, clip.labels)


def scenes(seed: int, styles: tuple[str, ...], first: int = 0) -> list[Plan]:
    """Plan a scene of every style."""
    group = "test" if seed == TEST_SEED else "fit"
    return [
        Plan(f"{group}-{n}-{style}", partial(scene, seed, n, style)) for n, style in enumerate(styles, first)
    ]


def chair(data: Path) -> LabeledSequence:
    return read_sequence(data / "pumavos_chair" / "JPEGImages", data / "pumavos_chair" / "Annotations")


def cells(data: Path) -> LabeledSequence:
    return read_sequence(data / "usiigaci_T98G" / "img", data / "usiigaci_T98G" / "id_masks")


def lesion(data: Path) -> LabeledSequence:
    (path,) = sorted((data / "ct_lesion").glob("*.npz"))
    with np.load(path) as stack:
        return in_memory("lesion", stack["imgs"], (stack["gts"] > 0).astype(np.uint8))


def real_sets(data: Path) -> dict[str, list[Plan]]:
    """Plan the real data: each as a whole, and in short pieces, each from its own first mask."""
    read_cells, read_chair, read_lesion = partial(cells, data), partial(chair, data), partial(lesion, data)
    areas = {frame: int(mask.crop().sum()) for frame, mask in read_lesion().ground_truth[1].items()}
    largest = max(areas, key=lambda frame: areas[frame])
    return {
        "pumavos_chair, 59 frames on": [Plan("chair-whole", read_chair, 0, (59,))],
        "pumavos_chair, pieces, 9 frames on": [
            Plan(f"chair-{start}", read_chair, start, (start + 9,)) for start in range(0, 60, 10)
        ],
        "ct_lesion, from its largest slice both ways": [Plan("lesion-whole", read_lesion, largest, (15, 0))],
        "ct_lesion, pieces, 2 slices each way": [
            Plan(f"lesion-{z}", read_lesion, z, (min(z + 2, 15), max(z - 2, 0))) for z in sorted(areas)
        ],
        "usiigaci_T98G, 7 frames on": [Plan("cells-whole", read_cells, 0, (7,), ALL)],
        "usiigaci_T98G, pieces, 2 frames on": [
            Plan(f"cells-{start}", read_cells, start, (start + 2,), SOME) for start in range(0, 6, 2)
        ],
    }


# ---------------------------------------------------------------------- tracking


def tracks(plans: list[Plan], folder: Path, model: Sam2) -> Iterator[Track]:
    """Track clips, or read what was tracked before."""
    folder.mkdir(parents=True, exist_ok=True)
    for plan in plans:
        path = folder / f"{plan.name}.npz"
        if not path.exists():
            sequence = plan.make()
            save(path, track(plan, sequence, model), sequence)
        yield load(path)


def track(plan: Plan, sequence: LabeledSequence, model: Sam2) -> dict[tuple[int, int], AcceptedMask]:
    """Track the objects that are large enough, as a session does."""
    seen = [i for i in sequence.ground_truth if sequence.mask(i, plan.start).sum() >= SMALLEST]
    seen = seen[:: max(1, -(-len(seen) // plan.most_objects))]
    video = VideoSession(model, sequence.frames, max_conditioning_frames=8)
    found = {}
    for object_id in seen:
        painted = sequence.mask(object_id, plan.start)
        video.add_mask(plan.start, object_id, painted)
        found[object_id, plan.start] = AcceptedMask.painted(CompressedMask.from_array(painted))
    for stop in plan.stops if seen else ():
        for result in video.propagate(start=plan.start, stop=stop, reverse=stop < plan.start):
            for index, object_id in enumerate(result.object_ids):
                tracked = AcceptedMask.predicted(result, index, MaskOrigin.TRACKED)
                found.setdefault((object_id, result.frame), tracked)
    return found


def save(path: Path, found: dict[tuple[int, int], AcceptedMask], sequence: LabeledSequence) -> None:
    """Save the tracked masks, their scores and their IoU with the ground truth."""
    masks = np.stack([each.mask.to_array() for each in found.values()])
    scores = [each.scores for each in found.values()]
    aside = path.with_suffix(".new.npz")
    np.savez_compressed(
        aside,
        rows=list(found),
        bits=np.packbits(masks, axis=-1),
        width=masks.shape[-1],
        origin=[each.origin for each in found.values()],
        scores=[(each.presence, each.predicted_iou, each.stability) for each in scores],
        iou=[mask_iou(mask, sequence.mask(*row)) for mask, row in zip(masks, found)],
    )
    aside.replace(path)


def load(path: Path) -> Track:
    """Read what ``save`` wrote."""
    track = Track(path.stem, {}, {})
    with np.load(path) as stored:
        masks = np.unpackbits(stored["bits"], axis=-1, count=int(stored["width"])).astype(bool)
        columns = [stored[name].tolist() for name in ("rows", "origin", "scores", "iou")]
    for mask, (object_id, frame), origin, scores, iou in zip(masks, *columns):
        accepted = AcceptedMask(CompressedMask.from_array(mask), MaskOrigin(origin), MaskScores(*scores))
        track.masks.setdefault(object_id, {})[frame] = accepted
        if origin == MaskOrigin.TRACKED:
            track.iou[object_id, frame] = iou
    return track
