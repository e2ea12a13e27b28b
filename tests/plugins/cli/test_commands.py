"""Commands that succeed: what they write is what the session says."""

import csv
import json
import os
import re
import sys
from contextlib import ExitStack
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image
from skimage import data, filters, segmentation
from skimage.measure import label

from sam2_engine.weights.loading import load_model
from sam2_plugins.cli import app as cli
from sam2_plugins.cli.demo import COIN_CLICKS, segment_coins, track_cells
from sam2_plugins.session.annotation_session import AnnotationSession

FULL = Path("/dev/full")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch, small_checkpoint):
    """Run a command that must succeed, with the small model, and return its standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object, model: bool = True) -> str:
        given = [str(argument) for argument in arguments]
        status = cli.main([*given, "--model", str(small_checkpoint)] if model else given)
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return captured.out

    return run


@pytest.fixture
def frames_file(tmp_path, discs):
    path = tmp_path / "frames.tif"
    tifffile.imwrite(path, discs, imagej=True, metadata={"axes": "TYX"})
    return path


@pytest.fixture
def image_file(tmp_path, discs):
    path = tmp_path / "image.png"
    Image.fromarray(discs[0]).save(path)
    return path


@pytest.fixture
def image_session(discs, store, small_checkpoint):
    return AnnotationSession(discs[:1], store, small_checkpoint, axes="TYX")


def read_csv(path):
    with open(path, newline="", encoding="utf-8-sig") as file:  # noqa: PTH123
        return list(csv.DictReader(file))


def test_segment_takes_the_box_of_one_row(run, image_file):
    run("segment", image_file, "--box", "20,40,40,40", "-o", "row.tif")
    assert tifffile.imread("row.tif").shape == (60, 80)


def test_segment_joins_clicks_and_box_into_one_object(run, image_file, image_session):
    output = run(
        *("segment", image_file, "--point", "20,20", "--point", "70,5,-", "--box", "10,10,30,30"),
        *("-o", "labels.tif", "--csv", "labels.csv"),
    )
    one = image_session.add_object()
    image_session.add_points(0, one, [[20, 20], [70, 5]], [1, 0], box=(10, 10, 30, 30))
    labels = tifffile.imread("labels.tif")
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, image_session.mask(one, 0))
    assert output.splitlines()[-1] == "labels.tif"
    (row,) = read_csv("labels.csv")
    assert int(row["area (pixel²)"]) == np.count_nonzero(labels)


def test_segment_each_gives_every_click_its_own_object(run, image_file, image_session):
    run("segment", image_file, "--each", "--point", "20,20", "--point", "60,40", "-o", "labels.tif")
    for click in ((20, 20), (60, 40)):
        image_session.add_points(0, image_session.add_object(), click)
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), image_session.label_image(0))


def test_segment_says_where_a_label_image_cannot_hold_an_object(image_file, small_checkpoint, capsys):
    """Was: two clicks on one object gave two parts of it, each reported with all of its pixels."""
    output = image_file.with_name("labels.tif")
    clicks = ("--each", "--point", "20,20", "--point", "20,20")
    arguments = ("segment", image_file, *clicks, "-o", output, "--model", small_checkpoint)
    assert cli.main([str(argument) for argument in arguments]) == 0
    said = capsys.readouterr()
    labels, size = tifffile.imread(output), int(said.out.partition("object 1: ")[2].split()[0])
    hidden = [i for i in (1, 2) if (labels == i).sum() < size]
    assert hidden
    for object_id in hidden:
        seen = (labels == object_id).sum()
        assert f"Note: {seen} of the {size} pixels of object {object_id}" in said.err


def test_segment_takes_one_channel_and_a_window_of_a_16_bit_image(
    run, tmp_path, discs, store, small_checkpoint
):
    image = np.stack([discs[1], discs[0]]).astype(np.uint16) * 200
    tifffile.imwrite("channels.tif", image, metadata={"axes": "CYX"}, photometric="minisblack")
    run(
        *("segment", "channels.tif", "--point", "20,20", "--axes", "CYX", "--channel", "1"),
        *("--contrast", "0,51000", "-o", "labels.tif"),
    )
    same = AnnotationSession(image[1][None], store, small_checkpoint, axes="TYX", contrast=(0, 51000))
    same.add_points(0, same.add_object(), (20, 20))
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), same.label_image(0))


def test_auto_numbers_what_it_finds(run, image_file):
    options = ("--points-per-side", "3", "--confidence", "0")
    output = run("auto", image_file, "-o", "labels.tif", *options)
    labels = tifffile.imread("labels.tif")
    assert labels.shape == (60, 80)
    assert labels.any()
    assert output.splitlines() == [f"{labels.max()} objects", "labels.tif"]


def test_track_from_masks(run, frames_file, session, disc_mask):
    masks = np.where(disc_mask, 4, 0).astype(np.uint8)
    masks[35:45, 55:65] = 9
    tifffile.imwrite("masks.tif", masks)
    output = run("track", frames_file, "--masks", "masks.tif", "-o", "labels.tif", "--csv", "table.csv")
    for value in (4, 9):
        session.add_mask(0, session.add_object(object_id=value), masks == value)
    list(session.propagate())
    with tifffile.TiffFile("labels.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == "TYX"
        labels = tiff.asarray()
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, [session.label_image(frame) for frame in range(8)])
    np.testing.assert_array_equal(labels[0], masks)
    assert "8 of 8 frames, 2 objects" in output
    rows = read_csv("table.csv")
    assert [(int(row["frame"]), int(row["object_id"])) for row in rows] == [
        (frame, value) for frame in range(8) for value in (4, 9)
    ]


@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_output_that_nobody_reads_loses_no_frame(run, tmp_path, frames_file, monkeypatch, streams):
    (tmp_path / "prompts.json").write_text('[{"frame": 0, "object_id": 1, "points": [[20, 20]]}]')
    with ExitStack() as files:
        for stream in streams:
            reader, writer = os.pipe()
            os.close(reader)
            monkeypatch.setattr(sys, stream, files.enter_context(os.fdopen(writer, "w")))
        run("track", frames_file, "--prompts", "prompts.json", "-o", "labels.tif", "--csv", "table.csv")
    assert len(tifffile.imread("labels.tif")) == 8
    assert (tmp_path / "table.csv").is_file()


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device")
@pytest.mark.parametrize("streams", [("stdout",), ("stdout", "stderr")])
def test_output_into_a_full_log_loses_no_frame_and_is_an_error(
    tmp_path, frames_file, small_checkpoint, monkeypatch, capfd, streams
):
    (tmp_path / "prompts.json").write_text('[{"frame": 0, "object_id": 1, "points": [[20, 20]]}]')
    monkeypatch.chdir(tmp_path)
    arguments = ["--prompts", "prompts.json", "-o", "labels.tif", "--model", str(small_checkpoint)]
    with ExitStack() as files:
        for stream in streams:
            monkeypatch.setattr(sys, stream, files.enter_context(os.fdopen(os.open(FULL, os.O_WRONLY), "w")))
        assert cli.main(["track", str(frames_file), *arguments]) == 2
    assert len(tifffile.imread("labels.tif")) == 8
    said = "What is printed here could not be written: No space left on device."
    assert (said in capfd.readouterr().err) == (streams == ("stdout",))


def test_track_from_prompts_on_several_frames_in_a_range(run, tmp_path, frames_file, session):
    prompts = [
        {"frame": 1, "object_id": 2, "points": [[22, 20], [70, 5]], "labels": [1, 0]},
        {"frame": 3, "object_id": 5, "box": [50, 27, 70, 47]},
    ]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    output = run("track", frames_file, "--prompts", "prompts.json", "--stop", "5", "-o", "labels.tif")
    session.add_points(1, session.add_object(object_id=2), [[22, 20], [70, 5]], [1, 0])
    session.add_box(3, session.add_object(object_id=5), (50, 27, 70, 47))
    list(session.propagate(stop=5))
    labels = tifffile.imread("labels.tif")
    np.testing.assert_array_equal(labels, [session.label_image(frame) for frame in range(8)])
    assert not labels[[0, 6, 7]].any()
    assert "5 of 5 frames" in output


def test_track_backwards_from_masks_of_the_start(run, frames_file, disc_mask):
    tifffile.imwrite("masks.tif", disc_mask.astype(np.uint8))
    options = ("--start", "5", "--stop", "2", "--reverse")
    run("track", frames_file, "--masks", "masks.tif", *options, "-o", "labels.tif")
    labels = tifffile.imread("labels.tif")
    np.testing.assert_array_equal(labels[5], disc_mask)
    assert not labels[[0, 1, 6, 7]].any()


def test_a_volume_stays_a_volume_and_doubtful_axes_are_said(run, tmp_path, discs, disc_mask):
    tifffile.imwrite("masks.tif", disc_mask.astype(np.uint8))
    tifffile.imwrite("volume.tif", discs, imagej=True, metadata={"axes": "ZYX"})
    run("track", "volume.tif", "--masks", "masks.tif", "-o", "labels.tif")
    with tifffile.TiffFile("labels.tif") as tiff:
        assert tiff.series[0].axes == "ZYX"
    tifffile.imwrite("channels.tif", discs[:4], imagej=True, metadata={"axes": "CYX"})
    output = run("track", "channels.tif", "--masks", "masks.tif", "-o", "labels.tif", "--overwrite")
    assert "is called C in the file and is read as T" in output


def test_one_plane_of_a_series_of_volumes(run, discs, disc_mask):
    tifffile.imwrite("masks.tif", disc_mask.astype(np.uint8))
    series = np.stack([np.zeros_like(discs), discs], axis=1)
    tifffile.imwrite("series.tif", series, imagej=True, metadata={"axes": "TZYX"})
    run("track", "series.tif", "--fixed", "Z=1", "--masks", "masks.tif", "-o", "one.tif")
    tifffile.imwrite("plain.tif", discs, imagej=True, metadata={"axes": "TYX"})
    run("track", "plain.tif", "--masks", "masks.tif", "-o", "two.tif")
    np.testing.assert_array_equal(tifffile.imread("one.tif"), tifffile.imread("two.tif"))


def test_models_are_listed_added_and_used(run, tmp_path, small_checkpoint, image_file):
    listed = run("models", model=False)
    assert "sam2.1_hiera_tiny" in listed
    assert "sam2.1_hiera_large" in listed
    assert "not here" in listed
    found = run("models", "--find", "microscopy", model=False)
    assert ("micro_sam_hvit_t_cells" in found, "edgetam" in found) == (True, False)
    free = run("models", "--commercial", model=False)
    assert ("edgetam" in free, "medsam2" in free) == (True, False)
    assert "lesions and organs" in run("models", "show", "medsam2_latest", model=False)
    assert "nuclei" in run("models", "show", "nano@384+fast", model=False)
    assert "medsam2_us_heart" in run("models", "--find", "ultrasound MEDICAL", model=False)
    own = tmp_path / "my_cells.safetensors"
    own.write_bytes(small_checkpoint.read_bytes())
    assert "--model my_cells" in run("models", "add", own, model=False)
    own.unlink()
    assert "my_cells" in run("models", model=False)
    run("segment", image_file, "--point", "9,9", "-o", "labels.tif", "--model", "my_cells", model=False)
    assert load_model("my_cells", device="cpu").config.name == "small"


def test_what_the_machine_computes_on_is_shown(run):
    shown = run("models", "--device", model=False)
    assert re.search(r"^Device: \w+", shown)
    assert re.search(r"^Type: b?float\d\d", shown, re.MULTILINE)
    assert "a frame to the memories of an object" in shown or "Device: cpu" not in shown


def test_the_demo_writes_everything_it_names(tmp_path, store, small_checkpoint):
    coins = segment_coins(store, str(small_checkpoint), tmp_path)
    watched = []

    def watch(steps, total):
        for step in steps:
            watched.append((step.frame, total))
            yield step

    cells = track_cells(store, str(small_checkpoint), tmp_path, watch, num_frames=4, size=96)
    assert watched == [(frame, 4) for frame in range(4)]
    assert {path.name for path in coins.files} == {"coins.png", "coins_labels.tif", "coins.csv"}
    figures = {f"cells_frame_00{frame}.png" for frame in (0, 1, 3)}
    assert {path.name for path in cells.files} == {*figures, "cells.gif", "cells_labels.tif", "cells.csv"}
    assert set(tmp_path.iterdir()) == {*coins.files, *cells.files}
    assert re.fullmatch(r"mean IoU .* frames 1 to 3: 0\.\d+ \(leaving .*: 0\.\d+\)", cells.notes[0])
    assert tifffile.imread(tmp_path / "cells_labels.tif").shape == (4, 96, 96)
    with Image.open(tmp_path / "cells.gif") as animation:
        assert animation.n_frames == 4


def test_the_demo_tracks_ones_own(run, frames_file):
    output = run("demo", "--frames", frames_file, "-o", "own", "--point", "20,20", "--point", "60,40")
    assert "2 objects, one click each" in output
    assert set(np.unique(tifffile.imread("own/frames_labels.tif"))) <= {0, 1, 2}
    assert len(read_csv("own/frames.csv")) == 16


def test_the_coin_clicks_lie_on_24_coins():
    coins = data.coins()
    markers = np.where(coins < 30, 1, np.where(coins > 150, 2, 0))
    objects = label(segmentation.watershed(filters.sobel(coins), markers) == 2)
    hit = {int(objects[y, x]) for x, y in COIN_CLICKS}
    assert 0 not in hit
    assert len(hit) == 24


def test_help_and_version(run):
    assert "segment" in run(model=False)
    assert run(model=False) == run("--help", model=False)
    assert run("--version", model=False).startswith("sam2-plugins ")


def test_hosts_add_commands_and_a_broken_one_says_why(capsys, monkeypatch):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    monkeypatch.setattr(cli, "app", app)
    for name, target in (
        ("models", "sam2_plugins.cli.commands.models:register"),
        ("ghost", "no_such_host:register"),
    ):
        cli._add_host_command(EntryPoint(name, target, cli.COMMAND_GROUP))
    assert cli.main(["models"]) == 0
    assert "nano" in capsys.readouterr().out
    assert cli.main(["ghost", "--port", "1"]) == 2
    assert "No module named 'no_such_host'" in capsys.readouterr().err


def test_segment_on_a_large_image_is_that_of_a_tiled_session(run, tmp_path, store, small_checkpoint):
    image = np.random.default_rng(3).integers(20, 60, (300, 420)).astype(np.uint8)
    image[80:110, 280:320] = 220
    Image.fromarray(image).save("large.png")
    run("segment", "large.png", "--box", "275,75,325,115", "-o", "labels.tif")
    session = AnnotationSession(image[None], store, small_checkpoint, axes="TYX")
    session.add_box(0, session.add_object(), (275, 75, 325, 115))
    assert session.label_image(0).any()
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), session.label_image(0))


@pytest.mark.usefixtures("run")  # for its folder
def test_what_a_tiff_holds_beside_the_image_is_said_and_chosen(tmp_path, capsys, small_checkpoint):
    image = np.zeros((60, 80), np.uint8)
    image[15:26, 15:26] = 200
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(image[::5, ::5], metadata=None, photometric="minisblack")
        writer.write(image, metadata=None, photometric="minisblack")
    model = ("--model", str(small_checkpoint))
    assert cli.main(["segment", "two.tif", "--point", "20,20", "-o", "labels.tif", *model]) == 0
    assert "series 1 (60 x 80) of 2, left out: 0 (12 x 16)" in capsys.readouterr().err
    assert tifffile.imread("labels.tif").shape == (60, 80)
    chosen = ("--series", "0", "--point", "4,4")
    assert cli.main(["segment", "two.tif", *chosen, "-o", "small.tif", *model]) == 0
    assert tifffile.imread("small.tif").shape == (12, 16)


def test_what_is_left_of_a_truncated_stack_is_tracked(run, tmp_path, discs):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, np.concatenate([discs] * 6)[:6])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    prompts = [{"frame": 0, "object_id": 1, "points": [[20, 20]]}]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    output = run("track", path, "--prompts", tmp_path / "prompts.json", "-o", "labels.tif")
    assert "of the 6 frames that its metadata promise are not in the file" in output
    assert len(tifffile.imread("labels.tif")) in (3, 4)


def test_a_damaged_frame_is_passed_over(run, tmp_path, discs, session, disc_mask, small_checkpoint, capsys):
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, discs, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[3].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    tifffile.imwrite("masks.tif", disc_mask.astype(np.uint8))
    arguments = ("track", str(path), "--masks", "masks.tif", "-o", "labels.tif")
    assert cli.main([*arguments, "--model", str(small_checkpoint)]) == 0
    captured = capsys.readouterr()
    assert "Tracking passed over frame 3, which has no masks now: Frame 3 of damaged.tif" in captured.err
    assert "8 of 8 frames" in captured.out
    tracked = tifffile.imread("labels.tif").any(axis=(1, 2))
    assert not tracked[3]
    assert tracked[[0, 1, 2]].all()
