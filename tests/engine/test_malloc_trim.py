"""Memory that was freed goes back to the system."""

import ctypes
import sys
from pathlib import Path

import pytest

from sam2_engine.malloc_trim import release_freed_memory

PAGES = 4000


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measured as Linux tells it")
def test_what_lies_between_used_blocks_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("not glibc")
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    # Blocks below the size that is mapped on its own; every eighth stays in use, so the heap cannot shrink.
    blocks = [libc.malloc(4096) for _ in range(8 * PAGES)]
    for block in blocks:
        ctypes.memset(block, 1, 4096)
    for index, block in enumerate(blocks):
        if index % 8:
            libc.free(block)
    before = resident_pages()
    release_freed_memory()
    assert before - resident_pages() > 5 * PAGES
    for block in blocks[::8]:
        libc.free(block)
