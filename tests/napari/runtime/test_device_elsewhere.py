"""A dock whose models run on another machine, which goes down while it tracks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dask_processes import Cluster
from dock_steps import WAIT, Open, annotation_of, click, labels, start, wait_until_tracked
from numpy.typing import NDArray

from napari_plugin.runtime.application import Sam2Application
from sam2_plugins.session.propagation_plan import Direction

pytestmark = [pytest.mark.gui, pytest.mark.slow]


@pytest.mark.filterwarnings("ignore:The connection to")
def test_clicks_and_tracking_on_a_worker_that_is_killed(
    open_dock: Open, application: Sam2Application, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.start_worker("one")
        with qtbot.waitSignal(application.device_changed, timeout=WAIT):
            application.use_device(cluster.address)
        dock = open_dock(discs)
        assert dock.model.device.currentText() == cluster.address.removeprefix("tcp://")
        click(dock, 0, 20, 20)
        qtbot.waitUntil(lambda: (labels(dock)[0] == 1).any(), timeout=WAIT)
        cluster.kill("one")
        cluster.start_worker("two")
        start(dock, Direction.FORWARD)
        wait_until_tracked(dock, qtbot)
        assert annotation_of(dock).session.frames_of(1) == list(range(len(discs)))
    finally:
        application.store.use_device("cpu")
        cluster.close()
