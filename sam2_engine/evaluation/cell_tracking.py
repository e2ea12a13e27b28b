"""SEG, DET and TRA of the Cell Tracking Challenge, computed by py-ctcmetrics, the challenge's own package.

Source: Ulman et al., An objective comparison of cell-tracking algorithms (Nature Methods 2017); Matula
et al., Cell Tracking Accuracy Measurement Based on Comparison of Acyclic Oriented Graphs (PLoS ONE 2015).
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from sam2_engine.errors import InputError
from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject

__all__ = ["cell_tracking_scores", "ctc_metrics"]

_METRICS = ("SEG", "DET", "TRA")


def cell_tracking_scores(
    sequence: LabeledSequence, masks: MasksByObject, object_ids: Sequence[int]
) -> dict[str, float]:
    """Return SEG, DET and TRA over the annotated frames, the prompted ones included.

    An object that vanishes and comes back is a new track whose parent is the old one, as the challenge's
    format defines it. Divisions are not known from label images, so none is expected. Where an object's mask
    is not known, it is left out on both sides.

    Parameters
    ----------
    sequence
        The ground truth.
    masks
        Predicted masks; where masks overlap, later ids lie on top.
    object_ids
        The objects to compare; others are left out on both sides.

    Raises
    ------
    InputError
        If py-ctcmetrics is not installed.
    """
    evaluate = ctc_metrics()
    with tempfile.TemporaryDirectory() as name:
        ground_truth, result = Path(name) / "01_GT", Path(name) / "01_RES"
        _write(
            ground_truth / "TRA", "man_track", "man_track.txt", sequence, sequence.ground_truth, object_ids
        )
        _write(ground_truth / "SEG", "man_seg", "man_track.txt", sequence, sequence.ground_truth, object_ids)
        if not _write(result, "mask", "res_track.txt", sequence, masks, object_ids):
            return dict.fromkeys(_METRICS, 0.0)
        with redirect_stdout(io.StringIO()):  # it prints
            scores = evaluate(str(result), str(ground_truth), metrics=["Valid", *_METRICS], threads=1)
    return {metric: float(scores[metric]) for metric in _METRICS}


def _write(
    folder: Path,
    prefix: str,
    track_file: str,
    sequence: LabeledSequence,
    masks: MasksByObject,
    object_ids: Sequence[int],
) -> int:
    """Write label images and the tracks in them as the challenge does; return the number of tracks."""
    folder.mkdir(parents=True)
    tracks: list[list[int]] = []  # begin, end, parent; the label is the position, from 1
    current: dict[int, int] = {}
    for number, frame in enumerate(sequence.annotated):
        labels = np.zeros(sequence.frames.shape, np.uint16)
        for index, object_id in enumerate(object_ids, start=1):
            if frame in masks.get(object_id, {}) and object_id not in sequence.unknown.get(frame, ()):
                packed = masks[object_id][frame]
                labels[packed.box][packed.crop()] = index
        tracked = np.zeros_like(labels)
        for index in np.unique(labels[labels > 0]).tolist():
            label = current.get(index, 0)
            if not label or tracks[label - 1][1] < number - 1:
                tracks.append([number, number, label])
                current[index] = len(tracks)
            tracks[current[index] - 1][1] = number
            tracked[labels == index] = current[index]
        # The package takes the lowest label of a frame for background, so a rim of background is added.
        tifffile.imwrite(folder / f"{prefix}{number:04d}.tif", np.pad(tracked, 1))
    lines = [f"{label} {begin} {end} {parent}" for label, (begin, end, parent) in enumerate(tracks, start=1)]
    (folder / track_file).write_text("\n".join(lines) + "\n")
    return len(tracks)


def ctc_metrics() -> Callable[..., dict[str, Any]]:
    """Return py-ctcmetrics' evaluation of a sequence; asked for early, it is not missed after the work.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        from ctc_metrics import evaluate_sequence
    except ImportError:
        raise InputError(
            'SEG, DET and TRA need py-ctcmetrics; install it with `pip install "sam2-plugins[evaluate]"`.'
        ) from None
    return evaluate_sequence  # type: ignore[no-any-return]
