"""Baselines of everything: masks of each frame by themselves, linked by laptrack."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import regionprops
from skimage.segmentation import watershed

from sam2_engine.evaluation.lineage_scores import LabeledTracks

SMALLEST = 20


def otsu_watershed(image: NDArray[np.generic]) -> NDArray[np.int32]:
    """Split what Otsu's threshold calls foreground, its rarer side, at the necks of the distance map."""
    gray = gaussian(image.mean(-1) if image.ndim == 3 else image, 1, preserve_range=True)
    bright = gray > threshold_otsu(gray) if np.ptp(gray) else np.zeros(gray.shape, bool)
    foreground = bright if bright.mean() <= 0.5 else ~bright
    depth = gaussian(ndimage.distance_transform_edt(foreground), 1)
    peaks = np.zeros(depth.shape, int)
    places = peak_local_max(depth, min_distance=5, labels=foreground.astype(int))
    peaks[tuple(places.T)] = np.arange(1, len(places) + 1)
    labels = watershed(-depth, peaks, mask=foreground)
    small = np.bincount(labels.ravel()) < SMALLEST
    labels[small[labels]] = 0
    return labels.astype(np.int32)


def linked(frames: Sequence[NDArray[np.integer]], divisions: bool) -> LabeledTracks:
    """Link the objects of label images by laptrack: centers within their diameter, two frames of gap."""
    from laptrack import LapTrack

    rows = [
        {"frame": frame, "label": one.label, "y": one.centroid[0], "x": one.centroid[1], "area": one.area}
        for frame, image in enumerate(frames)
        for one in regionprops(np.asarray(image))
    ]
    labels = np.zeros((len(frames), *np.asarray(frames[0]).shape), np.uint16)
    if not rows:
        return LabeledTracks(labels)
    table = pd.DataFrame(rows)
    reach = 4 * float(np.median(table["area"])) / math.pi  # the square of the usual diameter
    tracker = LapTrack(cutoff=reach, gap_closing_cutoff=reach, splitting_cutoff=reach if divisions else False)
    tracks, splits, _ = tracker.predict_dataframe(
        table, ["y", "x"], frame_col="frame", only_coordinate_cols=False
    )
    for row in tracks.itertuples():
        labels[row.frame][np.asarray(frames[row.frame]) == row.label] = row.track_id + 1
    parents = (
        {}
        if splits.empty
        else {int(one.child_track_id) + 1: int(one.parent_track_id) + 1 for one in splits.itertuples()}
    )
    return LabeledTracks(labels, parents)
