"""Objects of a volume at one time carried on to others: one id across T and Z."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

import sam2_plugins
from sam2_engine import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.measure import measure_volumes

MODEL = "nano@256"


def balls(times: int = 3) -> NDArray[np.uint8]:
    """(T, Z, Y, X): two bright balls that move; the second is gone from time 2 on."""
    t, z, y, x = np.indices((times, 7, 64, 80))
    volume = np.full(t.shape, 20, np.uint8)
    volume[((z - 3) * 4) ** 2 + (y - 20) ** 2 + (x - 20 - 2 * t) ** 2 <= 12**2] = 220
    second = ((z - 3) * 4) ** 2 + (y - 44) ** 2 + (x - 60 + t) ** 2 <= 10**2
    volume[second & (t < 2)] = 220
    return volume


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, balls(), imagej=True, metadata={"axes": "TZYX"})
    return path


def annotated(path: Path, time: int = 0) -> Any:
    """A session at one time, with both balls under the ids 4 and 9."""
    work = sam2_plugins.open(path, MODEL, fixed={"T": time}, device="cpu")
    truth = balls()[time] > 100
    for object_id, half in ((4, np.s_[:, :, :42]), (9, np.s_[:, :, 42:])):
        work.annotation.add_object(f"cell {object_id}", "bright", object_id=object_id)
        mask = np.zeros_like(truth)
        mask[half] = truth[half]
        for plane in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
            work.annotation.import_masks(plane, {object_id: mask[plane]})
    return work


def test_an_object_has_one_id_across_planes_and_times(movie: Path) -> None:
    with annotated(movie) as work, sam2_plugins.open(movie, MODEL, fixed={"T": 1}, device="cpu") as later:
        done = work.carry_to(later)
        assert (done.carried, done.lost, done.left_alone) == ((4, 9), (), ())
        truth = balls()[1] > 100
        labels = np.asarray(later.labels())
        for object_id, half in ((4, np.s_[:, :, :42]), (9, np.s_[:, :, 42:])):
            there, mine = np.zeros_like(truth), labels == object_id
            there[half] = truth[half]
            assert (there & mine).sum() / (there | mine).sum() > 0.6
        assert (later.objects[4].name, later.objects[4].label) == ("cell 4", "bright")
        assert later.objects[4].color == work.objects[4].color
        assert list(later.annotation.prompts_of(4)) == [3]  # the plane where it is largest
        assert measure_volumes(later.annotation)["frame"] == (1, 1)
        later.undo()  # it is a session as any other
        assert work.carry_to(later, 4).carried == (4,)
        again = work.carry_to(later, 4)
        assert again.left_alone == (4,)
        assert str(again) == "0 objects carried on; annotated there already: object 4 (cell 4)"


def test_what_is_gone_is_said_and_not_made_up(movie: Path) -> None:
    with annotated(movie, 1) as work, sam2_plugins.open(movie, MODEL, fixed={"T": 2}, device="cpu") as later:
        done = work.carry_to(later)
        assert 4 in done.carried
        if 9 in done.lost:
            assert 9 not in later.objects
        assert set(done.carried) | set(done.lost) == {4, 9}


def test_what_cannot_be_carried_is_refused(movie: Path) -> None:
    with annotated(movie) as work:
        with (
            sam2_plugins.open(balls()[0, :3], axes="ZYX") as other,
            pytest.raises(InputError, match="one volume"),
        ):
            work.carry_to(other)
        with sam2_plugins.open(movie, MODEL, fixed={"T": 1}, device="cpu") as later:
            with pytest.raises(InputError, match="nothing to carry on"):
                later.carry_to(work)
            with pytest.raises(InputError, match="99"):
                work.carry_to(later, 99)
    stack = balls()[:, 3]
    with sam2_plugins.open(stack, axes="TYX") as one, sam2_plugins.open(stack, axes="TYX") as other:
        one.add_object()
        with pytest.raises(InputError, match="not times"):
            one.carry_to(other)


def test_the_shell_goes_from_time_to_time(movie: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotated(movie, 1).close()
    folder = movie.with_name("cells T1.sam2")
    assert main(["carry", str(folder), "--times", "0-2", "--device", "cpu"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [Path(line.split(":")[0]).name for line in said] == ["cells T2.sam2", "cells T0.sam2"]
    assert "2 objects carried on" in said[1]
    with sam2_plugins.open(movie.with_name("cells T0.sam2")) as work:
        assert sorted(work.objects) == [4, 9]
    np.save(movie.with_name("flat.npy"), balls()[0])
    with sam2_plugins.open(movie.with_name("flat.npy"), axes="ZYX") as work:
        work.add_object()
    assert main(["carry", str(movie.with_name("flat.sam2")), "--times", "1"]) == 2
    assert "not of one time" in capsys.readouterr().err


def test_an_id_of_another_object_is_said(movie: Path) -> None:
    with annotated(movie) as work, annotated(movie, 1) as later:
        later.edit_object(4, name="another cell")
        done = work.carry_to(later)
        assert done.left_alone == (4, 9)
        assert "object 4 is 'cell 4' here and 'another cell' there" in str(done)
        with pytest.raises(InputError, match="another session, as open"):
            work.carry_to("cells T1.sam2")  # type: ignore[arg-type]


def test_carrying_is_undone_as_one(movie: Path) -> None:
    with annotated(movie) as work, sam2_plugins.open(movie, MODEL, fixed={"T": 1}, device="cpu") as later:
        work.carry_to(later)
        later.undo()
        assert not later.objects


@pytest.mark.parametrize(
    ("times", "sentence"),
    [("0", "is that of time 0 itself"), ("1-7", "T"), ("x", "--times x: give numbers as 0-29,31")],
)
def test_times_that_do_not_exist_are_refused_before_any_is_carried_to(
    movie: Path, capsys: pytest.CaptureFixture[str], times: str, sentence: str
) -> None:
    with annotated(movie) as work:
        path = work.path
    before = sorted(one.name for one in movie.parent.iterdir())
    assert main(["carry", str(path), "--times", times]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(one.name for one in movie.parent.iterdir()) == before
