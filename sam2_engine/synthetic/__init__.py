"""Procedural scenes with exact masks: training data of nano, and sample data for hosts and tests."""

from sam2_engine.synthetic.rendering import STYLES, render_scene
from sam2_engine.synthetic.scene import Division, Scene
from sam2_engine.synthetic.styles.cells import moving_cells

__all__ = ["STYLES", "Division", "Scene", "moving_cells", "render_scene"]
