"""Settings of finding and tracking everything in a stack."""

from dataclasses import dataclass

from sam2_engine.arguments import is_whole
from sam2_engine.errors import InputError
from sam2_plugins.session.automatic_segmentation import AutomaticSettings

__all__ = ["EverythingSettings"]


@dataclass(frozen=True)
class EverythingSettings:
    """What to look for, and where.

    Attributes
    ----------
    confidence
        Least score of what is found on a frame; None: half of the model's own, since other frames speak for
        an object, too.
    min_area, max_objects, points_per_side
        As for :class:`sam2_plugins.session.automatic_segmentation.AutomaticSettings`, on each frame.
    every
        Objects are looked for on every so many frames; None: on all of a short stack, and on fewer of a
        long one that changes slowly.
    divisions
        Whether objects may divide; None: where the frames are times.

    Raises
    ------
    InputError
        If one of them is out of range.
    """

    confidence: float | None = None
    min_area: int = 20
    max_objects: int = 5000
    points_per_side: int = 24
    every: int | None = None
    divisions: bool | None = None

    def __post_init__(self) -> None:
        if self.every is not None and (not is_whole(self.every) or self.every < 1):
            raise InputError(f"Objects are looked for on every 1, 2, ... frames, not {self.every!r}.")
        self.on_each_frame(self.confidence)

    def on_each_frame(self, confidence: float | None) -> AutomaticSettings:
        """Return what to look for on one frame, down to a confidence."""
        return AutomaticSettings(confidence, self.min_area, self.max_objects, self.points_per_side)
