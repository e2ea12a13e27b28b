"""Where to save: the dialog, beside the session and under a name that fits."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_plugin.annotation import Annotation
from sam2_plugins.export.formats import ExportFormat

__all__ = ["ask_where_to_save"]


def ask_where_to_save(parent: QWidget, annotation: Annotation, chosen: ExportFormat) -> Path | None:
    """Ask where to write a format, with its ending; None if the user changed their mind."""
    name = f"{annotation.stack.layer.name} {chosen.name}{chosen.suffix}"
    folder = annotation.folder
    proposed = str(folder.path.parent / name) if folder is not None else name
    endings = "" if chosen.is_folder else f"{chosen.title} (*{chosen.suffix})"
    picked, _ = QFileDialog.getSaveFileName(parent, f"Save: {chosen.title}", proposed, endings)
    if not picked:
        return None
    path = Path(picked)
    missing = chosen.suffix and not path.name.lower().endswith(chosen.suffix)
    return path.with_name(path.name + chosen.suffix) if missing else path
