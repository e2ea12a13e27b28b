"""Measurements of objects in physical units."""

from sam2_plugins.measure.objects import Column, MeasurementTable, measure
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.measure.volumes import measure_volumes

__all__ = ["Column", "MeasurementTable", "PhysicalScale", "measure", "measure_volumes"]
