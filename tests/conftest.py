"""What tests of several packages share: a small model in a file, so that no test needs a download."""

import gc
import os
from pathlib import Path

import pytest
import torch
from small_model import write_small_checkpoint

# Napari's settings are neither those of the person who runs the tests, nor shared by several processes.
os.environ["NAPARI_CONFIG"] = ""
# What tests expect does not depend on the machine's CPU, unless one wants to see what does.
os.environ.setdefault("SAM2_DTYPE", "float32")
# Small models gain nothing from threads, and lose much where several processes share the cores.
torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Spare what is imported from garbage collection: napari's fixtures collect twice per window."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_small_checkpoint(path)
    return path
