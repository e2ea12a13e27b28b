"""Weights: where they are, download, loading, saving."""
