"""The masks of a session, written into a Labels layer of the user's as one step of that layer's own undo."""

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.label_source import axes_of_labels, labels_for, pixels_of
from sam2_engine import InputError
from sam2_engine.wording import counted
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.label_image import label_dtype

__all__ = ["Committed", "commit_masks", "empty_layer"]

Changes = tuple[tuple[NDArray[np.intp], ...], NDArray[np.int64]]
"""Indices of pixels in a layer, and what they become."""


@dataclass
class Committed:
    """What becomes of a Labels layer.

    Attributes
    ----------
    layer
        Which one.
    objects, frames
        Numbers of objects that are written, and of frames on which they are.
    replaced
        Number of pixels of other labels that are written over.
    added
        What the ids were raised by, so that no label that was there has one of them.
    """

    layer: Labels
    objects: int = 0
    frames: int = 0
    replaced: int = 0
    added: int = 0
    _changes: list[Changes] = field(default_factory=list)

    def write(self) -> None:
        """Write it, in the window's thread; the layer's own undo takes all of it back at once."""
        with self.layer.block_history():
            for indices, values in self._changes:
                self.layer.data_setitem(indices, values, refresh=False)
        self._changes = []
        self.layer.refresh()

    def __str__(self) -> str:
        """Say it in a sentence or two."""
        said = f"{counted(self.objects, 'object')} on {counted(self.frames, 'frame')}"
        parts = [f"{said} written into layer '{self.layer.name}'."]
        if self.added:
            parts.append(f"Object 1 is label {1 + self.added} there, and so on.")
        if self.replaced:
            parts.append(f"{counted(self.replaced, 'pixel')} of other labels were written over.")
        return " ".join([*parts, "With that layer selected, Ctrl+Z takes it back."])


def commit_masks(
    session: AnnotationSession, layer: Labels, stack: ImageStack, frame: int, *, beside: bool
) -> Generator[int, None, Committed]:
    """Find what a layer is to hold, and yield after each frame; nothing is written yet.

    Parameters
    ----------
    session, stack
        Whose masks, on which frames.
    layer
        As for ``labels_for``.
    frame
        Where a layer of a single frame lies.
    beside
        Labels that are there stay: masks are written beside them, with ids above theirs. Else a label and an
        object of the same number are the same: what it was on the object's frames goes, and masks are
        written over other labels.

    Raises
    ------
    InputError
        If the layer has another shape, cannot be written in or cannot hold the ids.
    """
    there = labels_for(layer, stack)
    single = there.ndim < len(session.frames.shape) + 1
    frames = [frame] if single else range(len(session))
    done = Committed(layer)
    if beside:
        for number in frames:
            done.added = max(done.added, int(np.max(there if single else there[number])))
            yield number
    _check_room(layer, max(session.objects, default=0) + done.added)
    objects: set[int] = set()
    for number in frames:
        before = np.asarray(there if single else there[number]).astype(np.int64)
        masks = np.asarray(session.label_image(number)).astype(np.int64)
        known = {i for i in session.objects if session.accepted(i, number) is not None}
        if beside:
            after = np.where((before == 0) & (masks > 0), masks + done.added, before)
        else:
            after = np.where(np.isin(before, sorted(known)), 0, before)
            done.replaced += int(np.count_nonzero((after > 0) & (masks > 0)))
            after = np.where(masks > 0, masks, after)
        changed = np.nonzero(after != before)
        if changed[0].size:
            indices = _indices(layer, stack, number, changed)
            done._changes.append((indices, np.resize(after[changed], len(indices[0]))))  # for each channel
        objects |= set(np.unique(masks).tolist()) - {0}
        done.frames += bool(masks.any())
        yield number
    done.objects = len(objects)
    return done


def empty_layer(stack: ImageStack, session: AnnotationSession) -> Labels:
    """Return a layer of the image's shape that holds nothing yet, with room for the ids of a session."""
    pixels = np.zeros(stack.shape, label_dtype(max(session.objects, default=0)))
    return Labels(pixels, name=f"labels of {stack.layer.name}", **stack.placement())


def _check_room(layer: Labels, largest: int) -> None:
    pixels = pixels_of(layer)
    if layer.multiscale or not isinstance(pixels, np.ndarray) or not pixels.flags.writeable:
        raise InputError(
            f"Layer '{layer.name}' cannot be written in, as its pixels are no plain array; "
            "write into a new layer instead."
        )
    if largest > np.iinfo(pixels.dtype).max:
        raise InputError(
            f"Layer '{layer.name}' is {pixels.dtype} and cannot hold label {largest}; right-click it ▸ "
            "Convert data type, or write into a new layer."
        )


def _indices(
    layer: Labels, stack: ImageStack, frame: int, pixels: tuple[NDArray[np.intp], ...]
) -> tuple[NDArray[np.intp], ...]:
    """Return where pixels (rows, columns) of a frame lie in a layer's data, on all of its channels."""
    axes, (rows, columns) = axes_of_labels(layer, stack), pixels
    channels = stack.num_channels if "C" in axes else 1
    place = {letter: np.full(len(rows), where) for letter, where in stack.fixed.items()}
    place |= {stack.plan.axis: np.full(len(rows), frame), "Y": rows, "X": columns}
    place = {letter: np.tile(where, channels) for letter, where in place.items()}
    place["C"] = np.repeat(np.arange(channels), len(rows))
    return tuple(place[letter] for letter in axes)
