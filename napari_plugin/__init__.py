"""SAM 2 in napari: segment and track objects in Image layers by clicks and boxes."""
