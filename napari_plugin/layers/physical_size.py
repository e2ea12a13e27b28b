"""A layer's scale and units as the physical size of its pixels and frames."""

from dataclasses import replace

from napari.layers import Layer

from sam2_plugins.physical_scale import PhysicalScale

__all__ = ["physical_scale"]

_NONE = ("", "px")


def physical_scale(layer: Layer, axes: str) -> PhysicalScale:
    """Return what a pixel, a plane and a frame are in the world.

    Parameters
    ----------
    layer
        napari knows pixels, and the units of pint; a layer without units has pixels and frames, whatever
        its scale.
    axes
        One letter per axis of the layer, such as ``"TYX"``.
    """
    size = dict(zip(axes, (abs(float(step)) for step in layer.scale)))
    unit = dict(zip(axes, (f"{unit:~}" for unit in layer.units)))
    scale = PhysicalScale()
    if unit["Y"] == unit["X"] and unit["X"] not in _NONE:
        scale = replace(scale, pixel_size=(size["Y"], size["X"]), unit=unit["X"])
        if unit.get("Z") == unit["X"]:
            scale = replace(scale, plane_spacing=size["Z"])
    if unit.get("T", "") not in _NONE:
        scale = replace(scale, frame_interval=size["T"], time_unit=unit["T"])
    return scale
