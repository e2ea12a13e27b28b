from collections.abc import Iterator

import pytest
from labelstudio_harness import RECORDED_PORT, MediaServer


@pytest.fixture
def media_server() -> Iterator[MediaServer]:
    server = MediaServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def recorded_server() -> Iterator[MediaServer]:
    """At the recorded address, or at another one if that is taken; ``recorded`` rewrites it in requests."""
    try:
        server = MediaServer(RECORDED_PORT)
    except OSError:
        server = MediaServer()
    yield server
    server.close()
