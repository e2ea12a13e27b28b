"""Scripts and notebooks: one session with every verb, its progress and its pictures."""

from sam2_plugins.scripting.opening import open
from sam2_plugins.scripting.session import Session

__all__ = ["Session", "open"]
