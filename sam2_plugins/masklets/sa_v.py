"""Masklets in SA-V's own JSON: run lengths by frame, and what SA-V says of each masklet.

Source: the data set of the SAM 2 paper (section 5.2), and its notes on the format.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.masks import compress_rle, encode_rle, rle_area
from sam2_plugins.session.readable import ReadableSession
from sam2_plugins.storage.snapshot import read_json

__all__ = ["AUTO", "MANUAL", "MaskReader", "describe_masklets", "joined", "only_masklets"]
__all__ += ["read_annotations"]

AUTO, MANUAL = "auto", "manual"

MaskReader = Callable[[int, int], NDArray[np.bool_] | None]
"""Gives the (H, W) mask of an object on a frame; None where nothing is known."""

_SMALL, _MEDIUM = 32**2, 96**2
"""Areas in pixels up to which a masklet is small or medium, as for COCO."""
_MEASURED: tuple[str, ...] = (
    "masklet_size_rel",
    "masklet_size_abs",
    "masklet_size_bucket",
    "masklet_visibility_changes",
)
_MEASURED += ("masklet_first_appeared_frame", "masklet_frame_count")
_BY_FRAME = ("masklet", "masklet_stability_score")
_PER_MASKLET = ("masklet_id", *_MEASURED, "masklet_edited_frame_count", "masklet_type", "masklet_quality")


def describe_masklets(
    session: ReadableSession,
    video: Path,
    object_ids: Sequence[int],
    kind: str,
    mask: MaskReader,
    *,
    qualities: Mapping[int, float],
    edited: Mapping[int, int] | None = None,
    opening: Mapping[str, Any] | None = None,
    min_area: int = 0,
) -> dict[str, Any]:
    """Return the content of ``NAME_auto.json`` or ``NAME_manual.json`` of a video.

    Every frame is annotated. Where an object is absent its run lengths are those of an empty mask.

    Parameters
    ----------
    session, video
        Masks and frames, and the file that they lie beside.
    object_ids
        Which masklets.
    kind
        ``"auto"``, found by itself, or ``"manual"``, verified by a person.
    mask
        How masks are read.
    qualities
        Of each masklet, 0..1; SA-V does not have them.
    edited
        Number of corrected frames of each masklet.
    opening
        How the video is read, where the file does not tell.
    min_area
        Components and holes below it were removed from tracked masks.
    """
    (height, width), length = session.frames.shape, len(session.frames)
    runs, areas = _run_lengths(object_ids, mask, (height, width), length)
    stability = [
        [None if kind == MANUAL else _stability(session, one, frame) for one in object_ids]
        for frame in range(length)
    ]
    rows = [_masklet(area, (height, width)) for area in areas.T]
    content: dict[str, Any] = {
        "video_id": video.stem,
        "video_file": video.name,
        "video_opening": dict(opening or {}),
        "min_area": min_area,
        "video_duration": length / (session.frames.fps or 24.0),
        "video_frame_count": length,
        "video_height": height,
        "video_width": width,
        "video_resolution": height * width,
        "video_environment": None,
        "video_split": None,
        "masklet": runs,
        "masklet_id": list(object_ids),
        **{name: [row[name] for row in rows] for name in _MEASURED},
        "masklet_edited_frame_count": [(edited or {}).get(one, 0) for one in object_ids],
        "masklet_type": [kind] * len(object_ids),
        "masklet_quality": [round(qualities[one], 4) for one in object_ids],
        "masklet_stability_score": stability,
        "masklet_num": len(object_ids),
    }
    return content


def read_annotations(path: Path, *, with_masks: bool = False) -> dict[str, Any]:
    """Return the content of an SA-V JSON that a data set has written.

    Parameters
    ----------
    path
        The file.
    with_masks
        Whether every mask is read once, too, so that none is found damaged later.

    Raises
    ------
    InputError
        If it is not there or damaged.
    """
    content = read_json(path)
    if not isinstance(content.get("masklet_id"), list) or not isinstance(content.get("masklet"), list):
        raise InputError(f"{path} is damaged: it has no masklets; remove it and find them again.")
    try:
        is_whole = _is_whole(content)
        if with_masks:
            for run in chain.from_iterable(content["masklet"]):
                rle_area(run)
    except (TypeError, ValueError, LookupError):
        is_whole = False
    if not is_whole:
        raise InputError(f"{path} is damaged: it lacks masks; put it back, or find its masklets --again.")
    return content


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Whether there are as many values as masklets, and as many rows of them as frames."""
    count, frames = len(content["masklet_id"]), content["video_frame_count"]
    by_frame = [content[name] for name in _BY_FRAME]
    rows = chain.from_iterable(by_frame)
    return (
        all(len(content[name]) == count for name in _PER_MASKLET)
        and all(len(one) == frames for one in by_frame)
        and all(len(row) == count for row in rows)
    )


def only_masklets(content: Mapping[str, Any], object_ids: Collection[int]) -> dict[str, Any]:
    """Return the content of an SA-V JSON with some of its masklets only."""
    kept = [i for i, one in enumerate(content["masklet_id"]) if one in object_ids]
    narrowed = {name: [content[name][i] for i in kept] for name in _PER_MASKLET if name in content}
    by_frame = {name: [[row[i] for i in kept] for row in content[name]] for name in _BY_FRAME}
    return {**content, **narrowed, **by_frame, "masklet_num": len(kept)}


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of an SA-V JSON with the masklets of two, of the same video."""
    lists = {name: [*one[name], *other[name]] for name in _PER_MASKLET if name in one and name in other}
    by_frame = {
        name: [[*mine, *its] for mine, its in zip(one[name], other[name], strict=True)] for name in _BY_FRAME
    }
    return {**one, **lists, **by_frame, "masklet_num": one["masklet_num"] + other["masklet_num"]}


def _run_lengths(
    object_ids: Sequence[int], mask: MaskReader, shape: tuple[int, int], length: int
) -> tuple[list[list[dict[str, Any]]], NDArray[np.int64]]:
    """Return run lengths by frame and masklet, and their areas (frames, masklets)."""
    nothing = compress_rle(encode_rle(np.zeros(shape, bool)))
    areas = np.zeros((length, len(object_ids)), np.int64)
    runs: list[list[dict[str, Any]]] = []
    for frame in range(length):
        row = []
        for number, one in enumerate(object_ids):
            found = mask(one, frame)
            areas[frame, number] = 0 if found is None else np.count_nonzero(found)
            row.append(nothing if found is None else compress_rle(encode_rle(found)))
        runs.append(row)
    return runs, areas


def _masklet(areas: NDArray[np.int64], shape: tuple[int, int]) -> dict[str, Any]:
    """Return what SA-V says of the sizes of one masklet: means over the frames on which it is visible."""
    visible = areas > 0
    size = float(areas[visible].mean()) if visible.any() else 0.0
    first = int(visible.argmax()) if visible.any() else 0
    seen = visible[first:]
    return {
        "masklet_size_rel": size / (shape[0] * shape[1]),
        "masklet_size_abs": size,
        "masklet_size_bucket": "small" if size < _SMALL else "medium" if size < _MEDIUM else "large",
        "masklet_visibility_changes": int(np.count_nonzero(seen[1:] != seen[:-1])),
        "masklet_first_appeared_frame": first,
        "masklet_frame_count": len(areas),
    }


def _stability(session: ReadableSession, object_id: int, frame: int) -> float | None:
    accepted = session.accepted(object_id, frame)
    return None if accepted is None else round(accepted.scores.stability, 4)
