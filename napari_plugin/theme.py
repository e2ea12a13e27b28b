"""The colors and sizes of everything drawn."""

__all__ = [
    "CLICK_COLORS",
    "CLICK_RING",
    "CLICK_SIZE",
    "CLICK_SYMBOLS",
    "NO_OBJECT",
    "STATE_COLORS",
    "box_width",
    "point_size",
    "rgba",
]

CLICK_COLORS = {"include": "#ffffff", "exclude": "#ff2a2a"}
"""Of the ring around a click, which is filled with its object's color."""
CLICK_SYMBOLS = {"include": "disc", "exclude": "x"}
CLICK_SIZE = 9
"""Diameter of a click on the screen, in pixels, at any zoom: it must not hide what was clicked."""
CLICK_RING = 0.12
"""Width of its ring, as a part of the diameter."""
NO_OBJECT = (46, 204, 113)
"""Color of a click that belongs to no object yet."""
STATE_COLORS = {
    "empty": "#3a3f47",
    "predicted": "#5b8dd6",
    "doubtful": "#f5a623",
    "prompted": "#e6e6e6",
    "verified": "#2ecc71",
}
"""Of an object on a frame; distinct also without seeing red or green, by their lightness."""


def point_size(shape: tuple[int, int]) -> float:
    """Return the diameter in which the mouse finds a click again, in pixels of a frame of ``shape``."""
    return max(1.0, min(shape) / 75)


def box_width(shape: tuple[int, int]) -> float:
    """Return the width of a box's outline in pixels for a frame of ``shape`` (H, W)."""
    return max(0.5, min(shape) / 400)


def rgba(color: tuple[int, int, int]) -> tuple[float, float, float, float]:
    """Return an object's RGB color (0..255) as napari takes it."""
    red, green, blue = (side / 255 for side in color)
    return red, green, blue, 1.0
