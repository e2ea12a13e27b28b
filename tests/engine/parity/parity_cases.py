"""What the parity tests show to every package: frames, prompts, and the order of events."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH, LENGTH = 120, 160, 16
"""16 frames, because shorter videos change the official predictor's clock of object pointers."""


def draw_frames(glare: range = range(0), length: int = LENGTH) -> NDArray[np.uint8]:
    """Draw (T, H, W, 3) frames: two discs that cross a shaded ground; those in ``glare`` are over-exposed."""
    random = np.random.RandomState(5)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    frames = np.empty((length, HEIGHT, WIDTH, 3), np.uint8)
    for t, frame in enumerate(frames):
        image = np.stack(
            [150 * x / WIDTH, 90 + 80 * y / HEIGHT, 200 - 120 * (x + y) / (WIDTH + HEIGHT)], axis=-1
        )
        image[(x - 40 - 5 * t) ** 2 + (y - 45 - 2 * t) ** 2 < 18**2] = (220, 60, 50)
        image[(x - 125 + 4 * t) ** 2 + (y - 80 + 3 * t) ** 2 < 14**2] = (50, 210, 110)
        if t in glare:
            image[:] = 255
        frame[:] = np.clip(image + random.randint(-15, 16, (HEIGHT, WIDTH, 1)), 0, 255).round()
    return frames


def rectangle(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    """Return an (H, W) mask of the pixels from (x0, y0) to (x1, y1), inclusive."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


@dataclass(frozen=True)
class Prompt:
    """Clicks (with or without a box), a box, or a mask; clicks add to those already on the frame."""

    frame: int
    object_id: int
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Track:
    """One propagation over all objects, from ``start`` to ``stop``, both inclusive."""

    start: int = 0
    stop: int = LENGTH - 1

    @property
    def reverse(self) -> bool:
        return self.stop < self.start


@dataclass(frozen=True)
class VideoCase:
    """Prompts and propagations in their order.

    With the presence bias of "gone and back", chosen for these weights and frames, the scores go through
    0 as the glare comes and goes; with the default, objects are always there.
    """

    name: str
    steps: tuple[Prompt | Track, ...]
    glare: range = range(0)
    presence_bias: float = 6.0

    def passes(self) -> Iterator[tuple[str, Track]]:
        """Name the propagations."""
        tracks = [step for step in self.steps if isinstance(step, Track)]
        for number, track in enumerate(tracks):
            yield f"{self.name}/{number}", track

    @property
    def object_ids(self) -> set[int]:
        return {step.object_id for step in self.steps if isinstance(step, Prompt)}

    def only(self, object_ids: set[int]) -> "VideoCase":
        """Return the case without the other objects."""
        remaining = tuple(s for s in self.steps if isinstance(s, Track) or s.object_id in object_ids)
        return replace(self, steps=remaining)


def _click(frame: int, object_id: int, *points: tuple[float, float], outside: int = 0) -> Prompt:
    """Click on all ``points``, the last ``outside`` of which are negative."""
    labels = (1,) * (len(points) - outside) + (0,) * outside
    return Prompt(frame, object_id, points, labels)


VIDEO_CASES = (
    VideoCase(
        "every kind of prompt",
        (
            _click(0, 1, (40, 45)),
            _click(0, 2, (125, 80), (120.5, 86.25), (60, 20), outside=1),
            Prompt(0, 3, box=(110, 65, 140, 95)),
            Prompt(0, 4, ((44, 40), (70, 90)), (1, 0), box=(20, 25, 60, 66)),
            Prompt(0, 5, mask=(22, 27, 57, 62)),
            Track(),
        ),
    ),
    VideoCase(
        "a late object",
        (_click(0, 1, (40, 45)), Track(0, 5), Prompt(6, 7, box=(90, 50, 115, 80)), Track(6)),
    ),
    VideoCase(
        "two prompted frames",
        (
            _click(0, 1, (40, 45)),
            Prompt(9, 1, box=(67, 45, 104, 82)),
            Prompt(0, 2, mask=(111, 66, 138, 93)),
            Prompt(12, 2, mask=(63, 30, 90, 57)),
            Track(),
        ),
    ),
    VideoCase(
        "corrections",
        (
            _click(0, 1, (40, 45)),
            Track(),
            _click(5, 1, (65, 55)),
            _click(5, 1, (30, 100), (68, 50), outside=1),
            Track(),
            Prompt(10, 1, mask=(75, 50, 108, 84)),
            Track(),
        ),
    ),
    VideoCase(
        "both directions",
        (_click(8, 1, (80, 61)), Prompt(8, 2, mask=(80, 43, 107, 70)), Track(8, 15), Track(8, 0)),
    ),
    VideoCase(
        "backwards and corrected",
        (Prompt(15, 1, box=(97, 57, 133, 93)), Track(15, 0), _click(7, 1, (75, 59)), Track(15, 0)),
    ),
    VideoCase(
        "gone and back",
        (
            Prompt(0, 2, box=(110, 65, 140, 95)),
            Prompt(0, 3, mask=(22, 27, 57, 62)),
            Prompt(0, 4, ((44, 40), (70, 90)), (1, 0), box=(20, 25, 60, 66)),
            Track(),
        ),
        glare=range(4, 8),
        presence_bias=-0.2,
    ),
)


@dataclass(frozen=True)
class ImageCase:
    """Prompts on one image, in SAM's own words; ``mask_from`` feeds back another case's logits."""

    name: str
    multimask: bool
    points: object = None
    labels: object = None
    box: object = None
    mask_from: str | None = None


_CLICK, _CLICKS = [[40, 45]], [[40, 45], [52.5, 50], [125, 80], [5, 5]]
_BOXES = [[20, 25, 60, 66], [110, 65, 140, 95], [0, 0, 159, 119]]

IMAGE_CASES = (
    ImageCase("click", True, _CLICK, [1]),
    ImageCase("click, one mask", False, _CLICK, [1]),
    ImageCase("negative click", True, _CLICK, [0]),
    ImageCase("clicks", True, _CLICKS, [1, 1, 0, 0]),
    ImageCase("clicks, one mask", False, _CLICKS, [1, 1, 0, 0]),
    ImageCase("box", False, box=_BOXES[0]),
    ImageCase("box, three masks", True, box=_BOXES[0]),
    ImageCase("box and clicks", False, _CLICKS, [1, 1, 0, 0], box=_BOXES[0]),
    ImageCase("click on a mask", False, _CLICK, [1], mask_from="click, one mask"),
    ImageCase("mask alone", True, mask_from="click, one mask"),
    ImageCase("batch of boxes", False, box=_BOXES),
    ImageCase("batch of clicks", True, [[p] for p in _CLICKS], [[1], [1], [1], [0]]),
    ImageCase("batch of boxes and clicks", True, [[p] for p in _CLICKS[:3]], [[1], [1], [0]], box=_BOXES),
)
