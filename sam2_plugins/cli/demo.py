"""Examples of ``sam2 demo``: offline ones, and the same for one's own images.

Every example drives an :class:`AnnotationSession` as any host does, and returns what it wrote and measured.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from skimage import data

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.masks import mask_center
from sam2_engine.synthetic import moving_cells
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.wording import counted
from sam2_plugins.export import (
    LabelStackWriter,
    overlay,
    write_animation,
    write_label_image,
    write_png,
)
from sam2_plugins.measure import measure
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, find_objects
from sam2_plugins.session.label_image import label_dtype

__all__ = ["Example", "segment_coins", "track_cells", "track_own"]

T = TypeVar("T")
ShowProgress = Callable[[Iterator[T], int], Iterable[T]]
"""Shows the progress of an iterator of known length while passing it through."""

COIN_CLICKS = (
    (335, 44), (155, 51), (215, 51), (276, 52), (44, 54), (100, 56), (271, 119), (45, 124),
    (205, 124), (336, 125), (102, 126), (154, 127), (347, 187), (212, 193), (274, 194), (102, 196),
    (44, 197), (154, 198), (46, 260), (172, 261), (301, 263), (244, 263), (114, 266), (358, 268),
)  # fmt: skip
"""The center of every coin in scikit-image's photograph, (x, y), as a person would click on it."""

MAX_OBJECTS = 12
"""Objects that the demo tracks at most when it chooses them itself."""

MAX_FRAMES = 60
"""Frames that the demo tracks at most."""


@dataclass(frozen=True)
class Example:
    """The result of one example.

    Attributes
    ----------
    title
        One line for people.
    files
        What was written.
    notes
        What was measured, in words.
    """

    title: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def segment_coins(store: ModelStore, model: str, folder: Path) -> Example:
    """Segment 24 coins of a photograph by one click each."""
    image = data.coins()
    session = AnnotationSession(image[None], store, model, axes="TYX")
    for click in COIN_CLICKS:
        session.add_points(0, session.add_object(), click)
    labels = session.label_image(0)
    figure, tiff, table = (folder / name for name in ("coins.png", "coins_labels.tif", "coins.csv"))
    write_png(figure, _draw_clicks(overlay(image, labels, session.window), COIN_CLICKS))
    write_label_image(tiff, labels)
    measure(session).write_csv(table, overwrite=True)
    masks = [session.mask(object_id, 0) for object_id in session.objects]
    found = sum(mask is not None and bool(mask.any()) for mask in masks)
    return Example(
        "Coins: one click per coin on a photograph",
        (figure, tiff, table),
        (f"{found} of {len(COIN_CLICKS)} clicks gave a mask",),
    )


def track_cells(
    store: ModelStore,
    model: str,
    folder: Path,
    show_progress: ShowProgress[FrameResult],
    *,
    num_frames: int = 24,
    size: int = 256,
) -> Example:
    """Track cells through a synthetic time-lapse, from one click per cell on its first frame."""
    frames, ground_truth = moving_cells(num_frames=num_frames, size=size, seed=0)
    session = AnnotationSession(frames, store, model, axes="TYX")
    ids = [int(i) for i in np.unique(ground_truth[0]) if i]
    for object_id in ids:
        click, _ = mask_center(ground_truth[0] == object_id)
        session.add_points(0, session.add_object(object_id=object_id), click)
    files = _track(session, folder, "cells", show_progress)
    tracked = _mean_iou(ground_truth, ids, lambda i, frame: session.mask(i, frame))
    copied = _mean_iou(ground_truth, ids, lambda i, frame: session.mask(i, 0))
    return Example(
        "Cells: a synthetic time-lapse, tracked from one click per cell on the first frame",
        files,
        (
            f"mean IoU with the ground truth, {len(ids)} cells, frames 1 to {len(frames) - 1}: {tracked:.3f} "
            f"(leaving the masks of frame 0 where they are: {copied:.3f})",
        ),
    )


def track_own(
    store: ModelStore,
    model: str,
    folder: Path,
    show_progress: ShowProgress[FrameResult],
    frames: FrameSource,
    points: list[tuple[float, float]],
    contrast: tuple[float, float] | None = None,
) -> Example:
    """Track one object per click on the first frame, or without clicks what is found there.

    Raises
    ------
    InputError
        If a point lies outside, a frame cannot be read, or nothing is found on the first one.
    """
    session = AnnotationSession(frames, store, model, contrast=contrast)
    for point in points:
        session.add_points(0, session.add_object(), point)
    if not points:
        for mask in _automatic_masks(session, store, model):
            session.add_mask(0, session.add_object(), mask)
    if not session.objects:
        raise InputError(
            f"Nothing was found on the first frame of {frames.name}; click on it with --point X,Y."
        )
    files = _track(session, folder, Path(frames.name).stem, show_progress)
    chosen = "one click each" if points else "chosen automatically"
    return Example(
        f"{frames.name} ({frames.description}): {counted(len(session.objects), 'object')}, {chosen}", files
    )


def _automatic_masks(session: AnnotationSession, store: ModelStore, model: str) -> list[NDArray[np.bool_]]:
    """Return the masks with the best scores of the first frame's automatic segmentation."""
    settings = AutomaticSettings(max_objects=MAX_OBJECTS)
    return [
        one.mask.to_array() for one in find_objects(store, model, session.frames[0], session.window, settings)
    ]


def _track(
    session: AnnotationSession, folder: Path, stem: str, show_progress: ShowProgress[FrameResult]
) -> tuple[Path, ...]:
    """Propagate from the first frame; write label stack, table, three overlays and an animation."""
    last = min(len(session), MAX_FRAMES) - 1
    shape = (last + 1, *session.shape)
    tiff, table, animation = (folder / f"{stem}{end}" for end in ("_labels.tif", ".csv", ".gif"))
    with LabelStackWriter.open(tiff, shape, label_dtype(max(session.objects))) as stack:
        for result in show_progress(session.iter_propagate(start=0, stop=last), last + 1):
            stack.write(result.frame, session.label_image(result.frame))
    measure(session).write_csv(table, overwrite=True)
    write_animation(animation, _overlays(session, range(last + 1)))
    chosen = sorted({0, last // 2, last})
    figures = [folder / f"{stem}_frame_{frame:03d}.png" for frame in chosen]
    for path, figure in zip(figures, _overlays(session, chosen)):
        write_png(path, figure)
    return (*figures, animation, tiff, table)


def _overlays(session: AnnotationSession, frames: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        yield overlay(session.frames[frame], session.label_image(frame), session.window)


def _draw_clicks(figure: NDArray[np.uint8], clicks: Iterable[tuple[int, int]]) -> NDArray[np.uint8]:
    marked = figure.copy()
    for x, y in clicks:
        marked[y - 2 : y + 3, x - 2 : x + 3] = 0
        marked[y - 1 : y + 2, x - 1 : x + 2] = 255
    return marked


def _mean_iou(
    ground_truth: NDArray[Any], ids: list[int], mask_of: Callable[[int, int], NDArray[np.bool_] | None]
) -> float:
    """Return the mean IoU over cells and frames but the first; 1 for one that has left and is not found."""
    ious = []
    for frame in range(1, len(ground_truth)):
        for object_id in ids:
            mask, exact = mask_of(object_id, frame), ground_truth[frame] == object_id
            assert mask is not None
            union = np.count_nonzero(mask | exact)
            ious.append(np.count_nonzero(mask & exact) / union if union else 1.0)
    return float(np.mean(ious)) if ious else 1.0
