"""A session as measuring and export read it: painted masks on a small stack, without a model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.masks import CompressedMask
from sam2_plugins.session.annotations import AnnotatedObject, object_color
from sam2_plugins.session.label_image import compose_labels
from sam2_plugins.session.masks import AcceptedMask


@dataclass
class PaintedSession:
    frames: FrameSource
    objects: dict[int, AnnotatedObject] = field(default_factory=dict)
    masks: dict[tuple[int, int], AcceptedMask] = field(default_factory=dict)
    verified_frames: dict[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        labels: NDArray[Any],
        stack: NDArray[Any] | None = None,
        parents: dict[int, tuple[int, ...]] | None = None,
        axes: str = "TYX",
    ) -> "PaintedSession":
        """Every value of (T, Y, X) labels is an object; it is known where it is seen."""
        pixels = np.random.default_rng(0).integers(1, 200, labels.shape, np.uint8) if stack is None else stack
        session = cls(open_frames(pixels, axes=axes))
        for value in np.unique(labels[labels > 0]).tolist():
            session.add(value, parents=(parents or {}).get(value, ()))
            for frame in np.flatnonzero((labels == value).any(axis=(1, 2))).tolist():
                session.paint(value, frame, labels[frame] == value)
        return session

    def add(self, object_id: int, label: str | None = None, parents: tuple[int, ...] = ()) -> None:
        self.objects[object_id] = AnnotatedObject(
            object_id, f"object {object_id}", label, object_color(object_id), parents
        )

    def paint(self, object_id: int, frame: int, mask: NDArray[np.bool_]) -> None:
        self.masks[object_id, frame] = AcceptedMask.painted(CompressedMask.from_array(mask))

    def frames_of(self, object_id: int) -> list[int]:
        return sorted(frame for known, frame in self.masks if known == object_id)

    def verified(self, object_id: int) -> frozenset[int]:
        return self.verified_frames.get(object_id, frozenset())

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        return self.masks.get((object_id, frame))

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_] | None:
        accepted = self.accepted(object_id, frame)
        return None if accepted is None else accepted.mask.to_array()

    def label_image(self, frame: int) -> NDArray[Any]:
        there = {i: mask for (i, known), mask in self.masks.items() if known == frame}
        return compose_labels(self.frames.shape, there, max(self.objects, default=0))
