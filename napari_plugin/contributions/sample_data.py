"""Sample data: made or shipped with what is installed, so that it opens without a network."""

from typing import Any

from skimage import data

from sam2_engine.synthetic import moving_cells as render_moving_cells

__all__ = ["coins", "moving_cells"]

LayerData = tuple[Any, dict[str, Any], str]

_MICROMETRES_PER_PIXEL = 0.65
_SECONDS_PER_FRAME = 120.0


def moving_cells() -> list[LayerData]:
    """Return a synthetic time-lapse of drifting nuclei, (T, Y, X) = (40, 320, 320) uint16, with its scale."""
    frames, _ = render_moving_cells(num_frames=40, size=320, seed=7)
    return [
        (
            frames,
            {
                "name": "moving cells",
                "scale": (_SECONDS_PER_FRAME, _MICROMETRES_PER_PIXEL, _MICROMETRES_PER_PIXEL),
                "units": ("s", "um", "um"),
                "axis_labels": ("t", "y", "x"),
            },
            "image",
        )
    ]


def coins() -> list[LayerData]:
    """Return scikit-image's photograph of ancient coins, (Y, X) = (303, 384) uint8."""
    return [(data.coins(), {"name": "coins"}, "image")]
