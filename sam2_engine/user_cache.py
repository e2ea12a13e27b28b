"""Folder of what the package keeps for a user between runs."""

import os
from pathlib import Path

from platformdirs import user_cache_dir

__all__ = ["user_cache"]


def user_cache() -> Path:
    """Return the folder; ``SAM2_CACHE`` overrides the one that the system has for such things."""
    override = os.environ.get("SAM2_CACHE")
    return Path(override) if override else Path(user_cache_dir("sam2-plugins"))
