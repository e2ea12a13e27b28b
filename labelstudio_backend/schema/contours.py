"""Connected components of a mask, a simplified polygon around one, and a fitted ellipse."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import approximate_polygon, find_contours, label

__all__ = ["Ellipse", "Polygon", "component_polygon", "fit_ellipse", "large_components", "mask_bounds"]

_MIN_RELATIVE_AREA = 0.1


@dataclass(frozen=True)
class Polygon:
    """The outer contour of one connected component of a mask.

    Attributes
    ----------
    vertices
        (N, 2) ``(x, y)``, N of 3 and more, in pixels from the outer edge of the image's first pixel.
    holes, hole_pixels
        How many holes the component has, which a polygon cannot show, and their pixels together.
    """

    vertices: NDArray[np.float64]
    holes: int
    hole_pixels: int


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in pixels from the outer edge of the image's first pixel.

    Attributes
    ----------
    center, radii
        ``(x, y)``, and the longer and the shorter radius.
    angle
        Of the longer radius, degrees clockwise from the x axis, 0 to 180.
    """

    center: tuple[float, float]
    radii: tuple[float, float]
    angle: float


def mask_bounds(mask: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """Return the box ``(x0, y0, x1, y1)`` (inclusive) around a mask ``(H, W)``, or None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def large_components(mask: NDArray[np.bool_]) -> list[tuple[tuple[int, int], NDArray[np.bool_]]]:
    """Return the connected components of a mask ``(H, W)``, largest first, without small ones.

    Components below a tenth of the largest one are left out, for a few stray pixels would make a box of any
    size; an object that is cut in two by something in front of it has both halves. Pixels are connected to
    all eight neighbors.

    Returns
    -------
    Each as the column and row of its top left corner, and its pixels from there on, cropped.
    """
    bounds = mask_bounds(mask)
    if bounds is None:
        return []
    x0, y0, x1, y1 = (int(side) for side in bounds)
    numbered = label(mask[y0 : y1 + 1, x0 : x1 + 1], connectivity=2)
    areas = np.bincount(numbered.ravel())
    areas[0] = 0
    components = []
    for number in np.argsort(-areas, kind="stable"):
        if not areas[number] or areas[number] < _MIN_RELATIVE_AREA * areas.max():
            break
        component = numbered == number
        inner = mask_bounds(component)
        assert inner is not None
        left, top, right, bottom = (int(side) for side in inner)
        components.append(((x0 + left, y0 + top), component[top : bottom + 1, left : right + 1]))
    return components


def component_polygon(corner: tuple[int, int], component: NDArray[np.bool_], tolerance: float) -> Polygon:
    """Return the simplified polygon around one component, as :func:`large_components` gives it.

    It runs through the middle between the pixels inside and outside; of its points those are left out
    that lie closer than ``tolerance`` pixels to the line without them (Douglas and Peucker, 1973).
    """
    padded = np.pad(component, 1)
    # A contour that runs along the component's outside encloses more than any around a hole of it.
    contours = find_contours(padded.astype(np.float32), 0.5, fully_connected="high")
    rows, columns = max(contours, key=lambda contour: float(np.ptp(contour, axis=0).prod())).T
    # From the indices of padded pixels' centers to the image's outer edge.
    points = np.stack([columns + corner[0] - 0.5, rows + corner[1] - 0.5], axis=1)
    simplified = points
    while tolerance > 0.01 and len(simplified := approximate_polygon(points, tolerance)) < 4:
        tolerance /= 2  # something tiny or thin must not become a line
    background = label(~padded, connectivity=1)
    return Polygon(
        vertices=(simplified if len(simplified) >= 4 else points)[:-1],
        holes=int(background.max()) - 1,
        hole_pixels=int((background > 1).sum()),
    )


def fit_ellipse(mask: NDArray[np.bool_]) -> Ellipse:
    """Return the ellipse with the center and the second moments of a mask ``(H, W)`` that is not empty."""
    rows, columns = np.nonzero(mask)
    centered = np.stack([columns - columns.mean(), rows - rows.mean()])
    # A pixel is a square and not a point: its own second moment is a twelfth.
    moments = centered @ centered.T / rows.size + np.eye(2) / 12
    variances, axes = np.linalg.eigh(moments)
    shorter, longer = 2 * np.sqrt(variances)
    x, y = axes[:, 1]
    return Ellipse(
        center=(float(columns.mean()) + 0.5, float(rows.mean()) + 0.5),
        radii=(float(longer), float(shorter)),
        angle=float(np.degrees(np.arctan2(y, x)) % 180),
    )
