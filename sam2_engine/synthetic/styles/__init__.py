"""Styles of synthetic scenes, one a file."""
