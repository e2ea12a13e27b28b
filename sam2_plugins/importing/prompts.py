"""Prompts from files: ``prompts.json`` (clicks and boxes) and label images (masks).

Everything is checked before any work is done, and an error names the entry.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.labels import open_labels
from sam2_engine.prompts import Prompt, check_says_where
from sam2_engine.text_files import read_text
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import UndoGroup
from sam2_plugins.session.readable import LongWork

__all__ = ["PlacedPrompt", "place_labels", "place_masks", "place_prompts", "read_label_image", "read_prompts"]

_KEYS = {"frame", "object_id", "points", "labels", "box"}


@dataclass(frozen=True)
class PlacedPrompt:
    """A prompt, with the object and the frame that it is for.

    Attributes
    ----------
    frame, object_id
        Frame from 0, id from 1.
    prompt
        Clicks, a box, or both.
    """

    frame: int
    object_id: int
    prompt: Prompt


def read_prompts(path: str | Path, shape: tuple[int, int], length: int | None) -> list[PlacedPrompt]:
    """Read a file of prompts for frames of ``shape`` (H, W), of which there are ``length``.

    The file is a JSON list of ``{"frame": 0, "object_id": 1, "points": [[x, y], ...], "labels": [1, 0, ...],
    "box": [x0, y0, x1, y1]}``; ``labels`` may be left out (all 1), and either ``points`` or ``box``.

    Raises
    ------
    InputError
        If the file cannot be read, is not JSON, or an entry is not valid, or of no use after those before it;
        the entry is named.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path), object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"{path} is not a JSON file (it is not text, or nested too deeply).") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    except _TwiceError as error:
        raise InputError(f"{path}: the key {error} is given twice in one entry; give it once.") from None
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{path} must be a list with at least one entry like "
            '{"frame": 0, "object_id": 1, "points": [[x, y]]}.'
        )
    placed = [
        _placed_prompt(f"{path}, entry {number}", entry, shape, length)
        for number, entry in enumerate(content, start=1)
    ]
    _check_together(path, placed)
    return placed


class _TwiceError(ValueError):
    """A key that an entry has twice; JSON alone keeps the last one, and the others are lost."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for key, value in pairs:
        if key in entry:
            raise _TwiceError(repr(key))
        entry[key] = value
    return entry


def _check_together(path: Path, placed: list[PlacedPrompt]) -> None:
    """Refuse a second box of an object on a frame, and clicks outside before anything says where it is."""
    boxed: set[tuple[int, int]] = set()
    located: set[tuple[int, int]] = set()
    for number, entry in enumerate(placed, start=1):
        where, place = f"{path}, entry {number}", (entry.object_id, entry.frame)
        if entry.prompt.box is not None and place in boxed:
            raise InputError(
                f"{where}: object {entry.object_id} has another box on frame {entry.frame} before; "
                "an object has one box on a frame."
            )
        try:
            check_says_where(entry.prompt.says_where, annotated=place in located)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        located.add(place)
        if entry.prompt.box is not None:
            boxed.add(place)


def read_label_image(path: str | Path, shape: tuple[int, int]) -> NDArray[Any]:
    """Read the label image of one frame of ``shape`` (H, W): one value per object, 0 is background.

    Raises
    ------
    InputError
        If the file is no label image, has another size, more than one frame, or no object.
    """
    path = Path(path)
    with open_labels(path, single=True) as source:
        if len(source) != 1:
            raise InputError(f"{path} must be one label image, but is {source.frames.description}.")
        if source.shape != shape:
            raise InputError(
                f"{path} is {source.shape[1]} wide and {source.shape[0]} high, "
                f"but the frames are {shape[1]} wide and {shape[0]} high."
            )
        labels = source[0].ids
    if not labels.any():
        raise InputError(f"{path} has no object in it: labels are numbers above 0.")
    return labels


@LongWork
def place_prompts(session: AnnotationSession, placed: list[PlacedPrompt]) -> Generator[int, None, int]:
    """Add prompts to a session, in their order, making the objects that they name; all are undone as one.

    Returns
    -------
    int
        Number of objects.
    """
    undo_group = UndoGroup()
    for entry in placed:
        if entry.object_id not in session.objects:
            session.add_object(object_id=entry.object_id, undo_group=undo_group)
        session.add_prompt(entry.frame, entry.object_id, entry.prompt, undo_group=undo_group)
        yield entry.frame
    return len({entry.object_id for entry in placed})


def place_masks(
    session: AnnotationSession, placed: list[PlacedPrompt], verify: bool = False
) -> Generator[int, None, int]:
    """Take the masks of prompts over as finished ones, verified on request; all are undone as one.

    Returns
    -------
    int
        Number of objects.
    """
    undo_group = UndoGroup()
    for entry in placed:
        if entry.prompt.mask is not None:
            mask = {entry.object_id: entry.prompt.mask.to_array()}
            session.import_masks(entry.frame, mask, undo_group)
            if verify:
                session.verify(entry.object_id, [entry.frame], undo_group=undo_group)
        yield entry.frame
    return len({entry.object_id for entry in placed})


def place_labels(session: AnnotationSession, frame: int, labels: NDArray[Any]) -> None:
    """Add to a session one object per value of an (H, W) label image, with that id and that mask."""
    for value in np.unique(labels[labels > 0]).tolist():
        session.add_mask(frame, session.add_object(object_id=int(value)), labels == value)


def _placed_prompt(where: str, entry: Any, shape: tuple[int, int], length: int | None) -> PlacedPrompt:
    if not isinstance(entry, dict):
        raise InputError(
            f'{where}: an entry is {{"frame": ..., "object_id": ..., "points": ...}}, not {entry!r:.40}.'
        )
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(_KEYS))}.")
    frame = _whole_number(where, entry, "frame", 0)
    if length is not None and frame >= length:
        raise InputError(f"{where}: there is no frame {frame}; the frames are 0 to {length - 1}.")
    object_id = _whole_number(where, entry, "object_id", 1)
    points, labels, box = entry.get("points"), entry.get("labels"), entry.get("box")
    if points is None and box is None:
        raise InputError(f"{where}: neither points nor a box is given.")
    if points is None and labels is not None:
        raise InputError(f"{where}: labels are given without points.")
    try:
        return PlacedPrompt(frame, object_id, Prompt.of(shape, points=points, labels=labels, box=box))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _whole_number(where: str, entry: dict[str, Any], key: str, least: int) -> int:
    if key not in entry:
        raise InputError(f"{where}: {key!r} is missing.")
    value = entry[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{where}: {key!r} must be a whole number from {least} on, not {value!r:.40}.")
    return value
