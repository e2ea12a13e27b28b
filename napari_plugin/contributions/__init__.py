"""What napari's manifest offers beside the dock."""
