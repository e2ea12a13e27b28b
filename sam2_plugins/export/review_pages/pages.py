"""Review pages: a folder with a static page for each session, which any browser shows without a server."""

import html
import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.frames import FrameSource
from sam2_engine.preprocessing import to_rgb
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted, in_ranges
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, frame_number, new_folder
from sam2_plugins.review import DOUBTFUL, review_queue
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["ReviewedTask", "write_review_pages"]

_LONGEST = 1280
"""Pixels of a page's pictures, which are to be looked at; masks are shown as large."""
_QUALITY = 85
_RATE = 10.0


@dataclass(frozen=True)
class ReviewedTask:
    """What one page shows.

    Attributes
    ----------
    name
        What it is called, which is also the name of its file.
    session
        Frames, objects and masks.
    link
        Where the task is worked on; None for no link.
    first
        Number of the first frame, as its people count: 0, or 1 in Label Studio.
    """

    name: str
    session: ReadableSession
    link: str | None = None
    first: int = 0


@LongWork
def write_review_pages(
    tasks: Iterable[ReviewedTask], path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write a folder of pages on which people look through masks, scores and doubtful frames.

    Parameters
    ----------
    tasks
        Each is a page ``NAME.html`` with pictures of its frames in the folder ``NAME``; ``index.html`` lists
        them, the most doubtful first.
    path
        The folder.
    overwrite
        Replace an earlier one.

    Returns
    -------
    ExportSummary
        What was written.

    Raises
    ------
    InputError
        If no task has a mask, or the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore())
    >>> session.import_masks(0, {1: np.ones((40, 60), bool)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     summary = write_review_pages([ReviewedTask("cells", session)], Path(folder) / "review")
    ...     sorted(one.name for one in summary.path.iterdir())
    ['cells', 'cells.html', 'index.html']
    """
    path = Path(path)
    rows: list[tuple[int, str]] = []
    num_frames = num_objects = 0
    with new_folder(path, is_earlier_export=_is_review, overwrite=overwrite) as folder:
        for task in tasks:
            pictures = folder / task.name
            pictures.mkdir()
            yield from _write_pictures(task.session.frames, pictures)
            content = _content(task)
            (folder / f"{task.name}.html").write_text(_page(content), encoding="utf-8")
            rows.append((len(content["doubts"]), _row(task, content)))
            num_frames += len(content["frames"])
            num_objects += len(content["objects"])
        if not num_objects:
            raise NothingToExportError
        listed = "\n".join(row for _, row in sorted(rows, key=lambda row: -row[0]))
        (folder / "index.html").write_text(
            _template("index.html").replace("<!--ROWS-->", listed), encoding="utf-8"
        )
    return ExportSummary(path, num_frames, num_objects)


def _write_pictures(frames: FrameSource, folder: Path) -> Generator[int, None, None]:
    window, size = window_of(frames, None), _shown_shape(frames.shape)[::-1]
    for frame in range(len(frames)):
        pixels = (to_rgb(frames[frame], window) * 255).round().clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(pixels)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        picture.save(folder / f"{frame_number(frame, len(frames))}.jpg", quality=_QUALITY)
        yield frame


def _content(task: ReviewedTask) -> dict[str, Any]:
    """Return what a page shows, as its script reads it."""
    session, length = task.session, len(task.session.frames)
    shape = _shown_shape(session.frames.shape)
    doubts = review_queue(session, min_score=DOUBTFUL)
    objects = [
        {
            "id": one.id,
            "name": one.name,
            "label": one.label,
            "color": list(one.color),
            "frames": in_ranges(
                frame + task.first for frame in session.frames_of(one.id) if _is_seen(session, one.id, frame)
            ),
            "masks": {frame: _mask(session, one.id, frame, shape) for frame in session.frames_of(one.id)},
        }
        for one in session.objects.values()
    ]
    return {
        "name": task.name,
        "about": f"{session.frames.name}: {counted(length, 'frame')}, {counted(len(objects), 'object')}",
        "link": task.link,
        "index": True,
        "first": task.first,
        "rate": session.frames.fps or _RATE,
        "shape": list(shape),
        "frames": [f"{task.name}/{frame_number(frame, length)}.jpg" for frame in range(length)],
        "objects": objects,
        "doubts": [
            {"object": one.object_id, "frame": one.frame, "score": round(one.score, 3), "reason": one.reason}
            for one in doubts
        ],
    }


def _is_seen(session: ReadableSession, object_id: int, frame: int) -> bool:
    accepted = session.accepted(object_id, frame)
    return accepted is not None and not accepted.mask.is_empty


def _mask(session: ReadableSession, object_id: int, frame: int, shape: tuple[int, int]) -> dict[str, Any]:
    accepted = session.accepted(object_id, frame)
    mask = session.mask(object_id, frame)
    if accepted is None or mask is None or not mask.any():
        return {"runs": [], "score": 0.0}
    return {"runs": _runs(_shown(mask, shape)), "score": round(float(accepted.scores.predicted_iou), 3)}


def _shown_shape(shape: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, _LONGEST / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _shown(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask in a page's size; of one that becomes smaller, nothing vanishes."""
    if mask.shape == shape:
        return mask
    rows, columns = (np.arange(full) * small // full for full, small in zip(mask.shape, shape))
    found = np.zeros(shape, np.bool_)
    y, x = np.nonzero(mask)
    found[rows[y], columns[x]] = True
    return found


def _runs(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs row by row, beginning with background."""
    flat = np.concatenate([[False], mask.ravel(), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], edges])).tolist() if len(edges) else []


def _page(content: dict[str, Any]) -> str:
    written = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    return _template("page.html").replace("/*DATA*/", written)


def _row(task: ReviewedTask, content: dict[str, Any]) -> str:
    counts = (len(content["frames"]), len(content["objects"]), len(content["doubts"]))
    numbers = "".join(f'<td class="number">{count}</td>' for count in counts)
    name = html.escape(task.name)
    return f'<tr><td><a href="{name}.html">{name}</a></td>{numbers}</tr>'


def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _is_review(folder: Path) -> bool:
    return (folder / "index.html").is_file() and all(
        one.is_dir() or one.suffix == ".html" for one in folder.iterdir()
    )
