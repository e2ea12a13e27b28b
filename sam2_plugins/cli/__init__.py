"""The command ``sam2``."""
