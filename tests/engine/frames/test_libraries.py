"""Libraries without their warnings."""

import threading
import warnings

import pytest

from sam2_engine.errors import InputWarning
from sam2_engine.frames.libraries import quiet


def test_what_another_thread_tells_a_user_is_told() -> None:
    def tell() -> None:
        warnings.warn("3 pixels are not finite", InputWarning, stacklevel=1)

    def read() -> None:
        with quiet():
            warnings.warn("tag 5 is odd", UserWarning, stacklevel=1)
            thread = threading.Thread(target=tell)
            thread.start()
            thread.join()

    with pytest.warns(InputWarning, match="3 pixels") as told:
        read()
    assert len(told) == 1
