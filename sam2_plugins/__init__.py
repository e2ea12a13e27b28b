"""Annotation sessions for every host: models, jobs, review, import, export, the command line.

A script needs the names below. They are loaded when they are first asked for, so that a command can set
variables that PyTorch reads before it is loaded.

Examples
--------
A disc that moves to the right; a path such as ``"cells.tif"`` may stand in place of the array, and is gone on
with where it was left.

>>> import numpy as np
>>> import sam2_plugins
>>> y, x = np.ogrid[:64, :80]
>>> discs = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(3)])
>>> with sam2_plugins.open(discs, model="nano@256") as work:
...     cell = work.add_object("cell")
...     clicked = work.add_prompt(0, cell, points=[(30, 32)])
...     print(work.propagate(), work.mask(cell, frame=2)[32, [38, 70]])
<TrackedFrames: frames 0 to 2, 1 object> [ True False]

See Also
--------
sam2_engine : predictions on images and videos, without objects, undo or storage.
"""

from typing import TYPE_CHECKING

from sam2_engine.lazy_names import lazy_names

if TYPE_CHECKING:
    from sam2_plugins.export.formats import FORMATS
    from sam2_plugins.runtime.model_store import ModelStore
    from sam2_plugins.scripting import Session, open
    from sam2_plugins.session.annotation_session import AnnotationSession
    from sam2_plugins.storage import SessionFolder, open_session

__all__ = ["FORMATS", "AnnotationSession", "ModelStore", "Session", "SessionFolder", "open", "open_session"]

_MODULES = {
    "FORMATS": "sam2_plugins.export.formats",
    "AnnotationSession": "sam2_plugins.session.annotation_session",
    "ModelStore": "sam2_plugins.runtime.model_store",
    "Session": "sam2_plugins.scripting",
    "SessionFolder": "sam2_plugins.storage",
    "open": "sam2_plugins.scripting",
    "open_session": "sam2_plugins.storage",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
