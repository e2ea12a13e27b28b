"""Lists that are never crushed to nothing."""

from qtpy.QtWidgets import QSizePolicy, QTreeWidget

__all__ = ["keep_rows"]


def keep_rows(tree: QTreeWidget, rows: int = 5) -> None:
    """Let a list always have the height of some rows below its titles."""
    row = tree.fontMetrics().height() + 6
    tree.setMinimumHeight(row * (rows + 1) + 4)
    tree.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)  # more where there is room
