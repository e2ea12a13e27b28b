"""Input that cannot be used: exit status 2, one sentence on standard error, and no file left."""

import json
import pickle

import numpy as np
import pytest
import tifffile
import torch

from sam2_plugins.cli.app import main
from sam2_plugins.export.label_tiff import LabelStackWriter


@pytest.fixture
def data(tmp_path, discs, disc_mask):
    """A folder of inputs, good and bad."""
    folder = tmp_path / "data"
    folder.mkdir()
    tifffile.imwrite(folder / "frames.tif", discs, metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "image.tif", discs[0])
    tifffile.imwrite(folder / "masks.tif", disc_mask.astype(np.uint8))
    short = np.repeat(disc_mask[None].astype(np.uint8), 3, 0)
    tifffile.imwrite(folder / "short.tif", short, photometric="minisblack")
    tifffile.imwrite(folder / "small_masks.tif", np.ones((9, 9), np.uint8))
    tifffile.imwrite(folder / "no_masks.tif", np.zeros((60, 80), np.uint8))
    four_axes = np.zeros((3, 4, 60, 80), np.uint16)
    tifffile.imwrite(folder / "four_axes.tif", four_axes, photometric="minisblack")
    tifffile.imwrite(folder / "nan.tif", np.full((60, 80), np.nan, np.float32))
    tifffile.imwrite(folder / "complex.tif", np.ones((60, 80), np.complex64))
    np.save(folder / "zero.npy", np.zeros((0, 60, 80), np.uint8))
    (folder / "empty.tif").touch()
    whole = (folder / "frames.tif").read_bytes()
    (folder / "truncated.tif").write_bytes(whole[: len(whole) // 20])  # before its first frame ends
    (folder / "text.tif").write_text("not an image")
    (folder / "text.png").write_text("not an image")
    (folder / "text.mp4").write_text("not a video")
    (folder / "no_images").mkdir()
    (folder / "good.json").write_text(json.dumps([{"frame": 0, "object_id": 1, "points": [[20, 20]]}]))
    (folder / "bad.json").write_text("{")
    (folder / "late.json").write_text(json.dumps([{"frame": 99, "object_id": 1, "points": [[20, 20]]}]))
    torch.save({"weight": torch.zeros(3)}, folder / "other_model.pt")
    (folder / "truncated.pt").write_bytes((folder / "other_model.pt").read_bytes()[:200])
    (folder / "code.pt").write_bytes(pickle.dumps({"model": print}))
    (folder / "truncated.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    return folder


@pytest.fixture
def refused(data, tmp_path, capsys, monkeypatch, small_checkpoint):
    """Run a command that must be refused, and return its one sentence."""
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(data)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}

    def run(*arguments: str) -> str:
        given = [argument.format(model=small_checkpoint, out=out) for argument in arguments]
        assert main(given) == 2
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("sam2: ")
        assert list(out.iterdir()) == []
        assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
        return lines[0]

    return run


CLICK = ("--point", "20,20", "--model", "{model}", "-o", "{out}/labels.tif")
FOLLOW = ("--prompts", "good.json", "--model", "{model}", "-o", "{out}/labels.tif")


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("missing.tif", "missing.tif cannot be opened"),
        ("empty.tif", "empty file"),
        ("truncated.tif", "truncated"),
        ("text.tif", "text.tif"),
        ("text.png", "text.png"),
        ("text.mp4", "text.mp4"),
        ("no_images", "holds no images"),
        ("four_axes.tif", "nobody named them"),
        ("complex.tif", "complex64"),
        ("zero.npy", "no pixels"),
    ],
)
@pytest.mark.parametrize("command", ["segment", "auto", "track"])
def test_frames_that_cannot_be_used(refused, command, image, sentence):
    rest = {"segment": CLICK, "track": FOLLOW, "auto": ("--model", "{model}", "-o", "{out}/labels.tif")}
    assert sentence in refused(command, image, *rest[command])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--point", "200,20"), "lies outside the frame"),
        (("--point", "20"), "a click is X,Y"),
        (("--point", "20,20,x"), "a click is X,Y"),
        (("--point", "a,b"), "'a,b' is not 2 numbers"),
        (("--point", "nan,3"), "finite"),
        (("--box", "5,5,4,9"), "less than one pixel"),
        (("--box", "5,5,9"), "is not 4 numbers"),
        (("--box", "100,100,120,120"), "lies outside the frame"),
        ((), "Say where the object is"),
        (("--box", "0.15,0.3,0.42,0.7"), "seems to be in fractions of the frame"),
        (("--box", "1,1,9,9", "--box", "20,20,29,29"), "--box is given 2 times"),
        (("--point", "9,9,-"), "All clicks are outside of the object"),
        (("--point", "9,9", "--point", "9,9,-"), "both as inside and as outside"),
        (("--each", "--point", "1,1,-"), "With --each"),
        (("--point", "9,9", "--contrast", "9"), "is not 2 numbers"),
        (("--point", "9,9", "--contrast", "9,3"), "LO must be below HI"),
        (("--point", "9,9", "--channel", "4"), "there is no 4"),
        (("--point", "9,9", "--axes", "TZYX"), "TZYX"),
        (("--point", "9,9", "--device", "abacus"), "no device 'abacus'"),
        (("--point", "9,9", "--model", "giant"), "no model 'giant'"),
        (("--point", "9,9", "--model", "sam2.1_hiera_tiny"), "`sam2 download sam2.1_hiera_tiny` fetches it"),
        (("--point", "9,9", "--model", "other_model.pt"), "does not hold a SAM 2 model"),
        (("--point", "9,9", "--model", "truncated.pt"), "damaged"),
        (("--point", "9,9", "--model", "truncated.safetensors"), "damaged"),
        (("--point", "9,9", "--model", "code.pt"), "code"),
        (("--point", "9,9", "--model", "none.pt"), "none.pt"),
        (("--point", "9,9", "--csv", "{out}/table.txt"), "must end in .csv"),
        (("--points", "9,9"), "No such option: --points"),
    ],
)
def test_options_of_segment_that_cannot_be_used(refused, options, sentence):
    defaults = () if "--model" in options else ("--model", "{model}")
    assert sentence in refused("segment", "image.tif", "-o", "{out}/labels.tif", *options, *defaults)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "with --masks LABELS, --prompts JSON, or both"),
        (("--masks", "small_masks.tif"), "9 wide and 9 high, but the frames are 80 wide and 60 high"),
        (("--masks", "no_masks.tif"), "no object in it"),
        (("--masks", "frames.tif"), "gray levels between one object and the next"),
        (("--masks", "short.tif"), "short.tif has 3 frames, but the stack has 8 frames"),
        (("--masks", "missing.tif"), "missing.tif cannot be opened"),
        (("--masks", "masks.tif", "--start", "8"), "no frame 8"),
        (("--masks", "masks.tif", "--start", "-1"), "--start"),
        (("--prompts", "bad.json"), "bad.json is not JSON"),
        (("--prompts", "late.json"), "late.json, entry 1: there is no frame 99"),
        (("--prompts", "missing.json"), "missing.json cannot be read"),
        (("--prompts", "good.json", "--stop", "8"), "no frame 8"),
        (("--prompts", "good.json", "--start", "5", "--stop", "3"), "from frame 5 to frame 3"),
        (("--prompts", "good.json", "--reverse", "--stop", "3"), "backwards from frame 0 to frame 3"),
        (("--prompts", "good.json", "--start", "soon"), "'--start': Input should be a valid integer"),
        (("--everything", "--masks", "masks.tif", "--reverse"), "leave --masks and --reverse out"),
        (("--masks", "masks.tif", "--every", "2"), "belong to --everything"),
        (("--everything", "--confidence", "2"), "from 0 to 1"),
    ],
)
def test_options_of_track_that_cannot_be_used(refused, options, sentence):
    assert sentence in refused(
        "track", "frames.tif", "-o", "{out}/labels.tif", "--model", "{model}", *options
    )


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("{out}/missing/labels.tif", "does not exist; make it first"),
        ("{out}/labels.png", "must end in .tif or .tiff"),
        ("no_images", "must end in .tif or .tiff"),
        ("frames.tif", "is also the input"),
        ("good.json", "must end in .tif or .tiff"),
    ],
)
def test_outputs_that_cannot_be_written(refused, output, sentence):
    assert sentence in refused("track", "frames.tif", *FOLLOW[:-1], output)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("segment", "frames.tif", *CLICK), "is a stack"),
        (("auto", "frames.tif", "-o", "{out}/labels.tif", "--model", "{model}"), "is a stack"),
        (("models", "add", "missing.pt"), "missing.pt"),
        (("models", "add", "other_model.pt"), "does not hold a SAM 2 model"),
        (("models", "add", "code.pt"), "code"),
        (("download", "giant"), "no model 'giant' to download"),
        (("demo", "-o", "{out}", "--point", "3,3"), "--frames PATH"),
        (("demo", "-o", "{out}", "--contrast", "3,5"), "--frames PATH"),
        (("demo", "-o", "image.tif", "--model", "{model}"), "image.tif"),
        (("demo", "-o", "{out}", "--frames", "missing.tif", "--model", "{model}"), "missing.tif"),
        (("dance",), "dance"),
        (("segment",), "Missing argument"),
        (("segment", "image.tif", "--point", "3,3"), "Missing option"),
    ],
)
def test_commands_that_cannot_be_run(refused, command, sentence):
    assert sentence in refused(*command)


def test_no_network_is_said_in_a_sentence(refused, monkeypatch):
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", "http://127.0.0.1:9")
    assert "No connection to 127.0.0.1" in refused("download", "sam2.1_hiera_tiny")


def test_some_pixels_that_are_not_finite_are_a_note_with_their_count(
    tmp_path, capsys, discs, small_checkpoint
):
    image = discs[0].astype(np.float32)
    for columns, note in ((5, "10 of 4800 pixels"), (80, "frames.tif has no finite pixel")):
        image[: 2 if columns == 5 else 60, :columns] = np.nan
        tifffile.imwrite(tmp_path / "frames.tif", image)
        output = tmp_path / f"{columns}.tif"
        arguments = ["segment", str(tmp_path / "frames.tif"), "--point", "20,20", "-o", str(output)]
        assert main([*arguments, "--model", str(small_checkpoint)]) == 0
        assert capsys.readouterr().err.startswith(f"Note: {note}")
        assert output.exists()


def test_a_disk_that_fills_during_tracking_keeps_the_frames_before(
    data, tmp_path, small_checkpoint, monkeypatch, capsys
):
    write = LabelStackWriter.write

    def full_at_three(self, frame, labels):
        if frame == 3:
            raise OSError(28, "No space left on device")
        write(self, frame, labels)

    monkeypatch.setattr(LabelStackWriter, "write", full_at_three)
    folder = tmp_path / "out"
    folder.mkdir()
    output, masks, model = folder / "labels.tif", str(data / "masks.tif"), str(small_checkpoint)
    arguments = [str(data / "frames.tif"), "--masks", masks, "-o", str(output), "--model", model]
    assert main(["track", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-2:] == ["3 of 8 frames, 1 object", str(output)]
    assert shown.err == (
        f"sam2: {output}: No space left on device; make space there. "
        "The frames that were finished before are saved.\n"
    )
    assert [path.name for path in folder.iterdir()] == ["labels.tif"]
    labels = tifffile.imread(output)
    assert labels[0].any()
    assert not labels[3:].any()
