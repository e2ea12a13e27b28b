"""Masks of a session as files: label images, tables, overlay pictures and animations."""

from sam2_plugins.export.label_tiff import LabelStackWriter, write_label_image
from sam2_plugins.export.pictures import overlay, write_animation, write_picture
from sam2_plugins.export.table import MaskRow, mask_rows, write_table

__all__ = [
    "LabelStackWriter",
    "MaskRow",
    "mask_rows",
    "overlay",
    "write_animation",
    "write_label_image",
    "write_picture",
    "write_table",
]
