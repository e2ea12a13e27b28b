"""Settings of the search for masklets, and the rules by which they are dropped."""

from dataclasses import dataclass

from sam2_engine.arguments import is_whole
from sam2_engine.errors import InputError
from sam2_plugins.session.automatic_segmentation import AutomaticSettings

__all__ = ["MaskletSettings"]

_CLICKS = (1, 2, 8)
"""By which part the grid of each layer of crops is coarser: 32, 16 and 4 clicks a side in the paper."""


@dataclass(frozen=True)
class MaskletSettings:
    """What to look for, and what is dropped.

    Attributes
    ----------
    key_frames
        On how many frames, evenly spread, objects are looked for.
    points_per_side
        Clicks per side of the grid on the whole frame; the paper has 32.
    crop_layers
        0 to 2: also 2 x 2, and 4 x 4 zoomed crops of the frame, which overlap; the paper has 2.
    confidence
        Least score of a mask on its key frame, predicted IoU times stability; None: the model's own.
    min_area
        Smaller components and holes go from every mask, and with them masklets that are never larger.
    max_overlap
        Of two masklets with a larger IoU the better one stays.
    min_stability
        Least mean stability of a masklet over the frames on which it is tracked and visible; None: the
        model's own, as for masks of everything.
    max_masklets
        At most so many per video, the surest.

    Raises
    ------
    InputError
        If one of them is out of range.

    Examples
    --------
    >>> MaskletSettings(points_per_side=32, crop_layers=2).grids
    (32, 16, 4)
    """

    key_frames: int = 3
    points_per_side: int = 16
    crop_layers: int = 1
    confidence: float | None = None
    min_area: int = 20
    max_overlap: float = 0.7
    min_stability: float | None = None
    max_masklets: int = 100

    def __post_init__(self) -> None:
        for name in ("key_frames", "points_per_side", "max_masklets"):
            if not is_whole(getattr(self, name)) or getattr(self, name) < 1:
                raise InputError(f"{name} is a whole number of 1 or more, not {getattr(self, name)!r}.")
        if self.crop_layers not in range(len(_CLICKS)):
            raise InputError(f"crop_layers is 0, 1 or 2, not {self.crop_layers!r}.")
        for name in ("max_overlap", "min_stability"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} is a number from 0 to 1, not {value!r}.")
        self.on_crop(0)

    @property
    def grids(self) -> tuple[int, ...]:
        """Clicks per side on the whole frame and on the crops of each layer."""
        return tuple(max(self.points_per_side // part, 1) for part in _CLICKS[: self.crop_layers + 1])

    def on_crop(self, layer: int) -> AutomaticSettings:
        """Return how objects are looked for on a crop of a layer; 0 is the whole frame."""
        return AutomaticSettings(self.confidence, self.min_area, self.max_masklets, self.grids[layer])
