"""Export of a session: label images, tracks, COCO, tables, overlays, folders to train on."""

from sam2_plugins.export.label_tiff import LabelStackWriter, write_label_image
from sam2_plugins.export.overlays import overlay, write_animation, write_png

__all__ = [
    "LabelStackWriter",
    "overlay",
    "write_animation",
    "write_label_image",
    "write_png",
]
