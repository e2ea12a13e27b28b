"""Keys, in one place: neither napari nor the active layer takes any of these (nor U and H, not used yet)."""

__all__ = ["BOX", "EXCLUDE", "NEW_OBJECT", "NEXT_OBJECT", "PREVIOUS_OBJECT", "PROPAGATE", "with_key"]

NEW_OBJECT = "N"
EXCLUDE = "Q"
BOX = "W"
PREVIOUS_OBJECT = "J"
NEXT_OBJECT = "K"
PROPAGATE = "G"


def with_key(tooltip: str, key: str) -> str:
    """Return a tooltip that names its key."""
    return f"{tooltip} (key {key})"
