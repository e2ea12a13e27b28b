"""Relatives of SAM 2 in the dock: clicked, tracked, and offered in the sizes that they have."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_model import RELATIVES, write_small_checkpoint

from sam2_engine.modeling.config import ModelConfig
from tests.napari.dock_steps import WAIT, Open, click, labels, start, wait_until_tracked


@pytest.mark.parametrize("config", [RELATIVES[0], RELATIVES[-1]], ids=lambda config: config.name)
def test_an_object_is_clicked_and_tracked(
    config: ModelConfig, open_dock: Open, discs: NDArray[np.uint8], qtbot: Any, tmp_path: Path
) -> None:
    write_small_checkpoint(tmp_path / "relative.safetensors", config)
    dock = open_dock(discs)
    dock.model.choose(str(tmp_path / "relative.safetensors"))
    click(dock, 0, 20, 20)
    qtbot.waitUntil(lambda: labels(dock)[0].any(), timeout=WAIT)
    start(dock)
    wait_until_tracked(dock, qtbot)
    assert labels(dock).any(axis=(1, 2)).all()


def test_sizes_are_those_that_a_relative_takes(open_dock: Open, discs: NDArray[np.uint8]) -> None:
    dock = open_dock(discs)
    sizes = {}
    for name in ("edgetam", "efficienttam_ti"):
        dock.model.show_model(name)
        assert dock.model.fast.isEnabled() == (name == "efficienttam_ti")
        sizes[name] = [dock.model.size.itemData(row) for row in range(1, dock.model.size.count())]
    assert sizes["edgetam"] == [768, 512, 256]
    assert sizes["efficienttam_ti"] == [768, 512, 384, 320, 256]
