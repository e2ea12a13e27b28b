"""Folders of the Cell Tracking Challenge, judged by the validation of py-ctcmetrics."""

import warnings

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from painted import PaintedSession

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_plugins.export.cell_tracking import write_cell_tracking_ground_truth, write_cell_tracking_result
from sam2_plugins.session.readable import run_to_end

validate = pytest.importorskip("ctc_metrics.scripts.validate")


def is_valid(folder):
    with warnings.catch_warnings():  # a frame without any cell is allowed; what is not makes the result 0
        warnings.simplefilter("ignore", UserWarning)
        return validate.validate_sequence(str(folder), threads=1)["Valid"] == 1


def tracks_of(path):
    return {int(line.split()[0]): tuple(map(int, line.split()[1:])) for line in path.read_text().splitlines()}


def present(frames, **by_id):
    """Labels of which object ``id1`` is a small square on the frames given."""
    labels = np.zeros((frames, 30, 60), np.uint32)
    for place, (name, there) in enumerate(by_id.items()):
        for frame in there:
            labels[frame, 2:8, 2 + 8 * place : 8 + 8 * place] = int(name[2:])
    return labels


def test_a_division_is_kept_as_it_is(tmp_path):
    labels = present(6, id1=range(3), id2=range(3, 6), id5=range(3, 5))
    session = PaintedSession.of(labels, parents={2: (1,), 5: (1,)})
    steps = write_cell_tracking_result.steps(session, tmp_path / "01_RES")
    assert next(steps) == 0
    assert not (tmp_path / "01_RES").exists()
    summary = run_to_end(steps)
    assert summary.changes == ()
    assert tracks_of(tmp_path / "01_RES" / "res_track.txt") == {1: (0, 2, 0), 2: (3, 5, 1), 5: (3, 4, 1)}
    files = sorted((tmp_path / "01_RES").glob("*.tif"))
    assert [file.name for file in files] == [f"mask00{t}.tif" for t in range(6)]
    np.testing.assert_array_equal([tifffile.imread(file) for file in files], labels)
    assert tifffile.imread(files[0]).dtype == np.uint16
    assert is_valid(tmp_path / "01_RES")
    assert [path.name for path in tmp_path.iterdir()] == ["01_RES"]


def test_a_gap_makes_two_tracks_and_children_come_from_the_last(tmp_path):
    labels = present(8, id1=[0, 1, 4, 5], id2=[6, 7], id3=[2, 3])
    session = PaintedSession.of(labels, parents={2: (1,), 3: (1,)})
    summary = write_cell_tracking_result(session, tmp_path / "res")
    assert tracks_of(tmp_path / "res" / "res_track.txt") == {
        1: (0, 1, 0),
        2: (6, 7, 4),
        3: (2, 3, 1),
        4: (4, 5, 1),
    }
    assert summary.changes == (
        "Object 1 was written as 2 tracks, each the parent of the next, because it is missing in between.",
    )
    assert is_valid(tmp_path / "res")


def test_a_mother_who_stays_and_a_fusion(tmp_path):
    labels = present(5, id1=range(5), id2=range(2, 5), id3=range(2), id4=range(3, 5))
    session = PaintedSession.of(labels, parents={2: (1,), 4: (1, 3)})
    summary = write_cell_tracking_result(session, tmp_path / "res")
    assert tracks_of(tmp_path / "res" / "res_track.txt") == {
        1: (0, 1, 0),
        2: (2, 4, 1),
        3: (0, 1, 0),
        4: (3, 4, 0),
        5: (2, 4, 1),
    }
    assert [sentence[:40] for sentence in summary.changes] == [
        "Object 1 was written as 2 tracks, each t",
        "Object 4 was written without parents, be",
    ]
    assert is_valid(tmp_path / "res")


def test_ids_beyond_16_bits_and_parents_that_come_too_late(tmp_path):
    labels = present(3, id70000=range(3), id65535=range(1), id2=range(1))
    session = PaintedSession.of(labels, parents={2: (65535,)})
    session.add(9)
    summary = write_cell_tracking_result(session, tmp_path / "res")
    assert tracks_of(tmp_path / "res" / "res_track.txt") == {1: (0, 2, 0), 2: (0, 0, 0), 65535: (0, 0, 0)}
    assert summary.changes == (
        "Object 2 was written without its parent, which is not visible before it.",
        "Object 70000 was written as label 1, because labels have 16 bits.",
        "Object 9 has no visible pixel and was left out.",
    )
    assert is_valid(tmp_path / "res")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_session_holds_the_folder_is_valid(tmp_path, data):
    frames = 5
    ids = data.draw(st.lists(st.sampled_from([1, 2, 3, 7, 65_535, 80_000]), min_size=1, unique=True))
    there = {i: data.draw(st.sets(st.integers(0, frames - 1), min_size=1)) for i in ids}
    parents = {
        i: tuple(data.draw(st.lists(st.sampled_from(ids[:place]), max_size=2, unique=True)))
        for place, i in enumerate(ids)
        if place
    }
    labels = present(frames, **{f"id{i}": known for i, known in there.items()})
    session = PaintedSession.of(labels, parents=parents)
    write_cell_tracking_result(session, tmp_path / "res", overwrite=True)
    assert is_valid(tmp_path / "res")
    written = np.stack([tifffile.imread(file) for file in sorted((tmp_path / "res").glob("*.tif"))])
    np.testing.assert_array_equal(written > 0, labels > 0)


def test_ground_truth_is_read_by_our_own_readers(tmp_path):
    labels = present(4, id3=range(4), id8=range(1, 3))
    session = PaintedSession.of(labels)
    (tmp_path / "01").mkdir()
    for frame in range(4):
        tifffile.imwrite(tmp_path / "01" / f"t{frame:03}.tif", session.frames[frame])
    write_cell_tracking_ground_truth(session, tmp_path / "01_GT")
    assert tracks_of(tmp_path / "01_GT" / "TRA" / "man_track.txt") == {3: (0, 3, 0), 8: (1, 2, 0)}
    with find_dataset(tmp_path) as data:
        (video,) = data.videos
        assert {frame: set(ids) for frame, ids in video.visible.items()} == {
            0: {3},
            1: {3, 8},
            2: {3, 8},
            3: {3},
        }
        np.testing.assert_array_equal(video.annotation(2).mask(8), labels[2] == 8)


def test_stopping_leaves_nothing_and_only_an_export_is_replaced(tmp_path):
    session = PaintedSession.of(present(4, id1=range(4)))
    steps = write_cell_tracking_result.steps(session, tmp_path / "res")
    next(steps)
    steps.close()
    assert not list(tmp_path.iterdir())

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="holds something else"):
        write_cell_tracking_result(session, tmp_path / "photos", overwrite=True)

    write_cell_tracking_result(session, tmp_path / "res")
    (tmp_path / "res" / "mask009.tif").write_bytes(b"old")
    with pytest.raises(InputError, match="exists; choose another name"):
        write_cell_tracking_result(session, tmp_path / "res")
    steps = write_cell_tracking_result.steps(session, tmp_path / "res", overwrite=True)
    next(steps)
    steps.close()
    assert (tmp_path / "res" / "mask009.tif").exists()
    write_cell_tracking_result(session, tmp_path / "res", overwrite=True)
    assert not (tmp_path / "res" / "mask009.tif").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "res"]


def test_a_volume_is_refused_in_words(tmp_path):
    session = PaintedSession.of(present(4, id1=range(4)), axes="ZYX")
    with pytest.raises(InputError, match="planes of a volume"):
        write_cell_tracking_result(session, tmp_path / "res")
