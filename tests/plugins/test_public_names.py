"""What a script imports from ``sam2_plugins``, and what that costs."""

import subprocess
import sys

import pytest

import sam2_plugins


@pytest.mark.parametrize("name", sam2_plugins.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sam2_plugins, name) is not None
    assert name in dir(sam2_plugins)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sessions'"):
        sam2_plugins.Sessions  # noqa: B018


def test_pytorch_is_loaded_with_the_first_name_not_before() -> None:
    code = "import sys, sam2_plugins; assert 'torch' not in sys.modules; sam2_plugins.ModelStore"
    subprocess.run([sys.executable, "-c", code + "; assert 'torch' in sys.modules"], check=True)
