"""Sessions whose engine runs on a worker: the same masks as here, also when the worker is killed."""

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from damaged_frames import DamagedFrames
from dask_processes import Cluster
from distributed import Worker
from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.weights.loading import load_model
from sam2_plugins.cli.app import main
from sam2_plugins.cluster import connection, remote_device, remote_session
from sam2_plugins.cluster.remote_session import RemoteSession
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, find_objects

Work = Callable[[AnnotationSession], None]


@pytest.fixture(scope="module")
def remote(cluster_of_session: Cluster) -> ModelStore:
    return ModelStore(cluster_of_session.address)


def both(
    frames: object, work: Work, model: Path | str, here: ModelStore, there: ModelStore
) -> list[AnnotationSession]:
    """Do the same work in two sessions, and compare every mask and score."""
    sessions = [AnnotationSession(frames, store, model) for store in (here, there)]
    for session in sessions:
        work(session)
    one, other = sessions
    assert list(one.objects) == list(other.objects)
    for object_id in one.objects:
        assert one.frames_of(object_id) == other.frames_of(object_id)
        for frame in one.frames_of(object_id):
            assert one.accepted(object_id, frame) == other.accepted(object_id, frame), (object_id, frame)
    return sessions


def annotate(session: AnnotationSession) -> None:
    """Click, track, correct in the middle, track on, backwards too, remove, undo."""
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, [[20, 20], [70, 5]], [1, 0])
    session.add_box(3, two, (50, 25, 70, 50))
    list(session.propagate())
    session.add_points(5, one, [[34, 24]], [0])
    list(session.propagate(start=5))
    list(session.propagate([two], start=3, reverse=True))
    session.remove_object(two)
    session.undo()
    session.verify(one, [0, 1])
    list(session.propagate())


def test_a_session_there_has_the_masks_of_one_here(
    discs: NDArray[np.uint8], cluster: Cluster, store: ModelStore, remote: ModelStore, small_checkpoint: Path
) -> None:
    _, there = both(discs, annotate, small_checkpoint, store, remote)
    assert there.engine.num_bytes > 0
    assert list(there.iter_prefetch(range(3))) == [0, 1, 2]
    there.drop_engine()
    list(there.propagate())


def test_of_large_planes_only_what_is_looked_at_travels(
    cluster: Cluster, store: ModelStore, remote: ModelStore
) -> None:
    y, x = np.ogrid[:1100, :1300]
    moving = [np.hypot(x - 470 - 4 * t, y - 505) < 15 for t in range(4)]
    planes = (np.random.default_rng(0).integers(20, 60, (4, 1100, 1300)) + 600 * np.array(moving)).astype(
        np.uint16
    )

    def track(session: AnnotationSession) -> None:
        session.add_box(0, session.add_object(), (455, 490, 485, 520))
        list(session.propagate())

    _, there = both(planes, track, "nano@256", store, remote)
    with there.engine.acquire() as engine:
        assert isinstance(engine, RemoteSession)
        blocks = {block for _, block in engine._sent}
    assert blocks == {(0, 0), (0, 1), (1, 0), (1, 1)}, "of three rows and columns of parts"


def test_frames_of_a_file_that_the_worker_sees_do_not_travel(
    discs: NDArray[np.uint8],
    cluster: Cluster,
    store: ModelStore,
    remote: ModelStore,
    small_checkpoint: Path,
    tmp_path: Path,
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", discs, imagej=True, metadata={"axes": "TYX"})
    sessions = both(tmp_path / "stack.tif", annotate, small_checkpoint, store, remote)
    with sessions[1].engine.acquire() as engine:
        assert isinstance(engine, RemoteSession)
        assert not engine._sent
    for session in sessions:
        session.frames.close()


def test_single_images_there(
    discs: NDArray[np.uint8], cluster: Cluster, store: ModelStore, remote: ModelStore, small_checkpoint: Path
) -> None:
    def click(session: AnnotationSession) -> None:
        session.add_points(0, session.add_object(), (20, 20))

    both(discs[:1], click, small_checkpoint, store, remote)


@pytest.mark.parametrize("snapshots", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("size", [1, 7])
def test_a_worker_killed_while_it_tracks_is_replaced_and_the_masks_are_the_same(
    discs: NDArray[np.uint8],
    cluster: Cluster,
    store: ModelStore,
    remote: ModelStore,
    small_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: bool,
    size: int,
) -> None:
    if snapshots:  # after each call
        monkeypatch.setattr(remote_session, "SNAPSHOT_SECONDS", 0.0)
        monkeypatch.setattr(remote_session, "SNAPSHOT_SHARE", 1e9)
    frames = np.pad(discs, ((0, 0), (0, (size - 1) * 60), (0, (size - 1) * 80)))  # large planes have tiles

    def track(session: AnnotationSession) -> None:
        session.add_points(0, session.add_object(), (20, 20))
        session.add_box(2, session.add_object(), (50, 25, 70, 50))
        for result in session.propagate():
            if result.frame == 4 and session.store is remote:
                with session.engine.acquire() as engine:
                    assert isinstance(engine, RemoteSession)
                    assert len(engine._done) < 3 or not snapshots
                cluster.kill(cluster.desk_worker())
        session.add_points(6, 1, (32, 20))
        list(session.propagate(start=6))
        list(session.propagate(start=5, reverse=True))

    with pytest.warns(InputWarning, match="was lost; connecting again"):
        both(frames, track, small_checkpoint, store, remote)


def test_frames_that_cannot_be_read_are_passed_over_there_as_here(
    discs: NDArray[np.uint8], cluster: Cluster, store: ModelStore, remote: ModelStore, small_checkpoint: Path
) -> None:
    said: list[list[str]] = []

    def track(session: AnnotationSession) -> None:
        session.add_points(1, session.add_object(), (22, 20))
        with pytest.warns(InputWarning) as told:
            found = [result.frame for result in session.propagate(start=0)]
        assert found == [1, 2, 3, 4, 5, 6, 7]
        said.append([str(one.message) for one in told])

    both(DamagedFrames(discs, {3, 4, 7}), track, small_checkpoint, store, remote)
    here, there = said
    assert here == there
    assert "passed over frames 3 to 4" in here[0]


def test_a_live_stream_is_tracked_there(
    discs: NDArray[np.uint8], cluster: Cluster, store: ModelStore, remote: ModelStore, small_checkpoint: Path
) -> None:
    found: list[list[NDArray[np.generic]]] = []
    for one in (store, remote):
        session = AnnotationSession(iter(discs), one, small_checkpoint)
        session.add_points(0, session.add_object(), (20, 20))
        found.append([session.label_image(result.frame) for result in session.propagate()])
    assert len(found[0]) == len(discs)
    np.testing.assert_array_equal(*found)


def test_objects_are_found_there_as_here(
    discs: NDArray[np.uint8], cluster: Cluster, store: ModelStore, remote: ModelStore, small_checkpoint: Path
) -> None:
    settings = AutomaticSettings(confidence=0, points_per_side=2)
    model = str(small_checkpoint)
    here, there = (find_objects(one, model, discs[0], None, settings) for one in (store, remote))
    assert [one.mask for one in here] == [one.mask for one in there]
    assert here


def test_a_command_runs_there(
    discs: NDArray[np.uint8],
    disc_mask: NDArray[np.bool_],
    cluster: Cluster,
    small_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("stack.tif", discs, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite("seed.tif", disc_mask.astype(np.uint8))
    given = ["track", "stack.tif", "--masks", "seed.tif", "--model", str(small_checkpoint)]
    for device in ("cpu", cluster.address):
        assert main([*given, "--device", device, "-o", f"{device[:3]}.tif"]) == 0
    np.testing.assert_array_equal(tifffile.imread("cpu.tif"), tifffile.imread("tcp.tif"))


def test_a_session_that_nobody_uses_is_forgotten_there(
    discs: NDArray[np.uint8], cluster: Cluster, store: ModelStore, remote: ModelStore, small_checkpoint: Path
) -> None:
    def sessions(dask_worker: Worker) -> int:
        return sum(len(desk._sessions) for desk in dask_worker.state.actors.values())

    def click() -> None:
        session = AnnotationSession(discs, remote, small_checkpoint)
        session.add_points(0, session.add_object(), (20, 20))

    counts = []
    for _ in range(3):
        click()
        gc.collect()
        counts.append(sum(cluster.client.run(sessions).values()))
    assert counts[1] == counts[2], "each one goes with the next one's first call"


def test_what_is_refused_there_is_said_here(
    discs: NDArray[np.uint8], cluster: Cluster, remote: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = AnnotationSession(discs, remote, "no_such_model")
    with pytest.raises(InputError, match="no_such_model"):
        session.add_points(0, session.add_object(), (20, 20))
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError, match="No dask scheduler answers"):
        ModelStore("tcp://127.0.0.1:9").load("nano")
    assert ModelStore("tcp://127.0.0.1:9").compute_dtype == "auto"
    with pytest.raises(InputError, match=r"ModelStore takes addresses"):
        load_model("nano", device=cluster.address)


@pytest.mark.slow
def test_when_nobody_answers_the_session_stays_and_goes_on_later_or_elsewhere(
    discs: NDArray[np.uint8],
    cluster: Cluster,
    small_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_device, "RECONNECT_SECONDS", 20.0)
    models = ModelStore(cluster.address)
    session = AnnotationSession(discs, models, small_checkpoint)
    session.add_points(0, session.add_object(), (20, 20))
    before = session.label_image(0)
    monkeypatch.setattr(remote_device, "RECONNECT_SECONDS", 0.0)
    for name in ("one", "two"):
        cluster.kill(name)
    with (
        pytest.warns(InputWarning, match="connecting again"),
        pytest.raises(InputError, match=r"nobody answers there\. What was annotated is here"),
    ):
        list(session.propagate())
    np.testing.assert_array_equal(session.label_image(0), before)
    models.use_device("cpu")
    assert len(list(session.propagate(stop=3))) == 4
    cluster.start_worker("one")
    monkeypatch.setattr(remote_device, "RECONNECT_SECONDS", 20.0)
    models.use_device(cluster.address)
    session.drop_engine()
    assert len(list(session.propagate())) == 8
