"""What is there is replaced on request only, in every command; and tables are CSV as programs read it."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_plugins.cli import app as cli
from sam2_plugins.cli.app import main
from sam2_plugins.cli.commands import options

NO_MODEL = ("--model", "nothing")
"""Asked for first, it would be missed: what is refused, is refused before any work."""

COMMANDS = {
    "segment": ("segment", "image.tif", "--point", "20,20", "-o", "there.tif", *NO_MODEL),
    "segment, table": (
        *("segment", "image.tif", "--point", "20,20", "-o", "new.tif", "--csv", "there.csv"),
        *NO_MODEL,
    ),
    "auto": ("auto", "image.tif", "-o", "there.tif", *NO_MODEL),
    "auto, table": ("auto", "image.tif", "-o", "new.tif", "--csv", "there.csv", *NO_MODEL),
    "track": ("track", "frames.tif", "--masks", "masks.tif", "-o", "there.tif", *NO_MODEL),
    "track, table": (
        *("track", "frames.tif", "--masks", "masks.tif", "-o", "new.tif", "--csv", "there.csv"),
        *NO_MODEL,
    ),
    "export": ("export", "work.sam2", "-o", "there.csv"),
    "export, folder": ("export", "work.sam2", "-o", "there", "--format", "ctc"),
    "replay": ("replay", "work.sam2", "-o", "there.tif"),
    "train": ("train", "--data", "data", "-o", "there.safetensors", "--from", "nothing"),
    "evaluate, numbers": ("evaluate", "--data", "data", "--json", "there.json", *NO_MODEL),
    "evaluate, table": ("evaluate", "--data", "data", "--csv", "there.csv", *NO_MODEL),
    "evaluate, page": ("evaluate", "--data", "data", "--report", "there", *NO_MODEL),
    "models": ("models", "--csv", "there.csv"),
    "models add": ("models", "add", "small.safetensors", "--name", "there"),
    "doctor": ("doctor", "-o", "there.txt"),
    "demo": ("demo", "-o", "there", *NO_MODEL),
}


@pytest.fixture
def folder(
    tmp_path: Path,
    recorded: Path,
    discs: NDArray[np.uint8],
    disc_mask: NDArray[np.bool_],
    small_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder of inputs, and of outputs that are there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path))
    tifffile.imwrite("frames.tif", discs, metadata={"axes": "TYX"})
    tifffile.imwrite("image.tif", discs[0])
    tifffile.imwrite("masks.tif", disc_mask.astype(np.uint8))
    Path("small.safetensors").write_bytes(small_checkpoint.read_bytes())
    for suffix in (".tif", ".csv", ".json", ".txt", ".safetensors"):
        Path(f"there{suffix}").write_bytes(b"before")
    Path("checkpoints").mkdir()  # of the cache
    Path("checkpoints/there.safetensors").write_bytes(b"before")
    Path("there").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_there_is_replaced_on_request_only(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = folder / "there" / ("index.html" if "page" in name else "res_track.txt")
    kept.write_bytes(b"before")
    assert main(list(COMMANDS[name])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there" in line
    assert "--overwrite" in line
    assert {path.read_bytes() for path in folder.rglob("there*") if path.is_file()} == {b"before"}
    assert kept.read_bytes() == b"before"
    assert not list(folder.glob("new*"))


@pytest.mark.parametrize("name", ["segment", "auto, table", "track, table", "export", "replay", "doctor"])
def test_it_is_replaced_with_overwrite(folder: Path, name: str, small_checkpoint: Path) -> None:
    arguments = [str(small_checkpoint) if one == "nothing" else one for one in COMMANDS[name]]
    grid = ["--points-per-side", "2"] if arguments[0] == "auto" else []
    assert main([*arguments, *grid, "--overwrite"]) == 0
    assert any(path.read_bytes() != b"before" for path in folder.glob("there.*"))


def test_of_many_files_those_that_are_there_are_told_first(
    folder: Path, discs: NDArray[np.uint8], small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite("more.tif", discs, metadata={"axes": "TYX"})
    Path("out").mkdir()
    Path("out/more.tif").write_bytes(b"before")
    arguments = ["track", "frames.tif", "more.tif", "--each", "--masks", "masks.tif", "-o", "out"]
    assert main([*arguments, "--model", str(small_checkpoint)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "more.tif: out/more.tif exists; choose another name, or replace it with --overwrite."
    assert said[1] == "[1/1] frames.tif"
    assert "1 of 2 files done, 1 failed." in said
    assert Path("out/more.tif").read_bytes() == b"before"
    assert tifffile.imread("out/frames.tif").any()


def test_tables_have_no_mark_of_byte_order_unless_asked(folder: Path) -> None:
    export = ["export", "work.sam2", "--pixel-size", "0.5,µm", "-o"]
    assert main([*export, "plain.csv"]) == 0
    assert main([*export, "excel.csv", "--bom"]) == 0
    plain, excel = Path("plain.csv").read_bytes(), Path("excel.csv").read_bytes()
    assert plain.startswith(b"frame,")
    assert excel == b"\xef\xbb\xbf" + plain
    assert main([*export, "labels.tif", "--bom"]) == 2


def test_a_table_of_what_auto_found(folder: Path, small_checkpoint: Path) -> None:
    grid = ("--points-per-side", "3", "--confidence", "0")
    assert (
        main(["auto", "image.tif", *grid, "-o", "a.tif", "--csv", "a.csv", "--model", str(small_checkpoint)])
        == 0
    )
    with Path("a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = tifffile.imread("a.tif")
    assert [int(row["object_id"]) for row in rows] == list(range(1, int(labels.max()) + 1))
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert int(rows[0]["area (pixel²)"]) == np.count_nonzero(labels == 1)


def test_the_list_of_models_as_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--csv", "-"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {"nano", "sam2.1_hiera_tiny"} <= {row["name"] for row in rows}
    assert main(["models", "--csv", "models.csv"]) == 0
    assert list(csv.DictReader(Path("models.csv").read_text().splitlines())) == rows


@pytest.mark.parametrize("name", [*cli._COMMANDS, "models add", "serve", "export-label-studio"])
def test_every_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    assert f"  sam2 {name}" in capsys.readouterr().out.partition("Example")[2]


def test_a_missing_extra_is_said_in_the_help() -> None:
    """A new process, as help texts are made when a command is loaded."""
    hidden = "import sys; sys.modules['waitress'] = None; sys.modules['ctc_metrics'] = None; "
    run = "from sam2_plugins.cli.app import main; main(['--help']); main(['evaluate', '--help'])"
    done = subprocess.run([sys.executable, "-c", hidden + run], capture_output=True, text=True, check=True)
    said = " ".join(done.stdout.split())
    assert 'needs the extra label-studio, missing here: pip install "sam2-plugins[label-studio]"' in said
    assert 'needs the extra evaluate, missing here: pip install "sam2-plugins[evaluate]"' in said


def test_what_an_evaluation_needs_is_asked_for_before_the_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ctc_metrics", None)
    assert main(["evaluate", "--data", "nothing", "--cell-tracking"]) == 2
    assert (
        'need py-ctcmetrics; install it with `pip install "sam2-plugins[evaluate]"`'
        in capsys.readouterr().err
    )


def test_a_missing_package_is_told_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert options.needs("cluster", "distributed").startswith("needs the extra cluster, missing here")


def test_names_that_the_output_cannot_spell_are_written_in_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where what is piped has the old encoding of the country."""
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", output)
    assert main(["masklets", "report", str(tmp_path / "zellen é 细胞")]) == 2
    output.flush()
    assert written.getvalue().decode("cp1252").count("zellen é \\u7ec6\\u80de is no data set") == 1


@pytest.mark.skipif(sys.version_info >= (3, 13) or os.name == "nt", reason="pathlib resolves such links")
def test_a_link_that_leads_to_itself_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "cells.tif").write_bytes(b"")
    assert main(["masklets", "make", str(tmp_path / "cells.tif"), "-o", str(tmp_path / "loop")]) == 2
    assert "a link that leads to itself; give another path." in capsys.readouterr().err
