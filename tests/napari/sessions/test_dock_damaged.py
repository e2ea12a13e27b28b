"""A frame that cannot be read, in a real window: tracking passes over it and says so."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputWarning
from tests.napari.dock_steps import (
    Open,
    annotation_of,
    click,
    labels,
    shown_when_idle,
    start,
    wait_until_tracked,
)

pytestmark = pytest.mark.gui


def test_tracking_passes_over_it_and_says_so(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    def read(block: NDArray[np.uint8], block_info: Any = None) -> NDArray[np.uint8]:
        if block_info is not None and block_info[0]["chunk-location"][0] == 3:
            raise OSError("its data are torn")
        return block

    chunked = da.from_array(discs, chunks=(1, -1, -1))
    dock = open_dock(chunked.map_blocks(read, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)))
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    said: list[str] = []
    annotation_of(dock).propagation.ended.connect(said.append)
    start(dock)
    with pytest.warns(InputWarning, match="passed over frame 3"):
        wait_until_tracked(dock, qtbot)
    assert said[0].startswith("5 frames tracked. Tracking passed over frame 3, which has no masks now")
    assert "its data are torn" in said[0]
    drawn = labels(dock).any(axis=(1, 2))
    assert not drawn[3]
    assert drawn[:3].all()
