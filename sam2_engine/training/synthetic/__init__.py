"""Procedural scenes with exact masks: what nano is taught on, and sample data for hosts and tests."""

from sam2_engine.training.synthetic.cells import moving_cells
from sam2_engine.training.synthetic.rendering import STYLES, render_scene
from sam2_engine.training.synthetic.scene import Division, Scene

__all__ = ["STYLES", "Division", "Scene", "moving_cells", "render_scene"]
