"""Physical sizes on the canvas: an Image layer, and what lies on it, in the units of its session."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from sam2_engine.frames.spacing.units import LENGTH_UNITS, TIME_UNITS
from sam2_plugins.measure.physical_scale import PhysicalScale

__all__ = ["known_sizes", "show_sizes"]


def known_sizes(scale: PhysicalScale) -> dict[str, tuple[float, str]]:
    """Return size and unit of the axes whose sizes are known, by letter."""
    has_length, has_time = scale.unit in LENGTH_UNITS, scale.time_unit in TIME_UNITS
    known = {"T": (scale.frame_interval, scale.time_unit)} if has_time else {}
    if has_length:
        height, width = scale.pixel_size
        known |= {"Y": (height, scale.unit), "X": (width, scale.unit)}
    if has_length and scale.plane_spacing != 1:  # 1 may be one that nobody has said
        known["Z"] = scale.plane_spacing, scale.unit
    return known


def show_sizes(stack: ImageStack, viewer: Viewer, scale: PhysicalScale) -> None:
    """Give the layer of an image, and those that lie exactly on it, its sizes; the view stays as it is.

    What the user has placed by hand stays: a layer with an offset, or with a scale but without units.
    """
    layer = stack.layer
    sizes, units = _sizes(stack, scale)
    changed = not np.allclose(sizes, layer.scale, rtol=1e-6) or units != _units(layer)
    if not changed or np.any(layer.translate):
        return
    followers = list(_lying_on(layer, viewer.layers))
    shown = layer.world_to_data(viewer.dims.point)
    times = sizes / layer.scale
    for one in (layer, *followers):
        with_sizes = {"scale": sizes[-one.ndim :], "units": units[-one.ndim :]}
        for name, value in with_sizes.items():
            setattr(one, name, value)
    _keep_view(stack, viewer, shown, times)


def _sizes(stack: ImageStack, scale: PhysicalScale) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return size and unit for each axis of the layer, its own where nothing is known."""
    layer, known = stack.layer, known_sizes(scale)
    own = list(zip(stack.dims, layer.scale.tolist(), _units(layer)))
    if any(unit == "pixel" and size != 1 for _, size, unit in own):
        known = {}
    found = [known.get(letter, (size, unit)) for letter, size, unit in own]
    return np.array([size for size, _ in found]), tuple(unit for _, unit in found)


def _units(layer: Layer) -> tuple[str, ...]:
    short = (f"{unit:~P}" for unit in layer.units)
    return tuple("pixel" if unit in ("", "px") else unit for unit in short)


def _lying_on(image: Image, layers: Iterable[Layer]) -> Iterable[Layer]:
    """Yield the layers that are drawn on an image; another image is only if it has the same shape."""
    for layer in layers:
        same_place = (
            layer is not image
            and layer.ndim <= image.ndim
            and not np.any(layer.translate)
            and np.allclose(layer.scale, image.scale[-layer.ndim :])
            and _units(layer) == _units(image)[-layer.ndim :]
        )
        has_pixels = isinstance(layer, Image | Labels)
        if same_place and (not has_pixels or _shape(layer) == _shape(image)[-layer.ndim :]):
            yield layer


def _shape(layer: Layer) -> tuple[int, ...]:
    return tuple((layer.data[0] if layer.multiscale else layer.data).shape[: layer.ndim])


def _keep_view(stack: ImageStack, viewer: Viewer, shown: Any, times: NDArray[np.float64]) -> None:
    """Let the sliders stand on the frame that was shown, and the camera on what it showed."""
    missing = viewer.dims.ndim - len(shown)
    viewer.dims.set_point(range(missing, viewer.dims.ndim), stack.layer.data_to_world(shown))
    displayed = [axis - missing for axis in viewer.dims.displayed]
    if min(displayed) < 0:
        return
    factors = times[displayed]
    camera = viewer.scene.camera
    center = np.array(camera.center, float)
    center[-len(factors) :] *= factors
    camera.center = tuple(center)
    camera.zoom /= float(np.prod(factors[-2:]) ** 0.5)
