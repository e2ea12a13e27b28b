from importlib.util import find_spec

import pytest

from labelstudio_backend.backend import backend_class
from sam2_engine.errors import InputError


@pytest.mark.skipif(find_spec("label_studio_ml") is not None, reason="label-studio-ml is installed")
def test_without_the_package_the_extra_is_named() -> None:
    with pytest.raises(InputError, match=r"sam2-plugins\[label-studio-ml\]"):
        backend_class()
