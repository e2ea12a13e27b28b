"""What a script types: every line of it, on files, arrays and volumes."""

import copy
import os
import pickle
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

import sam2_plugins
from sam2_engine import VideoSession, load_model
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.modeling.sam2 import Sam2
from sam2_plugins import Session
from sam2_plugins.measure import PhysicalScale

MODEL = "nano@128"


def discs(length: int = 8) -> NDArray[np.uint8]:
    """Two discs that move apart."""
    y, x = np.ogrid[:80, :120]

    def disc(column: float, row: float) -> NDArray[np.bool_]:
        return np.asarray(np.hypot(x - column, y - row) < 12)

    return np.uint8([200 * disc(35 + 2 * t, 25) + 150 * disc(85 - 2 * t, 55) for t in range(length)])


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A time-lapse in a file, as a string."""
    target = tmp_path / "cells.tif"
    tifffile.imwrite(target, discs(), imagej=True, metadata={"axes": "TYX"})
    return str(target)


@pytest.fixture
def work() -> Iterator[Session]:
    """A session in memory with one object, prompted on frame 0."""
    with sam2_plugins.open(discs(), MODEL, device="cpu") as session:
        session.add_object("cell")
        session.add_prompt(0, 1, points=[(35, 25)])
        yield session


def test_the_plan_is_what_one_can_type(path: str, tmp_path: Path) -> None:
    with sam2_plugins.open(path, model=MODEL) as work:
        mother = work.add_object("mother")
        work.add_prompt(0, mother, points=[(35, 25)])
        work.propagate(direction="both")
        one, two = work.divide(mother, frame=5)
        assert (work.objects[one].parents, two in work.objects) == ((mother,), True)
        assert work.undo() == "divide mother"
        reasons = [(item.object_id, item.frame, item.reason) for item in work.review()[:10]]
        assert reasons
        assert all(object_id == mother and reason for object_id, _, reason in reasons)
        work.verify(mother, frames=range(5))
        table = work.measure()
        assert [row["frame"] for row in table] == list(range(8))
        assert work.export(tmp_path / "cells.masks.ome.tif").frames == 8
        mask = work.mask(mother, frame=3)
        assert mask is not None
        assert (mask.shape, mask.dtype) == ((80, 120), bool)
        labels = work.labels()
        assert (labels.shape, labels.ndim, labels[3].dtype) == ((8, 80, 120), 3, labels.dtype)
    np.testing.assert_array_equal(labels[3] == mother, mask)
    assert tifffile.imread(tmp_path / "cells.masks.ome.tif").shape == (8, 80, 120)


def test_it_goes_on_where_it_was(path: str, tmp_path: Path) -> None:
    with sam2_plugins.open(path, MODEL) as work:
        work.add_object("mother")
        work.add_prompt(0, 1, points=[(35, 25)])
        assert work.path == tmp_path / "cells.sam2"
    for again in (path, str(work.path or tmp_path / "cells.sam2")):
        with sam2_plugins.open(again) as work:
            assert work.objects[1].name == "mother"
            assert work.annotation.model_name == MODEL
    with sam2_plugins.open(path, keep=False) as work:
        assert not work.objects
        assert work.path is None
    with sam2_plugins.open(path, session=tmp_path / "other.sam2") as work:
        assert not work.objects
    assert sorted(one.name for one in tmp_path.glob("*.sam2")) == ["cells.sam2", "other.sam2"]


def test_axes_that_were_corrected_stay_so(path: str) -> None:
    with sam2_plugins.open(path, axes="ZYX") as work:
        work.add_object()
    with sam2_plugins.open(path) as work:
        assert (work.frames.axis, len(work.objects)) == ("Z", 1)


def test_the_first_channel_is_not_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "two.tif"
    tifffile.imwrite(file, np.zeros((4, 2, 40, 60), np.uint8), imagej=True, metadata={"axes": "TCYX"})
    with sam2_plugins.open(file, channel=0) as work:
        work.add_object()
    with sam2_plugins.open(file) as work:
        assert (work.frames.channels, len(work.objects)) == (1, 1)


def test_a_place_of_further_axes_is_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "four.tif"
    tifffile.imwrite(file, np.zeros((3, 4, 40, 60), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with sam2_plugins.open(file, fixed={"Z": 1}) as work:
        assert work.path == tmp_path / "four Z1.sam2"
    with pytest.raises(InputError, match="fixed="):
        sam2_plugins.open(file)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "nano@100"}, "32"),
        ({"model": "nona"}, "no model 'nona'"),
        ({"device": "abacus"}, "abacus"),
        ({"scale": 0.5}, "PhysicalScale"),
    ],
)
def test_what_is_wrong_is_told_at_once(path: str, options: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        sam2_plugins.open(path, **options)
    sam2_plugins.open(path).close()  # nothing is left open


def test_what_is_done_after_closing_would_be_lost(path: str) -> None:
    with sam2_plugins.open(path) as work:
        work.add_object()
    work.close()
    assert repr(work).endswith("closed>")
    with pytest.raises(InputError, match="is closed"):
        work.add_object()


def test_without_a_mask_nothing_is_exported(tmp_path: Path) -> None:
    with sam2_plugins.open(discs(2)) as work:
        work.add_object()
        for name in ("tiff", "ome-tiff", "ome-zarr", "ctc", "ctc-truth", "training"):
            with pytest.raises(InputError, match="nothing to export"):
                work.export(tmp_path / f"out{sam2_plugins.FORMATS[name].suffix}", name)
        with pytest.raises(InputError, match="no mask to verify"):
            work.verify(1)


def test_two_programs_do_not_write_the_same_session(path: str) -> None:
    with sam2_plugins.open(path), pytest.raises(InputError, match="open"):
        sam2_plugins.open(path)


def test_an_array_is_saved_where_it_is_told(tmp_path: Path) -> None:
    frames, target = discs(), str(tmp_path / "mine.sam2")
    with sam2_plugins.open(frames) as work:
        work.add_object()
        work.save(target)
        work.add_object()
        with pytest.raises(InputError, match="as it happens"):
            work.save(tmp_path / "again.sam2")
    with sam2_plugins.open(frames, session=target) as work:
        assert len(work.objects) == 2
    with pytest.raises(InputError, match="together with them"):
        sam2_plugins.open(target)


def test_what_cannot_be_saved_is_said(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise InputError("The disk is full.")

    monkeypatch.setattr("sam2_plugins.storage.locations.SessionFolder.create", fails)
    with pytest.warns(InputWarning, match=r"in memory alone: The disk is full\."):
        sam2_plugins.open(path).close()


def test_a_loaded_model_is_used_and_found_again(path: str) -> None:
    model = load_model("nano", device="cpu", image_size=128)
    with sam2_plugins.open(path, model) as work:
        work.add_object()
        work.add_prompt(0, 1, points=[(35, 25)])
        assert work.annotation.store.get("nano@128") is model
    with sam2_plugins.open(path) as work:
        assert work.annotation.model_name == "nano@128"


def test_a_model_in_memory_alone_saves_nothing(path: str) -> None:
    model = Sam2(load_model("nano", device="cpu", image_size=128).config).eval()
    with pytest.raises(InputError, match="save_model"):
        sam2_plugins.open(path, model)
    with sam2_plugins.open(path, model, keep=False) as work:
        work.add_prompt(0, work.add_object(), points=[(35, 25)])


def test_a_file_that_does_not_say_which_model_it_is_saves_nothing(path: str, tmp_path: Path) -> None:
    torch.save(load_model("nano", device="cpu").state_dict(), tmp_path / "mine.pt")
    model = load_model(tmp_path / "mine.pt", device="cpu", variant="nano")
    with pytest.raises(InputError, match="its file does not say which it is: write it with save_model"):
        sam2_plugins.open(path, model)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"session": 5}, "The session's folder is given by its path, not as 5"),
        ({"axes": 3}, 'one letter each, as in "TYX", not 3'),
        ({"channel": "red"}, "A channel is a whole number, counted from 0, not 'red'"),
        ({"fixed": 3}, 'as in {"Z": 3}, not 3'),
        ({"fixed": {"Z": "a"}}, 'as in {"Z": 3}'),
        ({"level": "coarse"}, "0 for the finest, not 'coarse'"),
        ({"device": 3}, "no device '3'"),
        ({"model": 3}, "no model '3'"),
    ],
)
def test_what_is_no_option_is_not_blamed_on_the_file(
    path: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        sam2_plugins.open(path, **options)


def test_another_model_is_taken_when_it_is_named(path: str) -> None:
    with sam2_plugins.open(path, MODEL) as work:
        work.add_object()
    with sam2_plugins.open(path, "nano@256") as work:
        assert (work.annotation.model_name, len(work.objects)) == ("nano@256", 1)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda work: work.add_prompt(1, 0, points=[(3, 4)]), "The frame comes first, then the object"),
        (lambda work: work.add_prompt(0, 5, points=[(3, 4)]), "add_object"),
        (lambda work: work.add_prompt(99, 1, points=[(3, 4)]), "frames are 0 to 7"),
        (lambda work: work.mask(5, 0), "no object 5"),
        (lambda work: work.mask(1, 8), "frames are 0 to 7"),
        (lambda work: work.propagate(direction="back"), "backward, both, forward"),
        (lambda work: work.propagate(direction="both", stop=3), "no common last frame"),
        (lambda work: work.propagate(7), "no object 7"),
        (lambda work: work.export("cells.xyz"), "does not tell its format"),
        (lambda work: work.export("cells", "coko"), "no format 'coko'"),
        (lambda work: work.verify(1, 3), "no mask on frame 3"),
        (lambda work: work.verify(1, 5.5), "whole number, counted from 0, not 5.5"),
        (lambda work: work.export(None), "given by its path, not as None"),
        (lambda work: work.divide(1, 2, "x"), "at least one daughter, not 'x'"),
        (lambda work: work.set_parents(1, None), "no object None"),
        (lambda work: work.edit_object(1, color="red"), "from 0 to 255, not 'red'"),
        (lambda work: work.edit_object(1, color=(1, 2)), r"from 0 to 255, not \(1, 2\)"),
        (lambda work: work.edit_object(1, color=(1, 2, 256)), "from 0 to 255"),
    ],
)
def test_mistakes_are_told_in_a_sentence(work: Session, call: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        call(work)


def test_each_object_goes_both_ways_from_its_own_prompts() -> None:
    with sam2_plugins.open(discs(), MODEL, device="cpu") as work:
        work.add_prompt(2, work.add_object(), points=[(39, 25)])
        work.add_prompt(6, work.add_object(), points=[(73, 55)])
        assert len(work.propagate(direction="both")) == 6 + 7
        assert work.annotation.frames_of(1) == work.annotation.frames_of(2) == list(range(8))


def test_between_two_prompts_forwards_decides() -> None:
    with sam2_plugins.open(discs(), MODEL, device="cpu") as work:
        cell = work.add_object()
        work.add_prompt(2, cell, points=[(39, 25)])
        work.add_prompt(6, cell, points=[(47, 25)])
        frames = [one.frame for one in work.propagate(direction="both")]
        assert frames == [2, 3, 4, 5, 6, 7, 2, 1, 0]


def test_missing_frames_are_filled(work: Session) -> None:
    work.propagate(stop=3)
    assert [one.frame for one in work.propagate(missing_only=True)] == [4, 5, 6, 7]


def test_a_twin_yields_and_computes_nothing_unasked(work: Session) -> None:
    steps = work.iter_propagate()
    assert next(steps).frame == 0
    assert next(steps).masks.shape == (1, 80, 120)
    assert work.annotation.frames_of(1) == [0, 1]


def test_ctrl_c_keeps_what_is_done(work: Session) -> None:
    def press(frame: int) -> None:
        if frame == 2:
            os.kill(os.getpid(), signal.SIGINT)

    work.annotation.history.subscribe(lambda action: press(action.call.get("frame", -1)))
    with pytest.raises(KeyboardInterrupt):
        work.propagate()
    assert work.annotation.frames_of(1) == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_bar_is_shown_when_asked(work: Session, capsys: pytest.CaptureFixture[str]) -> None:
    work.propagate(stop=1)
    assert capsys.readouterr().err == ""
    work.propagate(progress=True)
    assert "tracking: 100%" in capsys.readouterr().err


def test_objects_are_found_without_a_prompt() -> None:
    with sam2_plugins.open(discs(), "nano", device="cpu") as work:
        found = work.find_objects(points_per_side=8)
        assert len(found) == 2
        assert work.undo() == "import masks"
        assert not work.objects


def test_masks_of_other_tools_come_in(work: Session, tmp_path: Path) -> None:
    labels = np.zeros((8, 80, 120), np.uint16)
    labels[:, 40:60, 60:90] = 7
    tifffile.imwrite(tmp_path / "stardist.tif", labels, imagej=True, metadata={"axes": "TYX"})
    assert work.import_masks(str(tmp_path / "stardist.tif")).object_ids == (7,)
    assert work.annotation.frames_of(7) == list(range(8))
    work.import_masks(labels[0] * 2, frame=3, as_prompts=True)
    assert list(work.annotation.prompts_of(14)) == [3]


def test_measures_are_in_physical_units(work: Session) -> None:
    work.scale = PhysicalScale((0.5, 0.5), "um", frame_interval=2, time_unit="min")
    work.propagate(stop=1)
    table = work.measure(intensity=False)
    mask = work.mask(1, 0)
    assert mask is not None
    assert (table.units["area"], table[0]["area"]) == ("µm²", mask.sum() / 4)
    assert table[-1]["time"] == 2
    with pytest.raises(KeyError, match="the columns are: frame, time"):
        table["aera"]


def test_a_table_is_a_data_frame(work: Session) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(work.measure())
    assert list(frame["area"]) == list(work.measure()["area"])
    assert list(frame.columns) == [column.name for column in work.measure().columns]


def test_labels_are_read_as_an_array_is(work: Session) -> None:
    work.propagate()
    labels, whole = work.labels(), np.asarray(work.labels())
    for key in (2, -1, np.s_[1:7:3], np.s_[..., 30], np.s_[:, 20:30, 35], np.s_[3, 20], np.s_[[1, 5]], ()):
        np.testing.assert_array_equal(labels[key], whole[key])
    with pytest.raises(IndexError):
        labels[8]


def test_a_notebook_shows_them(work: Session) -> None:
    work.propagate()
    mask, item = work.mask(1, 3), work.review()[0]
    assert mask is not None
    for png in (mask._repr_png_(), item._repr_png_()):
        assert png is not None
        assert png.startswith(b"\x89PNG")
    for html in (work._repr_html_(), work.review()._repr_html_(), work.measure()._repr_html_()):
        assert "<table>" in html
    assert repr(work).startswith(
        "<Session array: T=8 Y=80 X=120, 1 object, 8 masks, 0 verified, model nano@128"
    )
    assert "\n" not in repr(work) + repr(work.labels()) + repr(work.review()) + repr(work.measure())


def test_what_is_computed_of_a_mask_is_plain(work: Session) -> None:
    mask = work.mask(1, 0)
    assert mask is not None
    assert {type(one) for one in (~mask, mask & True, mask[20:30], np.where(mask, 1, 0))} == {np.ndarray}
    assert pickle.loads(pickle.dumps(mask)).sum() == mask.sum()


def test_a_copy_is_independent(work: Session) -> None:
    work.propagate(stop=3)
    twin = copy.deepcopy(work)
    twin.undo()
    assert (twin.annotation.frames_of(1), work.annotation.frames_of(1)) == ([0], [0, 1, 2, 3])
    assert (twin.annotation.undo_name, work.annotation.undo_name) == ("click on cell", "tracking")
    twin.propagate()
    work.remove_object(1)
    assert twin.annotation.frames_of(1) == list(range(8))


def test_a_session_is_pickled(work: Session, path: str) -> None:
    work.propagate(stop=3)
    again = pickle.loads(pickle.dumps(work))
    np.testing.assert_array_equal(again.mask(1, 3), work.mask(1, 3))
    assert [one.frame for one in again.propagate(missing_only=True)] == [4, 5, 6, 7]
    assert again.undo() == "tracking"
    with sam2_plugins.open(path) as saved:
        saved.add_object("cell")
        with pickle.loads(pickle.dumps(saved)) as twin:
            assert (twin.path, twin.objects[1].name) == (None, "cell")


def test_a_second_ctrl_c_does_not_wait(work: Session) -> None:
    def press(frame: int) -> None:
        if frame == 2:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    work.annotation.history.subscribe(lambda action: press(action.call.get("frame", -1)))
    with pytest.raises(KeyboardInterrupt):
        work.propagate()
    assert work.annotation.frames_of(1)[:2] == [0, 1]
    work.propagate(missing_only=True)


def test_in_a_thread_it_works_without_signals(work: Session) -> None:
    timer = Timer(0, work.propagate)
    timer.start()
    timer.join()
    assert work.annotation.frames_of(1) == list(range(8))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_numbers_of_numpy_are_numbers(kind: Any) -> None:
    """Was: frame 255 + 1 was frame 0 in 8 bits, and tracking went round for ever."""
    with sam2_plugins.open(np.concatenate([discs()] * 33)[:260], "nano@64", device="cpu") as work:
        cell = work.add_object()
        last = np.uint8(252) if kind is np.uint8 else kind(252)
        work.add_prompt(last, kind(cell), points=[(43, 25)])
        done = work.propagate(kind(cell), start=last)
        assert [one.frame for one in done] == list(range(252, 260))
        work.verify(kind(cell), last)
        assert work.annotation.verified(cell) == {252}


@pytest.mark.parametrize(
    "frames", [[True, False, True], np.array([False, True]), [2.7], [2.0], "25", [None], [-1], [99]]
)
def test_what_is_no_frame_is_not_verified(work: Session, frames: Any) -> None:
    work.propagate()
    with pytest.raises(InputError, match=r"whole number|no frame"):
        work.verify(1, frames)
    assert not work.annotation.verified(1)


@pytest.mark.parametrize("object_id", [1.0, True, "1", None, -1, [1]])
def test_what_is_no_object_is_not_found(work: Session, object_id: Any) -> None:
    for call in (lambda: work.mask(object_id, 0), lambda: work.add_prompt(0, object_id, points=[(3, 4)])):
        with pytest.raises(InputError, match="no object"):
            call()


def test_the_pixels_are_never_replaced_by_an_export(path: str) -> None:
    before = Path(path).read_bytes()
    with sam2_plugins.open(path, MODEL) as work:
        work.add_prompt(0, work.add_object(), points=[(35, 25)])
        with pytest.raises(InputError, match="is also the input"):
            work.export(path, overwrite=True)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("word", [b"x", Path("x"), {"a"}, 5, "\ud800", np.array([1])])
def test_what_is_no_name_is_refused_and_nothing_is_lost(path: str, word: Any) -> None:
    """Was: it was taken, could not be written, and nothing was written after it."""
    with sam2_plugins.open(path) as work:
        cell = work.add_object("a")
        for call in (
            lambda: work.add_object(word),
            lambda: work.add_object(label=word),
            lambda: work.edit_object(cell, name=word),
            lambda: work.edit_object(cell, label=word),
        ):
            with pytest.raises(InputError, match="is text"):
                call()
        work.add_object("b", object_id=np.int64(7))
        work.edit_object(np.int64(7), label="c")
    with sam2_plugins.open(path) as work:
        assert {i: (one.name, one.label) for i, one in work.objects.items()} == {
            1: ("a", None),
            7: ("b", "c"),
        }
        work.remove_object(np.int16(7))


@pytest.mark.parametrize("object_id", [7.0, 7.5, "7", True, np.nan])
def test_what_is_no_id_makes_no_object(work: Session, object_id: Any) -> None:
    with pytest.raises(InputError, match="positive whole number"):
        work.add_object(object_id=object_id)
    assert work.add_object() == 2


def test_masks_that_are_not_taken_over_are_said(work: Session) -> None:
    work.propagate()
    work.verify(1, range(3))
    labels = np.zeros((8, 80, 120), np.uint8)
    labels[:, 40:60, 60:90] = 1
    summary = work.import_masks(labels)
    assert summary.kept == 3
    assert "3 masks were left out" in str(summary)
    assert [bool(mask is not None and mask[50, 70]) for mask in (work.mask(1, 2), work.mask(1, 3))] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    "sizes",
    [{"pixel_size": (2.0, 0.5, 0.5)}, {"pixel_size": 0.65}, {"unit": None}, {"frame_interval": "5"}],
)
def test_sizes_that_are_none_are_told(sizes: Any) -> None:
    with pytest.raises(InputError):
        PhysicalScale(**sizes)


def test_one_object_stands_for_a_list_of_it(work: Session) -> None:
    work.propagate()
    assert len(work.measure(1)) == len(work.measure([1])) == 8
    child = work.add_object()
    work.set_parents(child, np.int64(1))
    assert work.objects[child].parents == (1,)
    with pytest.raises(InputError, match="No object was chosen"):
        work.propagate([])
    with pytest.raises(InputError, match="names no file"):
        sam2_plugins.open("")
    with pytest.raises(InputError, match="is a Prompt"):
        work.add_prompt(0, 1, (3, 3))  # type: ignore[arg-type]


def test_what_is_no_whole_number_is_none_anywhere(work: Session) -> None:
    """Was: 1.5 was object 1 to ``set_parents``, True was a frame of an import, and ``keep="no"`` kept."""
    child = work.add_object()
    for call in (
        lambda: work.set_parents(child, [1.5]),  # type: ignore[list-item]
        lambda: work.measure([1.0]),  # type: ignore[list-item]
        lambda: work.import_masks(np.ones((80, 120), np.uint8), frame=True),
        lambda: sam2_plugins.open(discs(), keep="no"),  # type: ignore[arg-type]
        lambda: work.find_objects(max_objects=1.5),  # type: ignore[arg-type]
        lambda: work.find_objects(confidence="0.5"),  # type: ignore[arg-type]
        lambda: work.find_objects(1.5),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError):
            call()
    assert work.objects[child].parents == ()
    engine = VideoSession(work.annotation.store.get(MODEL), discs())
    engine.add_prompt(0, 1, points=[(35, 25)])
    with pytest.raises(InputError, match="no object True"):
        engine.clear_prompts(True)


def test_a_tracking_both_ways_is_undone_as_one(path: str) -> None:
    with sam2_plugins.open(path, MODEL) as work:
        cell = work.add_object()
        work.add_prompt(3, cell, points=[(41, 25)])
        work.propagate(direction="both")
        assert work.annotation.frames_of(cell) == list(range(8))
        assert work.undo() == "tracking"
        assert work.annotation.frames_of(cell) == [3]
        assert work.redo() == "tracking"
        assert work.annotation.frames_of(cell) == list(range(8))
