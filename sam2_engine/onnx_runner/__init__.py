"""Runner of exported models, on NumPy, ONNX Runtime and Pillow alone: images, and videos from their prompts.

It imports nothing else of this project, so that the folder can be copied to where there is no PyTorch:
``python -m onnx_runner MODEL cells.png --point 120,80 -o mask.png``. It computes what ``ImagePredictor`` and
``VideoSession`` do by the plain rules of SAM 2. What they do beyond is theirs: gray levels of more than 8
bits, tiles, nano's wider view and cleaned masks, tracking backwards, and corrections of tracked frames.
"""

from .images import ImageSegmenter
from .models import ExportedModel, ModelFolderError
from .videos import VideoTracker

__all__ = ["ExportedModel", "ImageSegmenter", "ModelFolderError", "VideoTracker"]
