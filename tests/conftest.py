"""What tests of several packages share: a small model in a file, so that no test needs a download."""

from pathlib import Path

import pytest
import torch
from small_model import write_small_checkpoint

# Small models gain nothing from threads, and lose much where several processes share the cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_small_checkpoint(path)
    return path
