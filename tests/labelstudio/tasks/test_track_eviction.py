"""Stored tracks stay below a cap of bytes: the least recently used are deleted, but none that is open."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from labelstudio_backend.tasks.track_eviction import TrackEviction

SIZE = 1000


def write_session(root: Path, task: int, *, age: int = 0, size: int = SIZE) -> Path:
    """Write a folder of ``size`` bytes that was used ``age`` seconds ago."""
    folder = root / "project-3" / f"task-{task}-00000000.sam2"
    (folder / "masks.zarr").mkdir(parents=True, exist_ok=True)
    (folder / "masks.zarr" / "masks").write_bytes(bytes(size - 2))
    state = folder / "state.json"
    state.write_text("{}")
    os.utime(state, (10_000 - age, 10_000 - age))
    return folder


def tasks(root: Path) -> list[int]:
    return sorted(int(folder.name.split("-")[1]) for folder in root.glob("project-3/*"))


def test_the_least_recently_used_are_evicted(tmp_path: Path) -> None:
    for task, age in ((1, 20), (2, 30), (3, 10)):  # from an earlier day
        write_session(tmp_path, task, age=age)
    eviction = TrackEviction(tmp_path, 3 * SIZE)
    assert eviction.num_bytes == 3 * SIZE
    eviction.touch(write_session(tmp_path, 4))
    assert tasks(tmp_path) == [1, 3, 4]
    eviction.touch(write_session(tmp_path, 1))  # opened again
    eviction.touch(write_session(tmp_path, 5, size=2 * SIZE))
    assert tasks(tmp_path) == [1, 5]
    assert (eviction.evicted, eviction.num_bytes) == (3, 3 * SIZE)


def test_an_open_one_stays_and_so_does_the_last(tmp_path: Path) -> None:
    opened = write_session(tmp_path, 1, age=10)
    write_session(tmp_path, 2, age=5)
    eviction = TrackEviction(tmp_path, SIZE // 2)
    with FileLock(opened / ".lock"):
        eviction.touch(write_session(tmp_path, 3))
        assert tasks(tmp_path) == [1, 3]
        assert eviction.num_bytes == 2 * SIZE
    eviction.touch(write_session(tmp_path, 3))
    assert tasks(tmp_path) == [3]
    assert eviction.evicted == 2


def test_what_is_no_folder_of_ours_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = tmp_path / "project-3" / "notes.txt"
    eviction = TrackEviction(tmp_path / "tracks", 1)
    assert eviction.num_bytes == 0  # nothing there yet
    eviction = TrackEviction(tmp_path, 1)
    write_session(tmp_path, 1, age=10)
    other.write_text("mine")
    with caplog.at_level("INFO"):
        eviction.touch(write_session(tmp_path, 2))
    assert other.read_text() == "mine"
    assert "task-1-00000000.sam2 was deleted" in caplog.text
