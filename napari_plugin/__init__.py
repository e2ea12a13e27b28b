"""The napari plugin: segment and track objects in Image layers by clicks, boxes and masks."""

import os

# Read once, when PyTorch is loaded: its idle threads sleep instead of spinning, so that they do not
# compete with the window's own thread (figures in sam2_plugins/__main__.py). A setting of yours wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
