"""Solid bodies in three dimensions: meshes, and a small renderer for them."""
