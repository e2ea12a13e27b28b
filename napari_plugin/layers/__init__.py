"""Layers as frames, prompts and masks: the only place where napari's coordinates are known."""

from napari_plugin.layers.brush_stroke import BrushStroke
from napari_plugin.layers.companions import Companions
from napari_plugin.layers.image_stack import ImageStack, file_of, guess_axes, in_words, session_of
from napari_plugin.layers.layer_sizes import show_sizes
from napari_plugin.layers.mask_layer import MaskLayer
from napari_plugin.layers.prompts.prompt_layers import Lasso, PromptKey, PromptLayers
from napari_plugin.layers.prompts.surface_click import SurfaceClicks
from napari_plugin.layers.source_file import axes_of_file, take_from_file
from napari_plugin.layers.tools import Tool, Tools
from napari_plugin.layers.transform_sync import TransformSync

__all__ = [
    "BrushStroke",
    "Companions",
    "ImageStack",
    "Lasso",
    "MaskLayer",
    "PromptKey",
    "PromptLayers",
    "SurfaceClicks",
    "Tool",
    "Tools",
    "TransformSync",
    "axes_of_file",
    "file_of",
    "guess_axes",
    "in_words",
    "session_of",
    "show_sizes",
    "take_from_file",
]
