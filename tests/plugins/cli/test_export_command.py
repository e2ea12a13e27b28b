"""``sam2 export``: every format from a session folder, and what is refused."""

import csv
import re

import pytest

from sam2_plugins.cli.app import main
from sam2_plugins.export.formats import FORMATS

OF_PLANES = {"dicom-seg", "stl", "volumes"}


@pytest.mark.parametrize("name", sorted(OF_PLANES))
def test_formats_of_volumes_refuse_a_movie_before_any_work(recorded, tmp_path, name, capsys):
    output = tmp_path / "out.volumes.csv"
    assert main(["export", str(recorded), "-o", str(output), "--format", name]) == 2
    assert re.search("are none|are times", capsys.readouterr().err)
    assert not output.exists()


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"geff"} - OF_PLANES))
def test_every_format(recorded, tmp_path, name, capsys):
    output = tmp_path / f"out{FORMATS[name].suffix}"
    assert main(["export", str(recorded), "-o", str(output), "--format", name]) == 0
    assert output.is_dir() == FORMATS[name].is_folder
    assert "8 frames, 3 objects" in capsys.readouterr().out
    assert main(["export", str(recorded), "-o", str(output), "--format", name]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["export", str(recorded), "-o", str(output), "--format", name, "--overwrite"]) == 0


def test_the_ending_tells_the_format_and_sizes_have_units(recorded, tmp_path):
    output = tmp_path / "cells.csv"
    arguments = ["export", str(recorded), "-o", str(output), "--pixel-size", "0.5,um", "--interval", "5,min"]
    assert main(arguments) == 0
    with output.open(encoding="utf-8-sig") as file:
        first = next(csv.DictReader(file))
    assert float(first["area (µm²)"]) == 100 * 0.25


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["-o", "x.png"], "does not tell its format"),
        (["-o", "x.tif", "--format", "png"], "no format 'png'"),
        (["-o", "x.csv", "--pixel-size", "0.5"], "a number above 0 and a unit"),
        (["-o", "x.csv", "--interval", "0,s"], "a number above 0 and a unit"),
        (
            ["-o", "x.csv", "--pixel-size", "0.5,parsec"],
            "parsec is none of the known units nm, µm, mm, cm, m.",
        ),
        (["-o", "x.csv", "--pixel-size", "0.5,s"], "s is none of the known units nm"),
        (["-o", "x.csv", "--interval", "5,µm"], "µm is none of the known units ms, s, min, h, d."),
    ],
)
def test_refusals(recorded, extra, sentence, capsys):
    assert main(["export", str(recorded), *extra]) == 2
    assert sentence in capsys.readouterr().err
