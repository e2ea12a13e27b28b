"""The styles of synthetic scenes, one a file."""
