"""Open images stay under a cap of bytes, whatever becomes of the requests that opened them."""

from pathlib import Path

import numpy as np
import pytest

from labelstudio_backend.media.library import MediaFile
from labelstudio_backend.tasks.lanes import Lane, Ticket
from labelstudio_backend.tasks.session_cache import SessionCache
from sam2_engine.errors import InputError
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

MIB = 1 << 20


def opened(side: int) -> tuple[AnnotationSession, MediaFile]:
    """A session on a gray image of ``side`` x ``side`` bytes; its model is loaded when it is asked."""
    image = np.zeros((side, side), np.uint8)
    return AnnotationSession(image, ModelStore("cpu"), axes="YX"), MediaFile(Path(__file__), temporary=False)


def use(cache: SessionCache, name: str, side: int) -> bool:
    """Use an image and say whether it had to be opened."""
    calls: list[str] = []

    def open_session() -> tuple[AnnotationSession, MediaFile]:
        calls.append(name)
        return opened(side)

    with cache.use(name, open_session, Ticket()):
        pass
    return bool(calls)


def test_the_least_recently_used_images_are_evicted() -> None:
    cache = SessionCache(7 * MIB, Lane(1))
    assert all(use(cache, name, 1024) for name in "abc")  # 2 MiB each: image and session
    assert not use(cache, "a", 1024)
    assert use(cache, "d", 1024)  # "b" goes
    assert (len(cache), cache.num_bytes) == (3, 6 * MIB)
    assert not use(cache, "a", 1024)
    assert use(cache, "b", 1024)


def test_one_image_stays_however_large() -> None:
    cache = SessionCache(2 * MIB, Lane(1))
    assert use(cache, "small", 8)
    assert use(cache, "large", 4096)
    assert len(cache) == 1
    assert not use(cache, "large", 4096)


def test_what_cannot_be_opened_leaves_nothing() -> None:
    cache = SessionCache(MIB, Lane(1))

    def fail() -> tuple[AnnotationSession, MediaFile]:
        raise InputError("It is not there.")

    for number in range(5):
        with pytest.raises(InputError), cache.use(str(number), fail, Ticket()):
            pass
    assert (len(cache), cache.num_bytes) == (0, 0)
