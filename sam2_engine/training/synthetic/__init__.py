"""Procedural scenes with exact masks: what nano is taught on, and sample data for hosts and tests."""

from sam2_engine.training.synthetic.cells import moving_cells

__all__ = ["moving_cells"]
