"""Verification of a data set's masklets in napari, by three keys."""
