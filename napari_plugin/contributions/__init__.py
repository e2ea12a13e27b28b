"""The contributions of napari's manifest beside the dock."""
