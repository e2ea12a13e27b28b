"""The colors and sizes of everything drawn."""

__all__ = ["EXCLUDE_COLOR", "INCLUDE_COLOR", "STATE_COLORS", "box_width", "point_size", "rgba"]

INCLUDE_COLOR = "#2ecc71"
EXCLUDE_COLOR = "#ff4d4d"
STATE_COLORS = {
    "empty": "#3a3f47",
    "predicted": "#5b8dd6",
    "doubtful": "#f5a623",
    "prompted": "#e6e6e6",
    "verified": "#2ecc71",
}
"""Of an object on a frame; distinct also without seeing red or green, by their lightness."""


def point_size(shape: tuple[int, int]) -> float:
    """Return a click's diameter in pixels, easy to see on a frame of ``shape`` (H, W)."""
    return max(2.0, min(shape) / 40)


def box_width(shape: tuple[int, int]) -> float:
    """Return the width of a box's outline in pixels for a frame of ``shape`` (H, W)."""
    return max(0.5, min(shape) / 250)


def rgba(color: tuple[int, int, int]) -> tuple[float, float, float, float]:
    """Return an object's RGB color (0..255) as napari takes it."""
    red, green, blue = (side / 255 for side in color)
    return red, green, blue, 1.0
