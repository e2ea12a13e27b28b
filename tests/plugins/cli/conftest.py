from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.storage import SessionFolder


@pytest.fixture
def recorded(tmp_path: Path, discs: NDArray[np.uint8], store: ModelStore, small_checkpoint: Path) -> Path:
    """A closed session: object 1 on frames 0 to 3, and on 4 to 7 its two daughters."""
    stack = tmp_path / "discs.tif"
    tifffile.imwrite(stack, discs, metadata={"axes": "TYX"})
    session = AnnotationSession(stack, store, small_checkpoint)
    folder = SessionFolder.create(tmp_path / "work.sam2", session, source=stack)
    session.add_object()
    for frame in range(8):
        session.add_mask(frame, 1, square(20))
    for daughter, x in zip(session.lineage.divide(1, 4), (15, 40)):
        for frame in range(4, 8):
            session.add_mask(frame, daughter, square(x))
    folder.close()
    session.frames.close()
    return folder.path


def square(x: int) -> NDArray[np.bool_]:
    mask = np.zeros((60, 80), bool)
    mask[10:20, x : x + 10] = True
    return mask
