"""YOLO segmentation folders, as Ultralytics reads them: images, a text file of polygons for each, classes.

Source: docs.ultralytics.com, "Instance segmentation datasets": a line is a class and the corners of one
polygon, in parts of the image's width and height.
"""

import json
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.preprocessing import IntensityWindow, to_rgb
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted
from sam2_plugins.export.coco import NO_CLASS
from sam2_plugins.export.format import no_mask
from sam2_plugins.export.losses import not_held
from sam2_plugins.export.outlines.polygons import Polygon, polygons_of
from sam2_plugins.export.targets import ExportSummary, file_name_of, new_folder
from sam2_plugins.export.training_folder import left_out_sentences, usable_frames
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["no_colors", "write_yolo"]

_IMAGES, _LABELS, _DESCRIPTION = "images", "labels", "data.yaml"


def no_colors(session: ReadableSession) -> str | None:
    """Say if a session has no mask, or its frames are neither gray nor in color, as images of YOLO are."""
    frames = session.frames
    if frames.channels == 1 or frames.is_rgb:
        return no_mask(session)
    return (
        f"{frames.name} has {frames.channels} channels, but YOLO's images are gray or RGB; open it with one "
        "of its channels."
    )


@LongWork
def write_yolo(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write the frames on which every object is annotated, as PNG, and their masks as polygons.

    Training takes what has no polygon for background, so frames are left out as for a training folder.

    Yields
    ------
    int
        Each frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "yolo"
    ...     summary = write_yolo(session, path)
    ...     print((path / "labels" / "000.txt").read_text().strip())
    0 0 0 1 0 1 1 0 1
    """
    path = Path(path)
    classes = sorted({one.label or NO_CLASS for one in session.objects.values()})
    window = window_of(session.frames, None)
    complete, incomplete = usable_frames(session)
    if not complete:
        raise InputError(
            "On every annotated frame some object is not annotated, and YOLO would learn that it is absent "
            "there; track what is missing, or mark it absent."
        )
    joined = 0
    with new_folder(path, is_earlier_export=_is_yolo, overwrite=overwrite) as folder:
        for part in (_IMAGES, _LABELS):
            (folder / part).mkdir()
        for frame in complete:
            stem = Path(file_name_of(session, frame)).stem
            _write_image(folder / _IMAGES / f"{stem}.png", session.frames[frame], window)
            lines, there = _lines(session, frame, classes)
            (folder / _LABELS / f"{stem}.txt").write_text("".join(lines), encoding="ascii")
            joined += there
            yield frame
        (folder / _DESCRIPTION).write_text(_description(classes), encoding="utf-8")
    changes = [*left_out_sentences(complete, incomplete), *not_held(session, "YOLO", "names", "parents")]
    if joined:
        changes.append(
            f"{counted(joined, 'mask')} of several parts or with holes became one polygon, joined by lines "
            "without a width, as YOLO has one for each object."
        )
    if window is not None:
        changes.append(
            "Images have 8 bits there: gray levels are as the stack's intensity window shows them."
        )
    return ExportSummary(path, len(complete), len(session.objects), tuple(changes))


def _is_yolo(folder: Path) -> bool:
    return {one.name for one in folder.iterdir()} == {_IMAGES, _LABELS, _DESCRIPTION}


def _description(classes: Iterable[str]) -> str:
    """Return what data.yaml says; images are looked for beside it, as it names no path."""
    names = (f"  {n}: {json.dumps(name, ensure_ascii=False)}\n" for n, name in enumerate(classes))
    return f"train: {_IMAGES}\nval: {_IMAGES}\nnames:\n{''.join(names)}"


def _write_image(path: Path, pixels: NDArray[np.generic], window: IntensityWindow | None) -> None:
    seen = np.round(to_rgb(pixels, window) * 255).astype(np.uint8)
    Image.fromarray(seen if pixels.ndim == 3 else np.ascontiguousarray(seen[..., 0])).save(path, "png")


def _lines(session: ReadableSession, frame: int, classes: list[str]) -> tuple[list[str], int]:
    """Return a line for each object that is visible, and how many were joined."""
    size = np.array(session.frames.shape[::-1], float)
    lines, joined = [], 0
    for object_id, one in sorted(session.objects.items()):
        accepted = session.accepted(object_id, frame)
        if accepted is None or accepted.mask.is_empty:
            continue
        polygons = polygons_of(accepted.mask)
        joined += len(polygons) > 1 or bool(polygons[0].holes)
        corners = (_one_ring(polygons) / size).reshape(-1)
        number = classes.index(one.label or NO_CLASS)
        lines.append(f"{number} {' '.join(f'{value:.6g}' for value in corners)}\n")
    return lines, joined


def _one_ring(polygons: list[Polygon]) -> NDArray[np.int64]:
    """Return all rings as one: from its first corner to each of them, around it, and back."""
    first, *others = [ring for one in polygons for ring in (one.exterior, *one.holes)]
    way = [first, first[:1]] if others else [first]
    for ring in others:
        way += [ring, ring[:1], first[:1]]
    return np.concatenate(way)
