"""Dialogs for files and folders, which begin where one of their kind ended last in this window."""

import re
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_plugin.annotation.controller import AnnotationController
from sam2_plugins.export.formats import ExportFormat

__all__ = ["ask_for_file", "ask_for_folder", "ask_where_to_save"]

_SAVED = "exports"


def ask_where_to_save(parent: QWidget, annotation: AnnotationController, chosen: ExportFormat) -> Path | None:
    """Ask where to write a format, at first beside the image, under a name that fits.

    Returns
    -------
    Path or None
        With the format's ending; None if the user changed their mind. What is there may be replaced.
    """
    name = re.sub(r"[^\w. -]+", "_", annotation.stack.name) + f" {chosen.name}{chosen.suffix}"
    file = annotation.stack.file
    proposed = str(Path(_begin(parent, _SAVED, file and file.parent)) / name)
    endings = "" if chosen.is_folder else f"{chosen.title} (*{chosen.suffix})"
    picked, _ = QFileDialog.getSaveFileName(parent, f"Save: {chosen.title}", proposed, endings)
    if not picked:
        return None
    path = Path(picked)
    if not path.name.lower().endswith(chosen.suffix):
        path = path.with_name(path.name + chosen.suffix)
        if path.exists() and not _may_replace(parent, path):  # the dialog has asked about another name
            return None
    _remember(parent, _SAVED, path)
    return path


def ask_for_file(
    parent: QWidget, kind: str, title: str, endings: str, near: Path | None = None
) -> Path | None:
    """Ask for a file of some kind, at first in the folder ``near``; None if the user changed their mind."""
    picked, _ = QFileDialog.getOpenFileName(parent, title, _begin(parent, kind, near), endings)
    return _remember(parent, kind, Path(picked)) if picked else None


def ask_for_folder(parent: QWidget, kind: str, title: str, near: Path | None = None) -> Path | None:
    """Ask for a folder of some kind, at first in ``near``; None if the user changed their mind."""
    picked = QFileDialog.getExistingDirectory(parent, title, _begin(parent, kind, near))
    return _remember(parent, kind, Path(picked)) if picked else None


def _may_replace(parent: QWidget, path: Path) -> bool:
    answer = QMessageBox.question(parent, "Replace?", f"{path} exists already. Replace it?")
    return bool(answer == QMessageBox.StandardButton.Yes)


def _begin(parent: QWidget, kind: str, near: Path | None) -> str:
    """Return the folder to begin in; nothing leaves it to Qt."""
    last = parent.window().property(f"sam2 {kind}")
    return str(last or near or "")


def _remember(parent: QWidget, kind: str, path: Path) -> Path:
    parent.window().setProperty(f"sam2 {kind}", str(path.parent))
    return path
