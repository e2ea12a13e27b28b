"""Weights of models: locations, download, loading, saving."""
