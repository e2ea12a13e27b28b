"""Annotation sessions for every host: models, jobs, review, import, export, the command line.

A script needs the names below. They are loaded when they are first asked for, so that a command can set
variables that PyTorch reads before it is loaded.

Examples
--------
A disc that moves to the right; a path such as ``"cells.tif"`` may stand in place of the array.

>>> import numpy as np
>>> from sam2_plugins import AnnotationSession, ModelStore
>>> y, x = np.ogrid[:64, :80]
>>> frames = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(3)])
>>> session = AnnotationSession(frames, ModelStore(), "nano@256")
>>> cell = session.add_object("cell")
>>> clicked = session.add_points(0, cell, (30, 32))
>>> for result in session.propagate():
...     print(result.frame, session.label_image(result.frame).max())
0 1
1 1
2 1

See Also
--------
sam2_engine : predictions on images and videos, without objects, undo or storage.
"""

from typing import TYPE_CHECKING

from sam2_engine.lazy_names import lazy_names

if TYPE_CHECKING:
    from sam2_plugins.export.formats import FORMATS
    from sam2_plugins.runtime.model_store import ModelStore
    from sam2_plugins.session.annotation_session import AnnotationSession
    from sam2_plugins.storage import SessionFolder, open_session

__all__ = ["FORMATS", "AnnotationSession", "ModelStore", "SessionFolder", "open_session"]

_MODULES = {
    "FORMATS": "sam2_plugins.export.formats",
    "AnnotationSession": "sam2_plugins.session.annotation_session",
    "ModelStore": "sam2_plugins.runtime.model_store",
    "SessionFolder": "sam2_plugins.storage",
    "open_session": "sam2_plugins.storage",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
