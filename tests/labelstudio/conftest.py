from collections.abc import Iterator
from typing import Any

import pytest
from labelstudio_harness import RECORDED_PORT, MediaServer

from sam2_engine.video.frame_result import FrameResult
from sam2_plugins.session.annotation_session import AnnotationSession


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


@pytest.fixture
def tracked_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames that any session tracks, as it does."""
    frames: list[int] = []
    propagate = AnnotationSession.iter_propagate

    def noted(session: AnnotationSession, *arguments: Any, **options: Any) -> Iterator[FrameResult]:
        for result in propagate(session, *arguments, **options):
            frames.append(result.frame)
            yield result

    monkeypatch.setattr(AnnotationSession, "iter_propagate", noted)
    return frames
