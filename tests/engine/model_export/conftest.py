"""The small model, exported once for all tests."""

from pathlib import Path

import pytest

from sam2_engine.model_export.writing import export_model
from sam2_engine.modeling.sam2 import Sam2


@pytest.fixture(scope="session")
def exported(small_model: Sam2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported") / "small"
    export_model(small_model, folder, license="CC0-1.0")
    return folder
