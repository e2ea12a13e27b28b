"""Estimates come from what was measured: no number before that, and bounds where only part of it is known."""

import json
from pathlib import Path

import pytest

from sam2_engine.errors import InputError
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.run_estimate import RunEstimate, RunMeasurements, RunSize
from sam2_plugins.session.annotation_session import AnnotationSession

HERE = ("nano@320", "cpu")


def measurements(*noted: tuple[int, float]) -> RunMeasurements:
    made = RunMeasurements()
    for objects, seconds in noted:
        made._record(HERE, objects, seconds)
    return made


def test_nothing_is_known_before_anything_was_measured():
    estimate = measurements().estimate(HERE, RunSize(40, 80), None, None)
    assert (estimate.seconds, estimate.num_bytes) == (None, None)
    assert str(estimate) == "40 frames, time not known before the first ones"


@pytest.mark.parametrize(("objects", "words"), [(2, "about"), (3, "at least about"), (1, "at most about")])
def test_other_numbers_of_objects_are_only_a_bound(objects, words):
    here = measurements((2, 0.4), (2, 0.5), (2, 9.0))
    estimate = here.estimate(HERE, RunSize(40, 40 * objects), None, None)
    assert str(estimate) == f"40 frames, {words} 20 s"
    assert here.estimate(("nano", "cuda:0"), RunSize(40, 40), None, None).seconds is None


def test_two_numbers_of_objects_tell_of_all():
    here = measurements((1, 0.3), (3, 0.5))
    assert here.estimate(HERE, RunSize(100, 500), None, None).seconds == pytest.approx(70)
    unsteady = measurements((1, 0.5), (3, 0.3))  # more objects are not faster
    assert unsteady.estimate(HERE, RunSize(10, 100), None, None).seconds == pytest.approx(4)
    steep = measurements((1, 0.1), (3, 0.9))  # and no frame takes less than nothing
    assert steep.estimate(HERE, RunSize(10, 10), None, None).seconds > 0


@pytest.mark.parametrize(
    ("seconds", "num_bytes", "words"),
    [
        (0.2, 1e3, "1 s, 1 kB"),
        (170, 4.1e8, "3 min, 410 MB"),
        (9000, 2.5e7, "2.5 h, 25 MB"),
    ],
)
def test_in_words(seconds, num_bytes, words):
    assert str(RunEstimate(RunSize(1, 1), seconds, "about", num_bytes)) == f"1 frame, about {words}"


@pytest.fixture
def session(discs, small_checkpoint) -> AnnotationSession:
    """With a store of its own, which has measured nothing."""
    return AnnotationSession(discs, ModelStore("cpu"), small_checkpoint, axes="TYX")


def test_a_session_measures_while_it_tracks(session):
    with pytest.raises(InputError, match="nothing to track yet"):
        session.estimate([{}])
    session.add_points(2, session.add_object(), (24, 20))
    before = session.estimate([{}])
    assert (before.size, before.seconds) == (RunSize(6, 6), None)
    assert before.num_bytes > 0
    list(session.propagate())
    after = session.estimate([{}])
    assert after.seconds > 0
    assert after.num_bytes > before.num_bytes  # the model's memories were measured


def test_what_is_left_alone_is_not_counted(session):
    session.add_points(0, session.add_object(), (20, 20))
    session.add_points(3, session.add_object(), (60, 37))
    list(session.propagate([1]))
    session.verify(1, [4, 5])
    assert session.estimate([{}]).size == RunSize(8, 6 + 5)
    assert session.estimate([{"object_ids": (1,)}]).size == RunSize(6, 6)
    assert session.estimate([{"start": 1}]).size == RunSize(7, 3 + 5)
    assert session.estimate([{"missing_only": True}]).size == RunSize(4, 4)
    assert session.estimate([{"object_ids": (2,)}, {"object_ids": (2,), "reverse": True}]).size == RunSize(
        9, 9
    )
    visited = session.frames_to_visit()
    assert session.estimate([{}]).size.frames == len(visited)


def test_a_new_start_knows_what_was_measured(discs, small_checkpoint, tmp_path: Path):
    file = tmp_path / "cache" / "measured.json"
    store = ModelStore("cpu", measurements=RunMeasurements(file))
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX")
    session.add_points(2, session.add_object(), (24, 20))
    steps = session.iter_propagate()
    for _ in range(3):
        next(steps)
    steps.close()  # stopped: what was measured counts
    size, key = RunSize(100, 100), session._measured_with
    again = RunMeasurements(file).estimate(key, size, 10.0, None)
    now = store.measurements.estimate(key, size, 10.0, None)
    assert again.seconds == pytest.approx(now.seconds, abs=1e-3)
    assert again.num_bytes == now.num_bytes > 1000
    assert RunMeasurements(file).estimate((key[0], "cuda:0"), size, None, None).seconds is None
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "damage",
    [
        "[",
        "[3]",
        '{"a": 1}',
        '[{"model": "nano@320", "device": "cpu"}]',
        '[{"model": "nano@320", "device": "cpu", "seconds": {"1": -3}, "bytes": 0}]',
        '[{"model": "nano@320", "device": "cpu", "seconds": {"x": 3}, "bytes": 0}]',
    ],
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, damage: str):
    file = tmp_path / "measured.json"
    file.write_text(damage)
    here = RunMeasurements(file)
    assert here.estimate(HERE, RunSize(40, 40), None, None).seconds is None
    here._record(HERE, 1, 0.5)
    list(here.measured(HERE, iter(()), lambda: 0))
    assert json.loads(file.read_text())[0]["seconds"] == {"1": 0.5}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    here = RunMeasurements(tmp_path / "file" / "measured.json")
    here._record(HERE, 1, 0.5)
    list(here.measured(HERE, iter(()), lambda: 0))
    assert here.estimate(HERE, RunSize(40, 40), None, None).seconds == 20


def test_what_is_measured_now_soon_outweighs_what_was_written(tmp_path: Path):
    file = tmp_path / "measured.json"
    file.write_text('[{"model": "nano@320", "device": "cpu", "seconds": {"1": 9.0}, "bytes": 0}]')
    here = RunMeasurements(file)
    assert here.estimate(HERE, RunSize(10, 10), None, None).seconds == 90
    for _ in range(2):
        here._record(HERE, 1, 0.5)
    assert here.estimate(HERE, RunSize(10, 10), None, None).seconds == 5


def test_nothing_left_to_track_takes_no_time():
    for nothing in (RunSize(0, 0), RunSize(3, 0)):
        estimate = measurements((1, 0.3), (3, 0.5)).estimate(HERE, nothing, None, None)
        assert (estimate.seconds, str(estimate)) == (0.0, "nothing left to track")
