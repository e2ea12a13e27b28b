"""Jobs of files: what they are called, and what they say of themselves to other machines."""

from pathlib import Path

import pytest

from sam2_engine.errors import InputError
from sam2_plugins.batch.naming import beside, check_names_differ
from sam2_plugins.batch.track_job import TrackJob


def test_a_job_for_another_machine_names_everything_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.pt").touch()
    for model, there in (("own.pt@320", f"{tmp_path}/own.pt@320"), ("nano@320", "nano@320")):
        job = TrackJob(Path("a.tif"), Path("out/a.tif"), masks=Path("seeds"), model=model).absolute()
        assert job == TrackJob(
            tmp_path / "a.tif", tmp_path / "out/a.tif", masks=tmp_path / "seeds", model=there
        )


def test_what_belongs_to_a_stack_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "day1.png").touch()
    assert beside(tmp_path, Path("stacks/day1.ome.tif"), (".tif", ".png")) == tmp_path / "day1.png"
    assert beside(tmp_path / "day1.png", Path("day2.tif"), (".tif",)) == tmp_path / "day1.png"
    with pytest.raises(InputError, match=r"has no day2\.tif, which would belong to day2\.tif"):
        beside(tmp_path, Path("day2.tif"), (".tif",))


def test_files_of_one_name_are_refused() -> None:
    check_names_differ([Path("a/day1.tif"), Path("a/day2.tif")])
    with pytest.raises(InputError, match="same output"):
        check_names_differ([Path("a/day1.tif"), Path("b/day1.ome.tif")])
